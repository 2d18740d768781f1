"""What a style sheet refers to: `url()`, `@import` and the strings of `image-set()`, in one linear pass.

Nothing from comments, from other strings (`content: "url(x)"`), from `@namespace` and `@document` (names, not addresses), from
`url()` that a browser calls bad, or from references into the same document (`url(#gradient)`).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final, NamedTuple

REFERENCES_MAX: Final = 50_000

# Possessive quantifiers throughout: a hostile sheet must not find anything to backtrack into.
_STRING = r""""(?:[^"\\\n]|\\[\s\S])*+"?|'(?:[^'\\\n]|\\[\s\S])*+'?"""
_COMMENT = r"/\*(?:[^*]|\*(?!/))*+(?:\*/)?"

_TOKEN: Final = re.compile(
    rf"{_COMMENT}|(?P<string>{_STRING})"
    rf"|(?<![\w-])(?:(?P<url>(?:url|src)\()|(?P<set>(?:-webkit-)?image-set\())"
    rf"|@(?:(?P<import>import)|(?P<names>namespace|(?:-moz-)?document))(?![\w-])|\\[\s\S]",
    re.IGNORECASE,
)
_URL: Final = re.compile(rf"\s*+(?:({_STRING})|((?:[^\s\"'()\\]|\\(?:[0-9a-fA-F]{{1,6}}+\s?|[^\n]))*+))\s*+(?:\)|\Z)")
_BAD_URL: Final = re.compile(r"(?:[^)\\]|\\[\s\S])*+\)?")
_SPACE: Final = re.compile(rf"(?:\s|{_COMMENT})*+")
_IMPORTED: Final = re.compile(_STRING)
_AT_RULE: Final = re.compile(rf"(?:[^;{{\"']|{_STRING})*+")
_SET_PART: Final = re.compile(
    rf"(?P<string>{_STRING})|type\((?:[^)\"']|{_STRING})*+\)?|(?P<url>url\()|(?P<end>[);}}])|[^)\"';}}ut]++|[ut]",
    re.IGNORECASE,
)
_ESCAPE: Final = re.compile(r"\\(?:([0-9a-fA-F]{1,6})(?:\r\n|\s)?|(\r\n|\n)|([\s\S]))")


class Reference(NamedTuple):
    """An address in a style sheet as written, its escapes resolved; `imported` if it names another style sheet."""

    address: str
    imported: bool


def references(css: str) -> Iterator[Reference]:
    """The addresses in a style sheet or a `style` attribute, at most REFERENCES_MAX; time is linear in the text."""
    found = 0
    for address, imported in _scan(css):
        if not address or address.startswith("#"):
            continue
        yield Reference(address, imported)
        found += 1
        if found >= REFERENCES_MAX:
            return


def _scan(css: str) -> Iterator[tuple[str, bool]]:
    position = 0
    while (token := _TOKEN.search(css, position)) is not None:
        position = token.end()
        match token.lastgroup:
            case "url":
                position, address = _address(css, position)
                yield address, False
            case "import":
                position = _end(_SPACE, css, position)
                if css[position : position + 4].lower() == "url(":
                    position, address = _address(css, position + 4)
                    yield address, True
                elif (string := _IMPORTED.match(css, position)) is not None:
                    position = string.end()
                    yield _unquote(string.group()), True
            case "names":
                position = _end(_AT_RULE, css, position)
            case "set":
                position, addresses = _image_set(css, position)
                for address in addresses:
                    yield address, False
            case _:
                pass  # a comment, a string, an escape: passed over as a whole


def _address(css: str, position: int) -> tuple[int, str]:
    """The end and the address of the `url(` whose inside starts at `position`; '' if it is a bad one."""
    body = _URL.match(css, position)
    if body is None:
        return _end(_BAD_URL, css, position), ""
    quoted, bare = body.group(1), body.group(2)
    return body.end(), _unquote(quoted) if quoted else _unescape(bare or "")


def _image_set(css: str, position: int) -> tuple[int, list[str]]:
    """The end and the addresses of an `image-set(`: its strings are addresses, those inside `type()` are not."""
    addresses: list[str] = []
    while (part := _SET_PART.match(css, position)) is not None:
        position = part.end()
        if part.lastgroup == "string":
            addresses.append(_unquote(part.group()))
        elif part.lastgroup == "url":
            position, address = _address(css, position)
            addresses.append(address)
        elif part.lastgroup == "end":
            break
    return position, addresses


def _end(pattern: re.Pattern[str], css: str, position: int) -> int:
    found = pattern.match(css, position)
    return found.end() if found else position


def _unquote(string: str) -> str:
    closed = len(string) > 1 and string[-1] == string[0]
    return _unescape(string[1:-1] if closed else string[1:]).strip()


def _unescape(text: str) -> str:
    return _ESCAPE.sub(_character, text) if "\\" in text else text


def _character(escape: re.Match[str]) -> str:
    digits, newline, char = escape.groups()
    if digits:
        code = int(digits, 16)
        return chr(code) if 0 < code <= 0x10FFFF and not 0xD800 <= code <= 0xDFFF else "\ufffd"
    return "" if newline else str(char)
