"""The frontier's promises: one state a URL, fair claims, fenced transactions, a ledger that balances."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from healtharchive.crawl.engine import UrlState
from healtharchive.crawl.entries import Batch, Claim, Found, Outcome, Position, RobotsSeen, WarcLength
from healtharchive.crawl.frontier import Fenced, Frontier, ledger, urls
from healtharchive.crawl.ledger import states_of
from healtharchive.errors import StorageUnavailable

NOW = 1_800_000_000.0
DIGEST = bytes(range(32))


@pytest.fixture
def frontier(tmp_path: Path) -> Iterator[Frontier]:
    opened = Frontier(tmp_path / "frontier.sqlite3", 3, attempt=2)
    yield opened
    opened.close()


def found(*paths: str, host: str = "a.test", state: UrlState = UrlState.PENDING, hop: str = "L") -> list[Found]:
    return [Found(f"http://{host}/{path}", state, hop, rule="in-scope") for path in paths]


def claim(frontier: Frontier, wanted: int = 10, *, per_host: int = 100, now: float = NOW) -> list[Claim]:
    return frontier.claim(wanted, per_host=per_host, now=now)


def position(offset: int = 0, *, warc: str = "w", revisit: bool = False, digest: bytes = DIGEST) -> Position:
    return Position(warc, offset, 10, revisit, digest, 1000, "2026-11-24T00:00:00+00:00")


def captured(claim: Claim, offset: int = 0) -> Outcome:
    return Outcome(claim, UrlState.CAPTURED, tries=1, status=200, position=position(offset))


def test_a_url_is_claimed_once_and_finished_with_its_position(frontier: Frontier) -> None:
    frontier.find(found("1"))
    (first,) = claim(frontier)
    assert claim(frontier) == []
    frontier.commit(Batch(outcomes=[captured(first, 7)], warcs=[WarcLength("w", 17, 1)]))
    (row,) = urls(frontier.path)
    assert (row.state, row.attempt, row.warc, row.offset, row.length) == (UrlState.CAPTURED, 2, "w", 7, 10)
    assert row.digest == "sha256:" + DIGEST.hex()
    assert row.rule == "in-scope"
    assert frontier.imbalances(thorough=True) == []
    assert claim(frontier) == []


def test_what_was_claimed_and_not_finished_is_claimed_again_after_a_death(tmp_path: Path) -> None:
    path = tmp_path / "frontier.sqlite3"
    first = Frontier(path, 1)
    first.find(found("1", "2"))
    claims = claim(first)
    first.commit(Batch(in_flight=[c.id for c in claims if c.id is not None], found=found("3")))
    first.close()
    second = Frontier(path, 2)
    assert second.resumed
    assert second.interrupted(NOW) == 2
    assert {c.url for c in claim(second)} == {"http://a.test/1", "http://a.test/2", "http://a.test/3"}
    second.close()


def test_a_url_over_which_engines_keep_dying_waits_behind_the_others(tmp_path: Path) -> None:
    path = tmp_path / "frontier.sqlite3"
    for fence in range(1, 5):
        frontier = Frontier(path, fence)
        frontier.interrupted(NOW)
        frontier.find(found("poison", "other"))
        claims = claim(frontier)
        frontier.commit(
            Batch(in_flight=[c.id for c in claims if c.id is not None and "poison" in c.url], found=found(str(fence)))
        )
        frontier.close()
    assert not [c for c in claims if "poison" in c.url]
    assert ledger(path)[UrlState.PENDING] == 6


def test_claims_go_round_the_hosts(frontier: Frontier) -> None:
    frontier.find(found(*map(str, range(1000)), host="large.test"))
    frontier.find(found("only", host="small.test"))
    claims = claim(frontier, 20, per_host=10)
    assert {c.url for c in claims} >= {"http://small.test/only", "http://large.test/0"}
    assert sum("large" in c.url for c in claims) == 10
    assert claim(frontier, 20, per_host=10) == []


def test_a_retry_waits_until_its_time_and_a_clock_set_back_does_not_hold_it_up(frontier: Frontier) -> None:
    frontier.find(found("1"))
    (first,) = claim(frontier)
    frontier.commit(Batch(outcomes=[Outcome(first, UrlState.PENDING, "HTTP 503", tries=1, next_try=NOW + 60)]))
    assert frontier.next_try() == NOW + 60
    assert claim(frontier, now=NOW + 59) == []
    (again,) = claim(frontier, now=NOW + 61)
    assert again.tries == 1
    frontier.commit(Batch(outcomes=[Outcome(again, UrlState.PENDING, tries=2, next_try=NOW + 500)]))
    assert len(claim(frontier, now=NOW - 10 * 86_400)) == 1


def test_a_url_out_of_scope_becomes_pending_when_a_page_needs_it(frontier: Frontier) -> None:
    frontier.find(found("logo.png", state=UrlState.EXCLUDED))
    assert claim(frontier) == []
    frontier.find(found("logo.png", hop="E"))
    (needed,) = claim(frontier)
    assert needed.hop == "E"
    frontier.find(found("logo.png", state=UrlState.EXCLUDED))
    assert frontier.counts()[UrlState.EXCLUDED] == 0
    assert frontier.imbalances(thorough=True) == []


def test_a_late_commit_of_an_overtaken_attempt_changes_nothing(frontier: Frontier) -> None:
    frontier.find(found("1"))
    (first,) = claim(frontier)
    Frontier(frontier.path, 4).close()
    before = frontier.path.with_name("before")
    before.write_text(str(list(urls(frontier.path))))
    with pytest.raises(Fenced, match="fence 3 is overtaken"):
        frontier.commit(Batch(outcomes=[captured(first)], found=found("2")))
    with pytest.raises(Fenced):
        frontier.sealed("w")
    assert before.read_text() == str(list(urls(frontier.path)))


def test_an_older_attempt_cannot_even_open_it(frontier: Frontier) -> None:
    with pytest.raises(Fenced):
        Frontier(frontier.path, 2)
    assert ledger(frontier.path) == {}


def test_a_failed_transaction_leaves_no_half(frontier: Frontier) -> None:
    frontier.find(found("1"))
    (first,) = claim(frontier)
    with pytest.raises(TypeError):  # the outcome names a WARC that the batch does not know
        frontier.commit(Batch(found=found("2", "3"), outcomes=[captured(first)]))
    assert frontier.counts()[UrlState.PENDING] == 1
    frontier.commit(Batch(found=found("2"), outcomes=[captured(first)], warcs=[WarcLength("w", 10, 1)]))
    assert frontier.counts()[UrlState.PENDING] == 1


def test_a_record_that_replaces_another_is_counted(frontier: Frontier) -> None:
    frontier.find(found("1"))
    (first,) = claim(frontier)
    retry = Outcome(first, UrlState.PENDING, "HTTP 503", tries=1, next_try=1.0, status=503, position=position(0))
    frontier.commit(Batch(outcomes=[retry], warcs=[WarcLength("w", 10, 1)]))
    (again,) = claim(frontier)
    frontier.commit(Batch(outcomes=[captured(again, 10)], warcs=[WarcLength("w", 20, 2)]))
    assert frontier.imbalances(thorough=True) == []


def test_a_record_that_nobody_accounts_for_is_an_imbalance(frontier: Frontier) -> None:
    frontier.commit(Batch(warcs=[WarcLength("w", 10, 1)]))
    assert frontier.imbalances() == ["1 response records were written, but 0 URLs have one and 0 were replaced"]


def test_urls_whose_record_is_lost_are_fetched_again(frontier: Frontier) -> None:
    frontier.find(found("1", "2"))
    first, second = claim(frontier)
    frontier.commit(Batch(outcomes=[captured(first, 0), captured(second, 10)], warcs=[WarcLength("w", 20, 2)]))
    assert frontier.requeue_lost("w", beyond=12, reason="gone") == 1
    assert [c.url for c in claim(frontier)] == ["http://a.test/2"]
    assert frontier.warcs()[0].committed_length == 12
    assert frontier.imbalances(thorough=True) == []


def test_the_same_payload_is_found_among_responses_only(frontier: Frontier) -> None:
    frontier.find(found("1", "2"))
    first, second = claim(frontier)
    assert frontier.same_payload(DIGEST) is None
    frontier.commit(
        Batch(
            outcomes=[Outcome(first, UrlState.CAPTURED, status=200, position=position(revisit=True))],
            warcs=[WarcLength("w", 10, 1)],
        )
    )
    assert frontier.same_payload(DIGEST) is None
    frontier.commit(Batch(outcomes=[captured(second, 10)], warcs=[WarcLength("w", 20, 2)]))
    assert frontier.same_payload(DIGEST) == ("http://a.test/2", "2026-11-24T00:00:00+00:00")


def test_robots_txt_survives_a_resume(frontier: Frontier) -> None:
    frontier.commit(Batch(robots=[RobotsSeen("http://a.test", 200, b"User-agent: *", NOW)]))
    assert frontier.robots("http://a.test") == RobotsSeen("http://a.test", 200, b"User-agent: *", NOW)
    assert frontier.robots("http://b.test") is None


def test_the_ledger_is_read_without_changing_the_file(frontier: Frontier) -> None:
    frontier.find(found("1") + found("2", state=UrlState.TRAP))
    assert ledger(frontier.path) == {UrlState.PENDING: 1, UrlState.TRAP: 1}
    assert [row.url for row in urls(frontier.path, UrlState.TRAP)] == ["http://a.test/2"]
    assert ledger(frontier.path.with_name("absent")) == {}
    assert not frontier.path.with_name("absent").exists()


def test_a_closed_frontier_is_readable_where_nothing_can_be_written(tmp_path: Path) -> None:
    path = tmp_path / "frontier.sqlite3"
    frontier = Frontier(path, 1)
    frontier.find(found("1"))
    frontier.close()
    assert not path.with_name(path.name + "-wal").exists()
    tmp_path.chmod(0o555)
    try:
        assert ledger(path) == {UrlState.PENDING: 1}
    finally:
        tmp_path.chmod(0o755)


def test_a_frontier_of_another_version_is_refused_in_one_sentence(tmp_path: Path) -> None:
    path = tmp_path / "frontier.sqlite3"
    Frontier(path, 1).close()
    with sqlite3.connect(path) as db:
        db.execute("UPDATE meta SET value = 99 WHERE name = 'version'")
    db.close()
    with pytest.raises(StorageUnavailable, match="not a frontier that this version can read"):
        Frontier(path, 2)


def test_the_equation_of_completeness_reads_as_one() -> None:
    assert states_of({"captured": 3, "gone": 1, "pending": 0}) == "4 found = 3 captured + 1 gone"
