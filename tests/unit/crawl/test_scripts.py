"""Strings that read like addresses, JSON-LD, import maps."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from healtharchive.crawl.scripts import import_map, linked_data, strings, web_manifest


@pytest.mark.parametrize(
    "text",
    [
        "https://a.example",
        "https://a.example:8080/x?y#z",
        "//cdn.example/x.js",
        "/a/b",
        "/a/",
        "/a.html",
        "/search?q=1",
        "./a",
        "../a/b",
        "a.html",
        "img/a.png?v=1",
        "https://localhost:8000/x",
    ],
)
def test_what_reads_like_an_address(text: str) -> None:
    for quote in "\"'`":
        assert list(strings(f"x={quote}{text}{quote};")) == [text]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a",
        "use strict",
        "text/html",
        "/",
        "//",
        "/a",
        "a/b",
        "1.5",
        "Math.max",
        "a.b.c",
        "<a.html>",
        "a b.html",
        "{x}.html",
        "https://",
        "#a.html",
        ".html",
        "jquery",
        "2026-11-24",
        "/^a.*$/",
    ],
)
def test_what_does_not(text: str) -> None:
    assert list(strings(f'x="{text}";')) == []


def test_escapes_of_programs_are_resolved() -> None:
    assert list(strings(r'"https:\/\/a.example\/b\u002Fc?x\u003d1\u00261"')) == ["https://a.example/b/c?x=1&1"]


def test_an_apostrophe_in_a_comment_does_not_hide_the_strings_after_it() -> None:
    assert list(strings("""// it's new\nvar a = "/a/" + b + "/c.html";""")) == ["/a/", "/c.html"]


@pytest.mark.timeout(10)
@pytest.mark.parametrize("piece", ['"a', "'/", '"a/', "a.", "https://", '"', "\\", '"//a.'])
def test_no_program_makes_it_slow(piece: str) -> None:
    list(strings(piece * 200_000))
    list(strings('"' + (piece.replace('"', "") or "a") * 500 + '"'))


def test_linked_data_names_pages_and_media() -> None:
    data = {
        "@graph": [
            {
                "url": "/a",
                "image": ["/i.png", {"url": "/j.png", "contentUrl": "/k.png"}],
                "author": {"url": "/b", "image": "/l.png"},
            }
        ]
    }
    assert set(linked_data(json.dumps(data))) == {
        ("/a", False),
        ("/b", False),
        ("/i.png", True),
        ("/j.png", True),
        ("/k.png", True),
        ("/l.png", True),
    }


@pytest.mark.parametrize(
    "text", ["", "{", "1", "null", '"x"', "[" * 100_000, '{"url": 1}', '{"url": "no address"}', '{"url": null}', "\x00"]
)
def test_what_is_no_linked_data_names_nothing(text: str) -> None:
    assert list(linked_data(text)) == []
    assert list(import_map(text)) == []


def test_linked_data_in_the_wrappings_of_old_pages() -> None:
    assert list(linked_data('<!-- {"url": "/a"} -->')) == [("/a", False)]
    assert list(linked_data('//<![CDATA[\n{"url": "/a",\n "name": "line\nbreak"}\n//]]>')) == [("/a", False)]


def test_an_import_map() -> None:
    text = '{"imports": {"a": "/a.js", "b/": "/b/"}, "scopes": {"/c/": {"a": "/c/a.js", "d": null}}}'
    assert list(import_map(text)) == ["/a.js", "/c/a.js"]


JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.floats(), st.text(max_size=10)),
    lambda inside: (
        st.lists(inside, max_size=4)
        | st.dictionaries(
            st.sampled_from(["url", "image", "imports", "scopes", "icons", "src", "item", "@id"]), inside, max_size=4
        )
    ),
    max_leaves=20,
)


@given(JSON)
def test_any_json_is_read(value: object) -> None:
    text = json.dumps(value)
    for read in (linked_data, web_manifest):
        assert all(isinstance(address, str) for address, _ in read(text))
    assert all(isinstance(address, str) for address in import_map(text))
