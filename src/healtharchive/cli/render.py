"""What a command shows: text for a person or JSON for a program. The only place that prints.

Standard output carries the answer and nothing else; progress and errors go to standard error. In JSON every answer is one object
on one line, every list is inside an object, instants are ISO 8601 in UTC with a `Z`, and keys never change their meaning.
"""

from __future__ import annotations

import json
import sys
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import fields, is_dataclass
from datetime import UTC, datetime, timedelta
from enum import Enum
from pathlib import Path
from typing import Any, TextIO

from healtharchive.errors import HealthArchiveError, StorageUnavailable


class ReaderGone(Exception):
    """Whoever read our standard output has closed it, as `head` does. Nothing is wrong and nothing more need be said."""


class Output:
    """Where one command's answer goes."""

    def __init__(self, *, as_json: bool, stdout: TextIO | None = None, stderr: TextIO | None = None) -> None:
        self.as_json = as_json
        self._given = (stdout, stderr)

    @property
    def _stdout(self) -> TextIO:
        return self._given[0] or sys.stdout

    @property
    def _stderr(self) -> TextIO:
        """Looked up at each use: while a live display runs, it stands in for the stream and keeps lines above itself."""
        return self._given[1] or sys.stderr

    @property
    def live(self) -> bool:
        """Whether a person watches standard error, so that a display may redraw itself."""
        return not self.as_json and self._stderr.isatty()

    @property
    def to_terminal(self) -> bool:
        """Whether the answer itself is read on a terminal, so that it may be bold here and there."""
        return not self.as_json and self._stdout.isatty()

    def answer(self, value: object, lines: Iterable[str]) -> None:
        """The answer of a command: `value` as JSON, or `lines` as text."""
        if self.as_json:
            self._write(to_json(value))
        else:
            for line in lines:
                self._write(line)

    def note(self, line: str) -> None:
        """A remark for a person on standard error, not part of the answer."""
        if not self.as_json:
            self._err(line)

    def error(self, error: HealthArchiveError) -> None:
        """One line on standard error; with `--json` the error's object."""
        self._err(to_json(error.as_dict()) if self.as_json else printable(str(error)))

    def write_raw(self, text: str) -> None:
        """A ready-made format, such as CDXJ or a log, unchanged."""
        self._put(self._stdout, text)

    @contextmanager
    def raw(self) -> Iterator[TextIO]:
        """Standard output for a writer of a format of its own. Raises ReaderGone, StorageUnavailable."""
        with _written():
            yield self._stdout

    def flush(self) -> None:
        with _written():
            self._stdout.flush()

    def _write(self, line: str) -> None:
        self._put(self._stdout, line + "\n")

    def _err(self, line: str) -> None:
        with suppress(OSError, ReaderGone, StorageUnavailable):  # nobody is left to be told that nobody can be told
            self._put(self._stderr, line + "\n")
            self._stderr.flush()

    def _put(self, stream: TextIO, text: str) -> None:
        with _written():
            try:
                stream.write(text)
            except UnicodeEncodeError:  # a terminal of another character set must not end a command
                stream.write(text.encode(stream.encoding or "ascii", "replace").decode(stream.encoding or "ascii"))


@contextmanager
def _written() -> Iterator[None]:
    """What a write to standard output can end in, said as what it is. Raises ReaderGone, StorageUnavailable."""
    try:
        yield
    except BrokenPipeError as error:
        raise ReaderGone from error
    except OSError as error:  # a redirection to a file on a full disk
        what = f"The answer could not be written to standard output: {error.strerror or error}."
        raise StorageUnavailable(what, hint="What the command did is kept.") from error


def to_json(value: object) -> str:
    return json.dumps(jsonable(value), ensure_ascii=False)


def jsonable(value: Any) -> Any:
    """Values of ours as JSON has them: dataclasses by field name, instants in UTC, bytes in hexadecimal."""
    if value is None or (isinstance(value, str | int | float | bool) and not isinstance(value, Enum)):
        return value
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, Path):
        return str(value)
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: jsonable(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, Mapping):
        return {str(key): jsonable(item) for key, item in value.items()}
    if isinstance(value, Iterable):
        return [jsonable(item) for item in value]
    raise TypeError(f"{type(value).__name__} has no JSON form")


def table(headers: Sequence[str], rows: Iterable[Sequence[object]], *, right: frozenset[int] = frozenset()) -> list[str]:
    """Rows in aligned columns under their headers; `right` names the columns of numbers."""
    cells = [list(headers), *([cell(value) for value in row] for row in rows)]
    widths = [max(width(row[column]) for row in cells) for column in range(len(headers))]
    return ["  ".join(_pad(text, widths[column], column in right) for column, text in enumerate(row)).rstrip() for row in cells]


def facts(pairs: Iterable[tuple[str, object]]) -> list[str]:
    """Names and values, one a line, the values aligned; a value of None is left out."""
    shown = [(name, cell(value)) for name, value in pairs if value is not None]
    longest = max((width(name) for name, _ in shown), default=0)
    return [f"{_pad(name, longest, False)}  {text}".rstrip() for name, text in shown]


def cell(value: object) -> str:
    """One value as text without control characters: names and reasons come from anywhere."""
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Enum):
        return str(value.value)
    if isinstance(value, datetime):
        return instant(value)
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:g}"
    return printable(str(value))


def instant(at: datetime | None) -> str:
    """Seconds are enough for a person; JSON has the microseconds."""
    return "-" if at is None else at.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%SZ")


def ago(seconds: float) -> str:
    """A span as a person says it: `9 s`, `12 min`, `3 h`, `5 d`."""
    for limit, unit, size in ((90, "s", 1), (5400, "min", 60), (172_800, "h", 3600)):
        if abs(seconds) < limit:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds / 86_400:.0f} d"


def size(count: float) -> str:
    """Bytes as `812 B`, `3.4 kB`, `12 MB`: powers of 1,000, as disks are sold."""
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if abs(count) < 1000 or unit == "TB":
            return f"{count:.0f} {unit}" if unit == "B" or abs(count) >= 10 else f"{count:.1f} {unit}"
        count /= 1000
    raise AssertionError("unreachable")


def printable(text: str) -> str:
    """One line that cannot steer a terminal: control and format characters become spaces (an escape in a title is an attack)."""
    return "".join(" " if unicodedata.category(character) in ("Cc", "Cf", "Zl", "Zp") else character for character in text)


def width(text: str) -> int:
    """Columns that a terminal uses for `text`."""
    return sum(
        0 if unicodedata.combining(character) else 2 if unicodedata.east_asian_width(character) in "WF" else 1
        for character in text
    )


def _pad(text: str, columns: int, right: bool) -> str:
    space = " " * max(0, columns - width(text))
    return space + text if right else text + space
