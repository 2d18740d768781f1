"""Which encoding a text was written in, as browsers decide it: byte-order mark, then the header, then the text's own declaration.

Labels mean what the WHATWG Encoding standard says (`iso-8859-1` is windows-1252), and only encodings of that standard are ever
used: Python also knows utf-7, punycode and base64, which no page may choose. Decoding replaces what is damaged, never raises.
"""

from __future__ import annotations

import codecs
import re
from typing import Final, Literal

Kind = Literal["html", "css", "xml", "text"]

HTML_FALLBACK: Final = "cp1252"  # what browsers assume of an undeclared page in our languages
_PRESCAN_BYTES: Final = 1024  # where the HTML standard stops looking for a declaration; XML and CSS declare at the very start

_BOMS: Final = ((codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be"))

# Codec names as codecs.lookup() normalizes them -> the codec that reads the WHATWG encoding of that label.
_CODECS: Final = {
    "utf-8": "utf-8",
    "utf-8-sig": "utf-8",
    "ascii": "cp1252",
    "iso8859-1": "cp1252",
    "iso8859-9": "cp1254",
    "iso8859-11": "cp874",
    "tis-620": "cp874",
    "gb2312": "gb18030",
    "gbk": "gb18030",
    "gb18030": "gb18030",
    "big5": "big5hkscs",
    "big5hkscs": "big5hkscs",
    "shift_jis": "cp932",
    "cp932": "cp932",
    "euc_jp": "euc_jp",
    "iso2022_jp": "iso2022_jp",
    "euc_kr": "cp949",
    "cp949": "cp949",
    "utf-16": "utf-16-le",
    "utf-16-le": "utf-16-le",
    "utf-16-be": "utf-16-be",
    **{name: name for name in ("koi8-r", "koi8-u", "mac-roman", "mac-cyrillic", "cp866", "cp874")},
    **{name: name for name in (f"cp{number}" for number in range(1250, 1259))},
    **{name: name for name in (f"iso8859-{number}" for number in (2, 3, 4, 5, 6, 7, 8, 10, 13, 14, 15, 16))},
}

_META: Final = re.compile(rb"""<meta[\s/][^>]*?charset\s*=\s*["']?\s*([A-Za-z0-9_.:()-]+)""", re.IGNORECASE)
_COMMENT: Final = re.compile(rb"<!--.*?(?:-->|\Z)", re.DOTALL)
_XML: Final = re.compile(rb"""\s*<\?xml\s[^>]*?encoding\s*=\s*["']([A-Za-z0-9_.:()-]+)""")
_CSS: Final = re.compile(rb'@charset "([A-Za-z0-9_.:()-]+)";')


def codec_of(label: str | None) -> str | None:
    """The Python codec for a charset label, None if it is no label of the WHATWG Encoding standard that we can read."""
    if not label:
        return None
    try:
        name = codecs.lookup(label.strip().strip("\"'").lower()).name
    except (LookupError, ValueError):
        return None
    return _CODECS.get(name)


def detect(payload: bytes, *, header: str | None = None, kind: Kind = "html") -> tuple[str, int]:
    """The codec of `payload` and the length of its byte-order mark. `header` is the charset of the Content-Type, if it named
    one."""
    for mark, codec in _BOMS:
        if payload.startswith(mark):
            return codec, len(mark)
    return codec_of(header) or _declared(payload, kind) or (HTML_FALLBACK if kind == "html" else "utf-8"), 0


def decode(payload: bytes, *, header: str | None = None, kind: Kind = "html") -> str:
    """The text of `payload`. Never raises: damaged sequences become U+FFFD."""
    codec, mark = detect(payload, header=header, kind=kind)
    return payload[mark:].decode(codec, "replace")


def _declared(payload: bytes, kind: Kind) -> str | None:
    start = payload[:_PRESCAN_BYTES]
    found = None
    if kind == "css":
        found = _CSS.match(start)
    elif kind in ("html", "xml"):
        found = _XML.match(start)  # XHTML, and HTML that was exported from XML
        if found is None and kind == "html":
            found = _META.search(_COMMENT.sub(b"", start))
    codec = codec_of(found.group(1).decode("ascii")) if found else None
    # A declaration that could be read as ASCII is not in UTF-16, whatever it says (HTML standard, prescan).
    return "utf-8" if codec in ("utf-16-le", "utf-16-be") else codec
