"""A lenient reader of XML's outline: start tags, end tags and text, in one linear pass, whatever is broken.

Feeds and site maps on real sites are often not well-formed (a bare `&`, HTML inside, cut in the middle), and a conforming parser
would stop at the first error and lose the rest. Entities of a document type are never expanded and nothing external is ever
read, so neither exponential expansion nor inclusion of local files exists here.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from html import unescape
from typing import Final, NamedTuple

_TOKEN: Final = re.compile(
    r"<!--(?:[^-]|-(?!->))*+(?:-->)?"
    r"|<!\[CDATA\[(?P<cdata>(?:[^\]]|\](?!\]>))*+)(?:\]\]>)?"
    r"|<\?(?P<pi>(?:[^?]|\?(?!>))*+)(?:\?>)?"
    r"|<![A-Za-z](?:[^\[<>\"']|\"[^\"]*+\"?|'[^']*+'?|\[(?:[^\]<\"']|<!--(?:[^-]|-(?!->))*+(?:-->)?|<|\"[^\"]*+\"?|'[^']*+'?)*+\]?)*+>?"
    r"|</(?P<end>[^\s<>/]++)[^<>]*+>?"
    r"|<(?P<start>[A-Za-z_][^\s<>/=]*+)(?P<attributes>(?:[^<>\"'/]|\"[^\"]*+\"?|'[^']*+'?|/(?!>))*+)(?P<empty>/?)>?"
    r"|(?P<text>[^<]++|<)"
)
_ATTRIBUTE: Final = re.compile(r"""([^\s=<>"'/]++)\s*+=\s*+(?:"([^"]*+)"?|'([^']*+)'?|([^\s"'<>]++))""")


class Token(NamedTuple):
    """`kind` is start, end, text or pi; `name` is lower case without prefix; `text` is plain, or raw attributes of a start."""

    kind: str
    name: str
    text: str


def tokens(text: str) -> Iterator[Token]:
    """The outline of `text`, comments and document type left out. An empty element gives a start and an end."""
    for found in _TOKEN.finditer(text):
        match found.lastgroup:
            case "text":
                raw = found.group("text")
                yield Token("text", "", unescape(raw) if "&" in raw else raw)
            case "end":
                yield Token("end", _local(found.group("end")), "")
            case "empty":
                name = _local(found.group("start"))
                yield Token("start", name, found.group("attributes"))
                if found.group("empty"):
                    yield Token("end", name, "")
            case "cdata":
                yield Token("text", "", found.group("cdata"))
            case "pi":
                name, _, rest = found.group("pi").partition(" ")
                yield Token("pi", name.lower(), rest)
            case _:
                pass


def attributes(raw: str) -> dict[str, str]:
    """The attributes of a start tag by lower-case name without prefix; the first of two wins."""
    found: dict[str, str] = {}
    for name, double, single, bare in _ATTRIBUTE.findall(raw):
        found.setdefault(_local(name), unescape(double or single or bare))
    return found


def _local(name: str) -> str:
    return name.rpartition(":")[2].lower()
