"""The outline of XML, broken or not."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from healtharchive.crawl.xmlscan import attributes, tokens


def outline(text: str) -> list[str]:
    marks = {"start": "<", "end": "/", "text": "'", "pi": "?"}
    return [
        marks[token.kind] + (token.name or token.text) for token in tokens(text) if token.kind != "text" or token.text.strip()
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("<a>x</a>", ["<a", "'x", "/a"]),
        ("<n:A/>", ["<a", "/a"]),
        ("<a b='>'/>", ["<a", "/a"]),
        ("<a>1 &lt; 2 &amp; 3</a>", ["<a", "'1 < 2 & 3", "/a"]),
        ("<a><![CDATA[<b>&amp;]]></a>", ["<a", "'<b>&amp;", "/a"]),
        ("<!-- <a> --><b/>", ["<b", "/b"]),
        ("<?xml version='1.0'?><a/>", ["?xml", "<a", "/a"]),
        ("<!DOCTYPE a [<!ENTITY b '<c>'> <!-- ' -->]><a>&b;</a>", ["<a", "'&b;", "/a"]),
        ("<a><b>x<c></a>", ["<a", "<b", "'x", "<c", "/a"]),
        ("<a b='x", ["<a"]),
        ("x < y", ["'x ", "'<", "' y"]),
    ],
)
def test_outline(text: str, expected: list[str]) -> None:
    assert outline(text) == expected


def test_attributes() -> None:
    assert attributes(" a='1' n:B = \"x &amp; y\" c=d a='2' e") == {"a": "1", "b": "x & y", "c": "d"}


@pytest.mark.timeout(10)
@pytest.mark.parametrize(
    "piece", ["<a ", '<a b="', "<!", "<![CDATA[", "<?", "<", "<!--", "<!-", "</a", "<!D'", "<!D[", "]]", "&"]
)
def test_no_document_makes_it_slow(piece: str) -> None:
    for _ in tokens(piece * 100_000):
        pass


@given(st.text(alphabet="<>a/!-[]CDATA?'\"= &;x:", max_size=60))
def test_any_text_has_an_outline(text: str) -> None:
    list(tokens(text))
    attributes(text)
