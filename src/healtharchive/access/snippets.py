"""The part of a text that shows why it was found, as plain pieces: who renders them escapes them, so no page injects markup."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

from healtharchive.access.model import Part

SNIPPET_CHARACTERS: Final = 260
TEXT_CHARACTERS_MAX: Final = 120_000
"""Characters of a text that are looked at: a snippet costs at most some milliseconds, however long the page."""

_LEAD_CHARACTERS: Final = 70
_MATCHES_MAX: Final = 400
_WORD: Final = re.compile(r"[^\W_]+")
_GAP: Final = "…"

Matcher = Callable[[str], int | None]
"""Which term of the query a word answers, None if none."""


def snippet(texts: tuple[str, ...], matcher: Matcher, *, characters: int = SNIPPET_CHARACTERS) -> tuple[Part, ...]:
    """The stretch with most of the query's terms, of the first of `texts` that has any; else the beginning of the first."""
    for text in texts:
        text = text[:TEXT_CHARACTERS_MAX]
        found = _found(text, matcher)
        if found:
            return _stretch(text, found, characters)
    first = next((text for text in texts if text), "")
    return _stretch(first[: characters * 4], [], characters)


def marked(text: str, matcher: Matcher) -> tuple[Part, ...]:
    """The whole text with its matching words marked."""
    return _parts(text, [(start, end) for start, end, _ in _found(text, matcher)], 0, len(text))


def _found(text: str, matcher: Matcher) -> list[tuple[int, int, int]]:
    found = []
    for match in _WORD.finditer(text):
        term = matcher(match[0])
        if term is not None:
            found.append((match.start(), match.end(), term))
            if len(found) >= _MATCHES_MAX:
                break
    return found


def _stretch(text: str, found: list[tuple[int, int, int]], characters: int) -> tuple[Part, ...]:
    start = _start(text, found, characters)
    end = start + characters
    if end < len(text):
        # Not in the middle of a word, unless it is longer than any.
        space = max(text.rfind(" ", start + characters // 2, end), text.rfind("\n", start + characters // 2, end))
        end = space if space > 0 else end
    else:
        end = len(text)
    parts = _parts(text, [(a, b) for a, b, _ in found if start <= a and b <= end], start, end)
    if not parts:
        return ()
    before = (Part(_GAP),) if start > 0 else ()
    after = (Part(_GAP),) if end < len(text) else ()
    return (*before, *parts, *after)


def _start(text: str, found: list[tuple[int, int, int]], characters: int) -> int:
    """Where the stretch with most different terms begins, a little before its first match, at the start of a word or block."""
    if not found:
        return 0
    best, best_terms = 0, 0
    room = characters - _LEAD_CHARACTERS
    for index, (start, _, _) in enumerate(found):
        terms = len({term for a, _, term in found[index : index + 60] if a - start < room})
        if terms > best_terms:
            best, best_terms = start, terms
    block = text.rfind("\n", 0, best) + 1
    if best - block <= _LEAD_CHARACTERS:
        return block
    space = text.find(" ", best - _LEAD_CHARACTERS, best)
    return space + 1 if space >= 0 else best


def _parts(text: str, spans: list[tuple[int, int]], start: int, end: int) -> tuple[Part, ...]:
    parts: list[Part] = []
    position = start
    for a, b in spans:
        if a > position:
            parts.append(Part(text[position:a].replace("\n", " ")))
        parts.append(Part(text[a:b], highlighted=True))
        position = b
    if position < end:
        parts.append(Part(text[position:end].replace("\n", " ")))
    return tuple(parts)
