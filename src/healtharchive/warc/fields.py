"""Header fields, of WARC records and of HTTP messages alike, read leniently: in order, names in any case, folded lines joined."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

_BLANK_LINE: Final = re.compile(rb"\r?\n\r?\n")
_FOLD: Final = re.compile(r"\r?\n[ \t]+")


class Fields:
    """Name and value pairs in their order. `get` finds the first of a name, in any case."""

    __slots__ = ("_first", "items")

    def __init__(self, items: tuple[tuple[str, str], ...]) -> None:
        self.items = items
        self._first: dict[str, str] | None = None

    @classmethod
    def parse(cls, block: bytes) -> Fields:
        """The lines of `block`: UTF-8, or Latin-1 where that fails. Lines without a colon are left out."""
        try:
            text = block.decode()
        except UnicodeDecodeError:
            text = block.decode("latin-1")
        if "\n " in text or "\n\t" in text:
            text = _FOLD.sub(" ", text)
        # Not splitlines(): it also splits at characters that values may hold.
        pairs = (line.partition(":") for line in text.split("\n"))
        return cls(tuple((name.strip(), value.strip()) for name, colon, value in pairs if colon))

    def get(self, name: str, default: str = "") -> str:
        first = self._first
        if first is None:
            first = self._first = {}
            for key, value in self.items:
                first.setdefault(key.lower(), value)
        return first.get(name.lower(), default)

    def all(self, name: str) -> tuple[str, ...]:
        """Every value of a name that may be repeated."""
        wanted = name.lower()
        return tuple(value for key, value in self.items if key.lower() == wanted)

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and any(key.lower() == name.lower() for key, _ in self.items)

    def __iter__(self) -> Iterator[tuple[str, str]]:
        return iter(self.items)

    def __len__(self) -> int:
        return len(self.items)

    def __repr__(self) -> str:
        return f"Fields({self.items!r})"


def end_of_head(data: bytes, start: int = 0) -> int:
    """The position after the first blank line, ended by CRLF or by bare newlines; -1 if there is none yet."""
    found = _BLANK_LINE.search(data, start)
    return -1 if found is None else found.end()
