"""Snippets: the stretch that shows why, as plain pieces."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from healtharchive.access.compiler import Compiler, is_near
from healtharchive.access.model import Part
from healtharchive.access.query import parse
from healtharchive.access.snippets import marked, snippet


def highlighted(query: str, text: str) -> list[str]:
    return [part.text for part in marked(text, Compiler(parse(query)).matcher()) if part.highlighted]


@pytest.mark.parametrize(
    ("query", "text", "expected"),
    [
        ("vaccines", "A vaccine, Vaccines, VACCINATION and vacuum", ["vaccine", "Vaccines", "VACCINATION"]),
        ("hopital", "L’hôpital et les hôpitaux", ["hôpital", "hôpitaux"]),
        ("vaccinées", "vaccination des personnes vaccinées", ["vaccination", "vaccinées"]),
        ("vacc*", "vaccin vacances vaccinal", ["vaccin", "vaccinal"]),
        ("influenca~", "Influenza spreads", ["Influenza"]),
        ('"public health"', "public libraries, public health", ["public", "public", "health"]),
        ("COVID-19", "covid-19 and SARS", ["covid", "19"]),
        ("flu -season", "flu season", ["flu"]),
        ("source:hc", "hc source", []),
    ],
)
def test_words_in_every_form_are_marked(query: str, text: str, expected: list[str]) -> None:
    assert highlighted(query, text) == expected


def test_the_stretch_with_most_terms_is_shown() -> None:
    text = "measles once. " + "filler words here. " * 60 + "measles and rubella together. " + "filler words here. " * 60
    parts = snippet((text, ""), Compiler(parse("measles rubella")).matcher())
    assert [part.text for part in parts if part.highlighted] == ["measles", "rubella"]
    assert parts[0] == Part("…")
    assert parts[-1] == Part("…")


def test_what_surrounds_a_page_is_shown_only_where_the_page_itself_says_nothing() -> None:
    matcher = Compiler(parse("contact")).matcher()
    assert any(part.highlighted for part in snippet(("the main text", "Home Contact"), matcher))
    assert snippet(("the main text", ""), matcher) == (Part("the main text"),)
    assert snippet(("", ""), matcher) == ()


@given(st.text(max_size=400), st.integers(40, 120))
def test_the_pieces_are_the_text_and_bounded(text: str, characters: int) -> None:
    parts = snippet((text,), Compiler(parse("a b")).matcher(), characters=characters)
    whole = "".join(part.text for part in parts).strip("…")
    assert whole in text.replace("\n", " ") or "…" in text
    assert len(whole) <= characters
    assert "".join(part.text for part in marked(text, lambda word: 0)) == text.replace("\n", " ")


@pytest.mark.parametrize(
    ("first", "second", "distance", "expected"),
    [("abc", "abc", 0, True), ("abcd", "abdc", 1, True), ("abc", "ac", 1, True), ("abc", "xyz", 2, False), ("", "ab", 2, True)],
)
def test_near_spellings(first: str, second: str, distance: int, expected: bool) -> None:
    assert is_near(first, second, distance) is expected
