"""Candidates of `srcset`: the examples of the HTML standard's grammar, and its traps."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from healtharchive.crawl.srcset import candidates


@pytest.mark.parametrize(
    ("srcset", "expected"),
    [
        ("", []),
        (" , ,, ", []),
        ("a", ["a"]),
        ("a 1x", ["a"]),
        ("a 1x, b 2x", ["a", "b"]),
        ("a 1x,b 2x", ["a", "b"]),
        ("a, b", ["a", "b"]),
        ("a,b", ["a,b"]),
        ("a,b,c 1x, d", ["a,b,c", "d"]),
        ("a,,, b", ["a", "b"]),
        (",a 1x", ["a"]),
        ("\n a\t100w ,\n b 200w 50h", ["a", "b"]),
        ("data:image/png;base64,AA==,BB 1x, c 2x", ["data:image/png;base64,AA==,BB", "c"]),
        ("a (x, y) , b", ["a", "b"]),
        ("a (x, y , b", ["a"]),
        ("a nonsense, b", ["a", "b"]),
    ],
)
def test_grammar(srcset: str, expected: list[str]) -> None:
    assert list(candidates(srcset)) == expected


@pytest.mark.timeout(5)
@pytest.mark.parametrize("piece", [",", "a(", "a ", "a (", " ", "a,", "(((", "a, "])
def test_no_value_makes_it_slow(piece: str) -> None:
    list(candidates(piece * 200_000))


@given(st.text(alphabet="ab, ()\n", max_size=40))
def test_no_candidate_has_white_space_or_a_comma_at_its_ends(srcset: str) -> None:
    for url in candidates(srcset):
        assert url == url.strip(" ,\n")
        assert url
