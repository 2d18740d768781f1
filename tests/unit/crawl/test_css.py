"""Addresses in style sheets: the grammar's corners, and that no sheet makes it slow."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from healtharchive.crawl.css import REFERENCES_MAX, Reference, references


def addresses(text: str) -> list[str]:
    return [reference.address for reference in references(text)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a{b:url(x.png)}", ["x.png"]),
        ("a{b:URL( x.png\n)}", ["x.png"]),
        ("a{b:url('x y.png')}", ["x y.png"]),
        ('a{b:url("a)b")}', ["a)b"]),
        ("a{b:url(a\\)b)}", ["a)b"]),
        ("a{b:url('a\\\nb')}", ["ab"]),
        ("a{b:url(\\78 y)}", ["xy"]),
        ("a{b:url(\\110000 x)}", ["\ufffdx"]),
        ("a{b:url(a), url(b) , url( c )}", ["a", "b", "c"]),
        ("a{b:url(a", ["a"]),
        ("a{b:url()}", []),
        ("a{b:url('')}", []),
        ("a{b:url(#x)}", []),
        ("a{b:url(a b)}", []),
        ("a{b:url(a'b) url(c)}", ["c"]),
        ("a{b:my-url(x) url-x(y) \\url(z)}", []),
        ("/* url(a) */ a{b:url(b)} /* url(c)", ["b"]),
        ("/**/a{b:url(/**/c)}", ["/**/c"]),
        ("a{b:\"url(a)\" url(b) 'url(c)'}", ["b"]),
        ('a{b:"unclosed\n; c:url(d)}', ["d"]),
        ('a{b:"\\"url(a)"}', []),
        ("@import 'a'; @IMPORT \"b\" screen; @import url(c) layer(x)", ["a", "b", "c"]),
        ("@important 'a'", []),
        ("@namespace 'a'; @namespace x url(b); a{b:url(c)}", ["c"]),
        ("@document url(a) { b{c:url(d)} }", ["d"]),
        ("a{b:image-set('a' 1x, \"b\" type('image/x') 2x)} c{d:'e'}", ["a", "b"]),
        ("a{b:-webkit-image-set(url(a) 1x)} c{d:url(e)}", ["a", "e"]),
        ("a{--x:url(a)}", ["a"]),
        ("@font-face{src:local('x'),url(a)format('woff2')}", ["a"]),
    ],
)
def test_grammar(text: str, expected: list[str]) -> None:
    assert addresses(text) == expected


def test_imports_are_told_apart() -> None:
    assert list(references("@import 'a'; b{c:url(d)}")) == [Reference("a", True), Reference("d", False)]


@pytest.mark.timeout(10)
@pytest.mark.parametrize(
    "piece",
    [
        "url(",
        '"',
        "'\\\n",
        "/*",
        "image-set(",
        'image-set("a" ',
        "url(\\",
        "@import ",
        "@namespace ",
        "url( ",
        "@import /*",
        "type(",
        "\\",
        "url(' ",
    ],
)
def test_no_sheet_makes_it_slow(piece: str) -> None:
    for text in (piece * 100_000, piece + " " * 1_000_000, "image-set(" + piece * 50_000):
        assert len(addresses(text)) <= REFERENCES_MAX


@given(
    st.lists(
        st.sampled_from(["url(", ")", '"', "'", "\\", "/*", "*/", "@import ", "image-set(", "a", " ", "\n", ";", "{", "}", "\0"]),
        max_size=40,
    )
)
def test_any_text_is_read(parts: list[str]) -> None:
    assert all(address and not address.startswith("#") for address in addresses("".join(parts)))
