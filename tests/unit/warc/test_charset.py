"""Encodings of texts, as browsers decide them."""

from __future__ import annotations

import codecs

import pytest
from hypothesis import given
from hypothesis import strategies as st

from healtharchive.warc.charset import Kind, codec_of, decode, detect


@pytest.mark.parametrize(
    ("label", "codec"),
    [
        ("utf-8", "utf-8"),
        ("UTF8", "utf-8"),
        (" utf-8 ", "utf-8"),
        ('"utf-8"', "utf-8"),
        ("iso-8859-1", "cp1252"),
        ("latin1", "cp1252"),
        ("us-ascii", "cp1252"),
        ("windows-1252", "cp1252"),
        ("iso-8859-15", "iso8859-15"),
        ("gb2312", "gb18030"),
        ("Shift_JIS", "cp932"),
        ("euc-kr", "cp949"),
        ("utf-16", "utf-16-le"),
        ("utf-7", None),
        ("base64", None),
        ("rot13", None),
        ("undefined", None),
        ("mbcs", None),
        ("unicode_escape", None),
        ("x" * 1000, None),
        ("a\0b", None),
        ("é", None),
        ("", None),
        (None, None),
    ],
)
def test_labels(label: str | None, codec: str | None) -> None:
    assert codec_of(label) == codec


@pytest.mark.parametrize(
    ("payload", "header", "kind", "codec"),
    [
        (b"x", None, "html", "cp1252"),
        (b"x", None, "css", "utf-8"),
        (b"x", None, "xml", "utf-8"),
        (b"x", None, "text", "utf-8"),
        (b"x", "iso-8859-2", "html", "iso8859-2"),
        (b"x", "nonsense", "html", "cp1252"),
        (b"<meta charset=utf-8>", "iso-8859-2", "html", "iso8859-2"),
        (b"<META content='text/html; charset=koi8-r' http-equiv=content-type>", None, "html", "koi8-r"),
        (b" " * 2000 + b"<meta charset=utf-8>", None, "html", "cp1252"),
        (b"<meta charset=utf-16>", None, "html", "utf-8"),
        (b'<?xml version="1.0" encoding="iso-8859-2"?>', None, "xml", "iso8859-2"),
        (b'@charset "windows-1251";', None, "css", "cp1251"),
        (b' @charset "windows-1251";', None, "css", "utf-8"),
        (codecs.BOM_UTF16_LE + b"x\0", "utf-8", "html", "utf-16-le"),
        (codecs.BOM_UTF8 + b"x", "iso-8859-1", "css", "utf-8"),
    ],
)
def test_who_decides(payload: bytes, header: str | None, kind: Kind, codec: str) -> None:
    assert detect(payload, header=header, kind=kind)[0] == codec


def test_the_mark_is_no_text() -> None:
    assert decode(codecs.BOM_UTF8 + b"x") == decode(codecs.BOM_UTF16_BE + b"\0x") == "x"


@given(st.binary(max_size=200), st.one_of(st.none(), st.text(max_size=20)), st.sampled_from(["html", "css", "xml", "text"]))
def test_decoding_never_raises(payload: bytes, header: str | None, kind: Kind) -> None:
    assert isinstance(decode(payload, header=header, kind=kind), str)
