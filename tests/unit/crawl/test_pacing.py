"""How long one host is left alone."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from healtharchive.crawl.engine import CrawlProfile
from healtharchive.crawl.pacing import RETRY_AFTER_SECONDS_MAX, HostPace, retry_after_seconds

PROFILE = CrawlProfile(seeds=(), user_agent="x", delay_factor=5.0, min_delay_ms=500, max_delay_ms=30_000)
NOW = datetime(2026, 1, 31, 12, tzinfo=UTC)


def paced(*fetches: tuple[int | None, float], start: HostPace | None = None) -> HostPace:
    pace = start or HostPace.of(PROFILE)
    for status, elapsed_ms in fetches:
        pace = pace.after(status=status, elapsed_ms=elapsed_ms)
    return pace


def test_delay_is_a_multiple_of_the_fetch_time_between_its_limits() -> None:
    assert paced((200, 1000)).delay_seconds == 5.0
    assert paced((200, 1)).delay_seconds == 0.5
    assert paced((200, 60_000)).delay_seconds == 30.0


def test_slow_answer_slows_down_at_once_and_a_fast_one_speeds_up_half_way() -> None:
    assert paced((200, 4000)).delay_seconds == 20.0
    assert paced((200, 4000), (200, 1000)).delay_seconds == 12.5


@pytest.mark.parametrize("status", [None, 400, 404, 500, 502])
def test_error_never_lowers_the_delay(status: int | None) -> None:
    slow = paced((200, 4000))
    assert slow.after(status=status, elapsed_ms=1).delay_seconds == 20.0
    assert slow.after(status=status, elapsed_ms=6000).delay_seconds == 30.0


@pytest.mark.parametrize("status", [429, 503])
def test_overloaded_host_is_given_what_it_asks_for_then_twice_as_long_each_time(status: int) -> None:
    asked = HostPace.of(PROFILE).after(status=status, elapsed_ms=5, retry_after_seconds=7)
    assert asked.delay_seconds == 7.0
    again = asked.after(status=status, elapsed_ms=5, retry_after_seconds=7)
    assert again.delay_seconds == 14.0
    assert again.after(status=status, elapsed_ms=5).delay_seconds == 28.0


def test_overloaded_host_that_asks_for_nothing_is_given_doubling_pauses() -> None:
    pace = HostPace.of(PROFILE)
    delays = []
    for _ in range(12):
        pace = pace.after(status=503, elapsed_ms=5)
        delays.append(pace.delay_seconds)
    assert delays[:4] == [2.0, 4.0, 8.0, 16.0]
    assert delays[-1] == 600.0


def test_good_answer_ends_the_pause_but_the_host_stays_slower_for_a_while() -> None:
    pace = paced((200, 200), (429, 1), (429, 1))
    recovered = pace.after(status=200, elapsed_ms=200)
    assert recovered.overloads == 0
    assert 1.0 < recovered.delay_seconds < pace.delay_seconds


def test_error_after_an_overload_does_not_end_the_pause() -> None:
    pace = paced((503, 1), (503, 1))
    assert pace.after(status=None, elapsed_ms=1).delay_seconds == pace.delay_seconds


def test_crawl_delay_of_robots_is_a_minimum_up_to_what_we_respect() -> None:
    pace = HostPace.of(PROFILE).with_crawl_delay(12)
    assert pace.after(status=200, elapsed_ms=10).delay_seconds == 12.0
    assert pace.with_crawl_delay(100_000).delay_seconds == 300.0
    assert pace.with_crawl_delay(None).delay_seconds == 0.5


def test_politeness_off_means_no_delay_at_all() -> None:
    off = HostPace.of(replace(PROFILE, delay_factor=0.0, min_delay_ms=0))
    assert off.after(status=200, elapsed_ms=500).delay_seconds == 0.0


@given(
    st.lists(
        st.tuples(st.sampled_from([None, 200, 304, 404, 429, 500, 503]), st.floats(0, 1e6), st.none() | st.floats(0, 1e9)),
        max_size=30,
    )
)
def test_delay_stays_between_its_limits_whatever_happens(fetches: list[tuple[int | None, float, float | None]]) -> None:
    pace = HostPace.of(PROFILE)
    for status, elapsed_ms, retry_after in fetches:
        before = pace
        pace = pace.after(status=status, elapsed_ms=elapsed_ms, retry_after_seconds=retry_after)
        assert 0.5 <= pace.delay_seconds <= RETRY_AFTER_SECONDS_MAX
        assert pace.delay_ms <= 30_000
        if status is None or status >= 400:
            assert pace.delay_ms >= before.delay_ms


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("120", 120.0),
        (" 0 ", 0.0),
        ("1.5", 1.5),
        ("99999999", RETRY_AFTER_SECONDS_MAX),
        ("Sat, 31 Jan 2026 12:00:30 GMT", 30.0),
        ("Sat, 31 Jan 2026 11:00:00 GMT", 0.0),
        ("Fri, 31 Jan 2126 11:00:00 GMT", RETRY_AFTER_SECONDS_MAX),
        ("soon", None),
        ("-5", None),
        ("", None),
        (None, None),
    ],
)
def test_retry_after_is_read_as_seconds_or_as_a_date(value: str | None, seconds: float | None) -> None:
    assert retry_after_seconds(value, NOW) == seconds
