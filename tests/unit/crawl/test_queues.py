"""Whose turn it is: hosts in rounds, each at its pace, never more at once than allowed."""

from __future__ import annotations

from collections import Counter

from healtharchive.crawl.engine import CrawlProfile
from healtharchive.crawl.entries import Claim
from healtharchive.crawl.pacing import HostPace
from healtharchive.crawl.queues import Queues

HASTY = HostPace.of(CrawlProfile(("http://a.test/",), "x", delay_factor=0, min_delay_ms=0, max_delay_ms=0))
POLITE = HostPace.of(CrawlProfile(("http://a.test/",), "x", delay_factor=0, min_delay_ms=1000, max_delay_ms=1000))


def queues(pace: HostPace = HASTY, *, connections: int = 8, per_host: int = 2) -> Queues:
    return Queues(connections=connections, per_host=per_host, pace=pace)


def claim(host: str, number: int) -> Claim:
    return Claim(number, b"", f"http://{host}/{number}", "L", 0, 0, 0, 0, None)


def fill(all_: Queues, **hosts: int) -> None:
    for host, count in hosts.items():
        for number in range(count):
            all_.put(all_.host(host), claim(host, number))


def take_all(all_: Queues, now: float = 0.0) -> Counter[str]:
    taken: Counter[str] = Counter()
    while (one := all_.take(now)) is not None:
        taken[one[0].name] += 1
    return taken


def test_no_host_gets_more_than_its_share_and_all_together_no_more_than_allowed() -> None:
    all_ = queues(connections=5)
    fill(all_, large=100, small=1, other=10)
    assert take_all(all_) == {"large": 2, "small": 1, "other": 2}
    assert all_.active == 5
    assert all_.ready == 106


def test_an_ended_fetch_makes_room_for_the_same_host() -> None:
    all_ = queues()
    fill(all_, a=5)
    assert take_all(all_) == {"a": 2}
    all_.done(all_.host("a"), 0.0)
    assert take_all(all_) == {"a": 1}


def test_a_polite_host_rests_between_two_starts_and_after_each_end() -> None:
    all_ = queues(POLITE)
    fill(all_, a=5)
    assert take_all(all_, 10.0) == {"a": 1}
    assert all_.next_wake() == 11.0
    assert take_all(all_, 10.9) == {}
    assert take_all(all_, 11.0) == {"a": 1}
    all_.done(all_.host("a"), 13.0)
    assert take_all(all_, 13.5) == {}
    assert take_all(all_, 14.0) == {"a": 1}


def test_a_host_that_rests_does_not_hold_up_another() -> None:
    all_ = queues()
    fill(all_, tired=5, awake=5)
    all_.rest(all_.host("tired"), 100.0)
    assert take_all(all_, 0.0) == {"awake": 2}
    assert all_.next_wake() == 100.0
    assert take_all(all_, 100.0) == {"tired": 2}


def test_what_must_come_first_comes_first() -> None:
    all_ = queues(per_host=1)
    fill(all_, a=2)
    all_.put(all_.host("a"), claim("a", 99), first=True)
    one = all_.take(0.0)
    assert one is not None
    assert one[1].id == 99


def test_dropping_a_host_gives_its_claims_back() -> None:
    all_ = queues()
    fill(all_, a=3, b=1)
    assert len(list(all_.drop(all_.host("a")))) == 3
    assert all_.ready == 1
    assert take_all(all_) == {"b": 1}
