"""Whatever happens in whatever order, every URL ever found is in exactly one state, and nothing finished comes back."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from healtharchive.crawl.engine import UrlState
from healtharchive.crawl.entries import Batch, Claim, Found, Outcome, Position, WarcLength
from healtharchive.crawl.frontier import Fenced, Frontier, ledger, urls

NUMBERS = st.integers(0, 25)
FINAL = st.sampled_from([state for state in UrlState if state is not UrlState.PENDING])
FOUND_AS = st.sampled_from([UrlState.PENDING, UrlState.PENDING, UrlState.EXCLUDED, UrlState.TRAP])


def _url(number: int) -> str:
    return f"http://host{number % 4}.test/{number}"


class LedgerMachine(RuleBasedStateMachine):
    """The model is a dictionary; the system is the file, opened again by one attempt after another."""

    def __init__(self) -> None:
        super().__init__()
        self.directory = Path(tempfile.mkdtemp(prefix="ledger-"))
        self.path = self.directory / "frontier.sqlite3"
        self.fence = 1
        self.frontier = Frontier(self.path, self.fence)
        self.model: dict[str, UrlState] = {}
        self.claims: dict[str, Claim] = {}
        self.now = 1_000_000.0
        self.written = 0

    def teardown(self) -> None:
        """In the end, every pending URL can be had."""
        pending = {url for url, state in self.model.items() if state is UrlState.PENDING}
        for _ in range(len(pending) + 1):
            self.claims |= {claim.url: claim for claim in self.frontier.claim(100, per_host=100, now=self.now + 1000)}
        assert set(self.claims) == pending
        self.frontier.close()
        shutil.rmtree(self.directory)

    @rule(numbers=st.lists(NUMBERS, max_size=8), state=FOUND_AS)
    def find(self, numbers: list[int], state: UrlState) -> None:
        self.frontier.find([Found(_url(number), state, "L") for number in numbers])
        for url in map(_url, numbers):
            known = self.model.setdefault(url, state)
            if known is UrlState.EXCLUDED and state is UrlState.PENDING:
                self.model[url] = UrlState.PENDING

    @rule(wanted=st.integers(1, 6), per_host=st.integers(1, 3))
    def claim(self, wanted: int, per_host: int) -> None:
        for claim in self.frontier.claim(wanted, per_host=per_host, now=self.now):
            assert self.model[claim.url] is UrlState.PENDING, "a finished URL was handed out"
            assert claim.url not in self.claims, "a URL was handed out twice"
            self.claims[claim.url] = claim

    @precondition(lambda self: self.claims)
    @rule(state=FINAL, with_record=st.booleans(), data=st.data())
    def finish(self, state: UrlState, with_record: bool, data: st.DataObject) -> None:
        url = data.draw(st.sampled_from(sorted(self.claims)))
        with_record = with_record or state in (UrlState.CAPTURED, UrlState.UNCHANGED)
        batch = Batch()
        position = None
        if with_record:
            position = Position("w", self.written * 10, 10, state is UrlState.UNCHANGED, bytes(32), 5, "2026")
            self.written += 1
            batch.warcs.append(WarcLength("w", self.written * 10, self.written))
        batch.outcomes.append(Outcome(self.claims.pop(url), state, tries=1, position=position))
        self.frontier.commit(batch)
        self.model[url] = state

    @precondition(lambda self: self.claims)
    @rule(delay=st.integers(0, 50), data=st.data())
    def retry(self, delay: int, data: st.DataObject) -> None:
        url = data.draw(st.sampled_from(sorted(self.claims)))
        claim = self.claims.pop(url)
        self.frontier.commit(
            Batch(outcomes=[Outcome(claim, UrlState.PENDING, tries=claim.tries + 1, next_try=self.now + delay + 1)])
        )

    @rule(seconds=st.integers(1, 100))
    def pass_time(self, seconds: int) -> None:
        self.now += seconds

    @rule()
    def die_and_resume(self) -> None:
        """The old engine may still be there: whatever it does now is refused."""
        late = self.frontier
        self.fence += 1
        self.frontier = Frontier(self.path, self.fence)
        try:
            late.find([Found("http://late.test/", UrlState.PENDING, "L")])
        except Fenced:
            pass
        else:
            raise AssertionError("an overtaken engine wrote")
        late.close()
        self.frontier.interrupted(self.now)
        self.claims.clear()

    @invariant()
    def every_url_is_in_its_one_state(self) -> None:
        assert {row.url: row.state for row in urls(self.path)} == self.model
        assert sum(ledger(self.path).values()) == len(self.model)
        assert self.frontier.imbalances(thorough=True) == []

    @invariant()
    def nothing_pending_is_out_of_reach(self) -> None:
        """Claimed, in a queue, or waiting for a known instant."""
        pending = sum(state is UrlState.PENDING for state in self.model.values())
        assert self.frontier.claimed == len(self.claims) <= pending


TestLedger = LedgerMachine.TestCase
TestLedger.settings = settings(max_examples=25, stateful_step_count=40, deadline=None)
