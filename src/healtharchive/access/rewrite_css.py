"""Addresses in CSS, found by reading tokens as browsers do: escapes (`u\\72l(`), comments, `@import`, `image-set()`. Pure.

Part of `access.rewrite`. A search for `url(` would miss escaped ones and change those inside comments and strings.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

Address = Callable[[str], str | None]
"""Our address for what a style sheet names (relative to the sheet), None if it must not be kept."""

# Nothing that follows a repetition of these can fail, so that their overlap with other characters costs no second try.
_ESCAPED: Final = r"\\(?:[0-9A-Fa-f]{1,6}[ \t\r\n\f]?|[^\n\r\f0-9A-Fa-f])"
_TOKEN: Final = re.compile(
    r"""
      (?P<comment> /\*.*?(?:\*/|\Z) )
    | (?P<string>  "(?:[^"\\\n\r\f]|\\.)*(?:"|(?=[\n\r\f])|\Z)  |  '(?:[^'\\\n\r\f]|\\.)*(?:'|(?=[\n\r\f])|\Z) )
    | (?P<name>    @?-{0,2}(?:[A-Za-z_\u0080-\U0010ffff]|ESCAPED)(?:[\w\-\u0080-\U0010ffff]|ESCAPED)* )(?P<open>\()?
    | (?P<other>   [^"'/A-Za-z_@\\\-\u0080-\U0010ffff(){};]+ | . )
    """.replace("ESCAPED", _ESCAPED),
    re.VERBOSE | re.DOTALL,
)
_URL: Final = re.compile(
    r"""
    \s* (?: "(?P<double>(?:[^"\\\n\r\f]|\\.)*)" | '(?P<single>(?:[^'\\\n\r\f]|\\.)*)' | (?P<bare>(?:[^"'()\\\s]|ESCAPED)*) )
    \s* (?P<end> \)|\Z )?
    """.replace("ESCAPED", _ESCAPED),
    re.VERBOSE | re.DOTALL,
)
_ESCAPE: Final = re.compile(r"\\(?:([0-9A-Fa-f]{1,6})(?:\r\n|[ \t\r\n\f])?|(\r\n|[\n\r\f])|(.))", re.DOTALL)
_UNQUOTABLE: Final = re.compile(r'["\\\n\r\f<]')
# Functions in which a plain string is an address; `url` is a token of its own.
_ADDRESS_FUNCTIONS: Final = frozenset({"src", "image-set", "-webkit-image-set", "image", "cross-fade", "-webkit-cross-fade"})


def rewrite(text: str, address: Address) -> str:
    """Every address in `text`, a style sheet or a `style` attribute's value, replaced by what `address` gives for it.

    Where it gives None, `about:invalid` stands instead. Linear in the length of `text`.
    """
    out: list[str] = []
    position = 0
    importing = False
    functions: list[str] = []
    while match := _TOKEN.match(text, position):
        position = match.end()
        name, string = match["name"], match["string"]
        if name is not None:
            function = unescape(name).lower()
            if match["open"] and function == "url":
                found = _URL.match(text, position)
                assert found is not None  # the bare form matches nothing, too
                if found["end"] is None:
                    # A bad url token: browsers skip to the bracket that closes it, so that nothing in it is an address.
                    position = text.find(")", position) + 1 or len(text)
                    out.append("url(about:invalid)")
                else:
                    position = found.end()
                    inner = found["double"] or found["single"] or found["bare"] or ""
                    out.append(f'url("{_replaced(inner, address)}")')
                importing = False
                continue
            importing = importing or function == "@import"
            if match["open"]:
                functions.append(function)
        elif string is not None and (importing or (functions and functions[-1] in _ADDRESS_FUNCTIONS)):
            closed = len(string) > 1 and string[-1] == string[0]
            out.append(f'"{_replaced(string[1:-1] if closed else string[1:], address)}"')
            importing = False
            continue
        elif match[0] == "(":
            functions.append("(")
        elif match[0] == ")" and functions:
            functions.pop()
        elif match[0] in "{};":
            importing = False
            functions.clear()
        out.append(match[0])
    return "".join(out)


def unescape(text: str) -> str:
    """The characters that a CSS name or string stands for."""

    def one(match: re.Match[str]) -> str:
        if match[1]:
            code = int(match[1], 16)
            return chr(code) if 0 < code <= 0x10FFFF and not 0xD800 <= code < 0xE000 else "\ufffd"
        return "" if match[2] else match[3]

    return _ESCAPE.sub(one, text)


def _replaced(raw: str, address: Address) -> str:
    value = unescape(raw).strip()
    if not value:
        return ""
    ours = address(value)
    return "about:invalid" if ours is None else _UNQUOTABLE.sub(lambda match: f"%{ord(match[0]):02X}", ours)
