"""Addresses are resolved once for all pages of a directory, and yet as if each page had been asked."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from healtharchive.crawl.references import Collector
from healtharchive.warc.urls import normalize

BASES = (
    "https://site.example/a/b.html",
    "https://site.example/a/c.html?q=/x/y",
    "https://site.example/a/?d",
    "http://site.example/",
    "http://site.example/?/a/",
    "https://site.example/" + "long/" * 120,
)
ADDRESSES = st.text(st.sampled_from("ab.0-_~%/?:&=;@ \\\t\n[]éhtps"), max_size=12)


@given(st.lists(st.sampled_from(BASES), min_size=2, max_size=2, unique=True), ADDRESSES)
@example([BASES[0], BASES[1]], "?x")
@example([BASES[0], BASES[1]], "\t?x")
@example([BASES[0], BASES[1]], "https:?x")
@example([BASES[0], BASES[1]], "https:d")
@example([BASES[0], BASES[3]], "http:d")
@example([BASES[0], BASES[1]], "")
@example([BASES[0], BASES[1]], "..")
@example([BASES[0], BASES[1]], "//other.example")
def test_an_address_means_what_it_means_on_its_own_page(bases: list[str], address: str) -> None:
    for base in bases:
        assert Collector(base).resolve(address) == normalize(address, base)


@pytest.mark.parametrize("codebase", ["classes/", "../up?x=/", "//other.example/y", None])
def test_below_a_code_base_it_is_that_directory_and_afterwards_the_page_again(codebase: str | None) -> None:
    found = Collector(BASES[0])
    assert found.resolve("x.html") == normalize("x.html", BASES[0])
    with found.below(codebase):
        inside = normalize(codebase, BASES[0]) if codebase else BASES[0]
        assert found.resolve("x.html") == normalize("x.html", inside)
        assert found.resolve("../x.html") == normalize("../x.html", inside)
    assert found.resolve("../x.html") == normalize("../x.html", BASES[0])
