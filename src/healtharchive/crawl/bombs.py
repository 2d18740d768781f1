"""Markup whose parse would cost quadratic time or memory, found before it is parsed, and cut into pieces that do not.

The HTML standard itself is quadratic in three places, and lexbor follows it (measured, selectolax 1.0.2): 50,000 open `div`
take 4 s and a million half an hour, 20,000 attributes of one element 1 s, and every block repeats each open formatting element
with attributes of its own: 5,000 `<p><b id=N>` become twelve million nodes. Browsers cut the depth at 512; we cut such
documents into pieces, so that links are still found. Ordinary documents pass as they are: the checks look at large documents
only.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Final

TAGS_UNCHECKED: Final = 2_000
TAGS_SHALLOW: Final = 20_000  # their worst depth costs half a second
REPEATS_MAX: Final = 4_000_000  # open formatting elements times tags: at most a million nodes, 370 MB
DEPTH_MAX: Final = 5_000
PIECE_TAGS: Final = 1_000
PIECE_BYTES: Final = 4 * 1024 * 1024  # a tree takes up to forty times its text
PIECES_MAX: Final = 200
LONG_TAG_BYTES: Final = 256 * 1024

# Only those with attributes: of equal ones the standard keeps three (its "Noah's Ark clause"), and an `a` ends the one before it.
_NAMES: Final = b"(?=[bcefinstuBCEFINSTU])(?i:b|big|code|em|font|i|nobr|s|small|strike|strong|tt|u)"
_STARTED: Final = re.compile(rb"<" + _NAMES + rb"[\s/]")
_FORMATTING: Final = re.compile(rb"<(" + _NAMES + rb"(?=[\s/])|/" + _NAMES + rb"(?=[\s/>]))")
_TAG: Final = re.compile(rb"<(/?[a-zA-Z][a-zA-Z0-9-]*+)")
_VOID: Final = frozenset(
    b"a area base br col embed hr img input link meta source track wbr "
    b"p li dt dd tr td th thead tbody tfoot option optgroup rp rt".split()  # ended by what follows, so that they never nest
)
_SLASH: Final = ord("/")
# In steps of eight characters, as many as two attributes of distinct names need; 5,000 steps are at most 10,000 attributes.
_ENDLESS_TAG: Final = re.compile(rb"""<[a-zA-Z](?:[^>"']{1,8}+|"[^"]*+"|'[^']*+'){5000,}+""")


def pieces(markup: bytes) -> tuple[list[bytes], bool]:
    """`markup` as one piece, or in pieces if it is a bomb; and whether something was left off."""
    cut = False
    if len(markup) > LONG_TAG_BYTES:
        shorter, count = _ENDLESS_TAG.subn(b"<x", markup)
        markup, cut = shorter, count > 0
    tags = markup.count(b"<")
    if tags <= TAGS_UNCHECKED or not (_repeats(markup, tags) or _is_deep(markup, tags)):
        return list(_split_bytes(markup)), cut
    found = list(_split(markup))
    return found[:PIECES_MAX], cut or len(found) > PIECES_MAX


def _repeats(markup: bytes, tags: int) -> bool:
    # Most large documents start so few of them that it does not matter which are ended.
    if len(_STARTED.findall(markup)) * tags <= REPEATS_MAX:
        return False
    return _are_open(_FORMATTING.findall(markup), REPEATS_MAX // tags)


def _is_deep(markup: bytes, tags: int) -> bool:
    return tags > TAGS_SHALLOW and _are_open(_TAG.findall(markup), DEPTH_MAX)


def _are_open(names: Sequence[bytes], limit: int) -> bool:
    """Whether more than `limit` elements are open at once. Names that differ in case are told apart only if it matters."""
    return _most_open(names) > limit and _most_open([name.lower() for name in names]) > limit


def _most_open(names: Sequence[bytes]) -> int:
    """How many elements are open at once at most, each end tag ending one start tag of its name before it."""
    still: dict[bytes, int] = {}
    count = still.get
    now = most = 0
    for name in names:
        if name[0] == _SLASH:
            name = name[1:]
            if left := count(name):
                still[name] = left - 1
                now -= 1
        elif name not in _VOID:
            still[name] = count(name, 0) + 1
            now += 1
            if now > most:
                most = now
    return most


def _split_bytes(markup: bytes) -> Iterator[bytes]:
    start = 0
    while len(markup) - start > PIECE_BYTES and (end := markup.find(b"<", start + PIECE_BYTES)) >= 0:
        yield markup[start:end]
        start = end
    yield markup[start:]


def _split(markup: bytes) -> Iterator[bytes]:
    start = 0
    for count, tag in enumerate(_TAG.finditer(markup)):
        if count and count % PIECE_TAGS == 0:
            yield markup[start : tag.start()]
            start = tag.start()
    yield markup[start:]
