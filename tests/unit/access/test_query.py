"""The query language: what a reader typed, without ever failing."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from healtharchive.access.query import Clause, Filter, Term, parse, period


def at(year: int, month: int = 1, day: int = 1) -> datetime:
    return datetime(year, month, day, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "clauses"),
    [
        ("flu season", [Clause((Term("flu"),)), Clause((Term("season"),))]),
        ('"flu season" x', [Clause((Term("flu season", "phrase"),)), Clause((Term("x"),))]),
        ("« grippe  aviaire »", [Clause((Term("grippe  aviaire", "phrase"),))]),
        ("“flu season”", [Clause((Term("flu season", "phrase"),))]),
        ('"never closed', [Clause((Term("never closed", "phrase"),))]),
        ("-flu", [Clause((Term("flu"),), excluded=True)]),
        ('-"flu season"', [Clause((Term("flu season", "phrase"),), excluded=True)]),
        ("vacc*", [Clause((Term("vacc", "prefix"),))]),
        ("vacine~", [Clause((Term("vacine", "fuzzy"),))]),
        ("a OR b OU c d", [Clause((Term("a"), Term("b"), Term("c"))), Clause((Term("d"),))]),
        ("OR a", [Clause((Term("a"),))]),
        ("a OR", [Clause((Term("a"),))]),
        ("covid-19", [Clause((Term("covid-19"),))]),
        ("l'hôpital", [Clause((Term("l'hôpital"),))]),
        ("note:this", [Clause((Term("note:this"),))]),
        ("- * ~ ... !", []),
    ],
)
def test_terms(text: str, clauses: list[Clause]) -> None:
    assert list(parse(text).clauses) == clauses


def test_filters() -> None:
    found = parse(
        "source:hc source:phac langue:FR type:PDF status:404 statut:5xx site:Canada.CA url:covid -lang:english -status:403"
    )
    assert found.sources == ("hc", "phac")
    assert found.languages == ("fr",)
    assert found.mimes == ("pdf",)
    assert found.statuses == (404, *range(500, 600))
    assert (found.sites, found.urls) == (("canada.ca",), ("covid",))
    assert found.excluded == (Filter("language", "en", True), Filter("status", "403", True))
    assert not found.clauses


@pytest.mark.parametrize(
    ("text", "start", "end"),
    [
        ("year:2024", at(2024), at(2025)),
        ("year:2020..2022", at(2020), at(2023)),
        ("date:2024-02", at(2024, 2), at(2024, 3)),
        ("date:2024-12-31", at(2024, 12, 31), at(2025)),
        ("année:2024..", at(2024), None),
        ("date:..2024-03", None, at(2024, 4)),
        ("year:2020..2024 year:2022..2030", at(2022), at(2025)),
    ],
)
def test_periods(text: str, start: datetime | None, end: datetime | None) -> None:
    found = parse(text)
    assert (found.date_from, found.date_to, found.notes) == (start, end, ())


@pytest.mark.parametrize(
    "text", ["year:soon", "year:24", "date:2024-13", "date:9999-12-31", "date:..", "status:99", "status:abc", "-year:2024"]
)
def test_a_filter_without_sense_is_noted_and_left_out(text: str) -> None:
    found = parse(f"flu {text}")
    assert found.notes == (text,)
    assert (found.date_from, found.date_to, found.statuses) == (None, None, ())
    assert len(found.clauses) == 1


def test_filters_chosen_beside_the_text_narrow_its_dates_and_widen_its_lists() -> None:
    found = parse("source:hc year:2024", sources=["phac"], languages=["Français"], date_from=at(2024, 6), date_to=at(2030))
    assert (found.sources, found.languages) == (("hc", "phac"), ("fr",))
    assert (found.date_from, found.date_to) == (at(2024, 6), at(2025))


def test_a_pasted_address_is_looked_for_as_one() -> None:
    assert parse("https://example.org/a?b=c#d").urls == ("https://example.org/a?b=c#d",)


def test_length_and_number_of_terms_are_bounded() -> None:
    found = parse("word " * 5_000)
    assert len(found.clauses) == 32
    assert found.notes


@given(st.text(max_size=200))
def test_no_text_fails(text: str) -> None:
    parse(text)


@given(st.text(alphabet='ab:"-*~ .«»0129xyeardtsulngo/', max_size=60))
def test_nothing_near_the_language_fails(text: str) -> None:
    parse(text)


@given(st.text(alphabet="0123456789-.", max_size=24))
def test_a_period_is_one_or_a_value_error(text: str) -> None:
    try:
        start, end = period(text)
    except (ValueError, OverflowError):
        return
    assert start is not None or end is not None


@pytest.mark.parametrize("code", [-(10**30), 10**30])
def test_a_status_that_no_column_holds_finds_nothing_instead_of_failing(code: int) -> None:
    (status,) = parse("measles", statuses=[code]).statuses
    assert 0 <= status <= 1000
