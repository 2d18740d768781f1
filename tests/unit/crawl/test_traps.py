"""Suspected traps: each rule at its edge, and the real pages next to it that must pass."""

from __future__ import annotations

from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from healtharchive.crawl.traps import QUERIES_MAX, Trap, Traps, suspicion
from healtharchive.warc.urls import normalize

TODAY = date(2026, 11, 24)
SITE = "https://site.example"


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/a/a/a/", Trap("pathological-path", "/a/")),
        ("/x/a/b/a/b/a/b/y", Trap("pathological-path", "/a/b/")),
        ("/a/b/c/d/a/b/c/d/a/b/c/d", Trap("pathological-path", "/a/b/c/d/")),
        ("/a/a/b", None),
        ("/a/b/a/b/c", None),
        ("/aa/a/aaa", None),
        ("/1/2/3/4", None),
        ("/" + "/".join(map(str, range(20))), None),
        ("/" + "/".join(map(str, range(21))), Trap("too-many-segments", "21 segments")),
        ("/?a=1&a=1&a=1", Trap("repeated-parameter", "a=1")),
        ("/?a=1&a=2&a=3", None),
        ("/?a=1&a=1", None),
        ("/", None),
        ("///", None),
    ],
)
def test_what_one_url_shows(path: str, expected: Trap | None) -> None:
    assert suspicion(SITE + path) == expected
    assert Traps(TODAY).suspicion(SITE + path) == expected


CALENDARS = [
    "/events?month={year:04d}-{month:02d}",
    "/fr/calendrier/{year:04d}/{month:02d}/",
    "/calendar?year={year}&month={month}",
    "/events?view=month&date={year:04d}{month:02d}01",
    "/agenda/{year:04d}-{month:02d}-15",
]


@pytest.mark.parametrize("pattern", CALENDARS)
@pytest.mark.parametrize("step", [1, -1])
def test_a_walk_through_a_calendar_ends_two_years_from_today(pattern: str, step: int) -> None:
    traps, taken = Traps(TODAY), 0
    here, via = 2026 * 12 + 10, SITE + "/"
    while (trap := traps.suspicion(url := SITE + pattern.format(year=here // 12, month=here % 12 + 1), via_url=via)) is None:
        here, via, taken = here + step, url, taken + 1
        assert taken < 100
    assert taken == 25  # this month and two years
    assert trap.rule == "calendar"
    assert trap.sample == ("2028-12" if step > 0 else "2024-10")


def test_an_old_page_of_a_calendar_that_another_page_names_is_taken() -> None:
    assert Traps(TODAY).suspicion(SITE + "/events?month=1999-01", via_url=SITE + "/history") is None


def test_a_calendar_leads_back_towards_today() -> None:
    assert Traps(TODAY).suspicion(SITE + "/events?month=1999-02", via_url=SITE + "/events?month=1999-01") is None


@pytest.mark.parametrize("path", ["/archive/1998/07/", "/report?no=2099-12", "/statistics/1950-01.csv"])
def test_what_is_no_calendar_may_have_any_date(path: str) -> None:
    assert Traps(TODAY).suspicion(SITE + path, via_url=SITE + path.replace("1998/07", "1998/08")) is None


SESSION = "0123456789abcdef0123456789abcdef"
OTHER = SESSION[::-1]


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("/a?sid={}", None),
        ("/a?x=1&PHPSESSID={}&y=2", None),
        ("/a;jsessionid={}?x=1", None),
        ("/a?jsessionid={}", None),
    ],
)
def test_a_page_is_taken_once_whatever_its_session_id(first: str, second: str | None) -> None:
    traps = Traps(TODAY)
    one, two = SITE + first.format(SESSION), SITE + first.format(OTHER)
    assert traps.suspicion(one) is None
    assert traps.suspicion(one) is None
    found = traps.suspicion(two)
    assert found is not None
    assert found.rule == "session-id"
    assert OTHER in found.sample
    assert traps.suspicion(two.replace("/a", "/b")) is None


@pytest.mark.parametrize("query", ["?side=0123456789abcdef0123456789abcdef", "?sid=short", "?id=1&cfid=2"])
def test_what_only_resembles_a_session_id_is_none(query: str) -> None:
    traps = Traps(TODAY)
    assert traps.suspicion(SITE + "/a" + query) is None
    assert traps.suspicion(SITE + "/a" + query.replace("0", "1")) is None


def test_facets_explode_and_identifiers_do_not() -> None:
    traps = Traps(TODAY)
    facets = [traps.suspicion(f"{SITE}/search?a={n % 7}&b={n % 11}&c={n}") for n in range(QUERIES_MAX[3] + 500)]
    parked = [trap for trap in facets if trap is not None]
    assert 300 < len(parked) < 700
    assert parked[0] == Trap("query-explosion", f"/search: more than {QUERIES_MAX[3]} queries")
    assert all(traps.suspicion(f"{SITE}/drug?id={n}") is None for n in range(QUERIES_MAX[3] + 500))


def test_a_query_that_was_taken_is_not_suspected_later() -> None:
    traps = Traps(TODAY)
    first = f"{SITE}/search?a=1&b=2&c=first"
    assert traps.suspicion(first) is None
    for n in range(QUERIES_MAX[3] + 500):
        traps.suspicion(f"{SITE}/search?a=1&b=2&c={n}")
    assert traps.suspicion(first) is None


@given(st.builds("https://site.example/{}".format, st.text(alphabet="ab/?&=1;()2026-", max_size=60)), st.booleans())
def test_every_url_is_judged(address: str, from_calendar: bool) -> None:
    url = normalize(address)
    if url is not None:
        trap = Traps(TODAY).suspicion(url, via_url=f"{SITE}/events?month=2026-11" if from_calendar else None)
        assert trap is None or (trap.rule and trap.sample)
