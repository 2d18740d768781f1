"""Fetches robots.txt: a URL like others, with a row, a record and a budget of tries. What it says opens the gate, or not."""

from __future__ import annotations

from collections.abc import Set as AbstractSet
from typing import Protocol

from healtharchive.crawl.commit import Committer
from healtharchive.crawl.engine import CrawlProfile, UrlState
from healtharchive.crawl.entries import Claim, Found, Outcome, Position
from healtharchive.crawl.exchange import Exchange, FetchError, FetchRequest
from healtharchive.crawl.fetch import Fetcher
from healtharchive.crawl.gate import REDIRECTS_MAX, ROBOTS_BYTES_MAX, UNREACHABLE, Gate, Origin, is_final
from healtharchive.crawl.harvest import prerequisite
from healtharchive.crawl.links import Hop
from healtharchive.crawl.outcome import Ending, of_failure, of_response
from healtharchive.crawl.pacing import retry_after_seconds
from healtharchive.crawl.queues import HostQueue
from healtharchive.crawl.recorder import Stored
from healtharchive.crawl.scope import Scope
from healtharchive.warc.urls import normalize, url_key


class Accounts(Protocol):
    """The crawl that a robots.txt is fetched for: how it accounts for tries, and what it does with who waited."""

    def now(self) -> float: ...

    def count(self, exchange: Exchange) -> None: ...

    def outcome(
        self, claim: Claim, ending: Ending, *, status: int | None, position: Position | None = None, wait: float = 0.0
    ) -> Outcome: ...

    def end_claim(self, claim: Claim, ending: Ending) -> None: ...

    def failed(self, host: HostQueue, claim: Claim, error: FetchError) -> None: ...

    def admit(self, origin: Origin, host: HostQueue, claim: Claim) -> None: ...

    def keep_pace(self, origin: Origin, host: HostQueue) -> None: ...


class Doorkeeper:
    """One per crawl."""

    def __init__(
        self,
        profile: CrawlProfile,
        crawl: Accounts,
        *,
        gate: Gate,
        fetcher: Fetcher,
        committer: Committer,
        seed_origins: AbstractSet[str],
    ) -> None:
        self._profile, self._crawl = profile, crawl
        self._gate, self._fetcher, self._committer = gate, fetcher, committer
        self._seed_origins = seed_origins
        self._scope = Scope.of(profile)

    async def visit(self, host: HostQueue, origin: Origin, claim: Claim) -> None:
        """Fetch an origin's robots.txt, through up to five redirects, and open the gate accordingly."""
        url, step = claim.url, claim
        for hops in range(REDIRECTS_MAX + 1):
            try:
                exchange = await self._fetcher.fetch(FetchRequest(url))
            except FetchError as error:
                self._failed_to_get(host, origin, claim, step, error)
                return
            host.silent = 0
            self._crawl.count(exchange)
            location = exchange.header("location")
            target = normalize(location, url) if location and 300 <= exchange.status < 400 and hops < REDIRECTS_MAX else None
            if target is None:
                break
            self._store(step, exchange, Ending(UrlState.CAPTURED))
            url, step = target, Claim(None, url_key(target), target, Hop.PREREQUISITE, 0, 0, hops + 1, 0, None)
        status, body = exchange.status, exchange.text_payload(ROBOTS_BYTES_MAX) if 200 <= exchange.status < 300 else b""
        ending = of_response(
            exchange, b"", is_html=False, asked_if_changed=False, fetch_seconds_max=self._profile.fetch_seconds_max
        )
        if not is_final(status) and claim.tries + 1 < self._profile.url_retries:
            wait = retry_after_seconds(exchange.header("retry-after"), exchange.started_at) or 0.0
            self._store(step, exchange, Ending(ending.state, ending.reason, ending.rule, again=True), wait=wait)
            if step is not claim:
                self._crawl.end_claim(claim, Ending(ending.state, ending.reason, again=True))
            return
        self._store(step, exchange, ending)
        if is_final(status):
            self._learn(host, origin, status, body)
        else:
            self._learn(host, origin, None, f"HTTP {status}".encode())

    def _store(self, step: Claim, exchange: Exchange, ending: Ending, *, wait: float = 0.0) -> None:
        try:
            stored = self._committer.recorder.add(exchange)
        finally:
            exchange.close()
        outcome = self._crawl.outcome(step, ending, status=exchange.status, position=position_of(stored), wait=wait)
        self._committer.add(found=[prerequisite(step.url, rule="robots.txt")], outcome=outcome)

    def _failed_to_get(self, host: HostQueue, origin: Origin, claim: Claim, step: Claim, error: FetchError) -> None:
        ending = of_failure(error.kind, error.message, is_temporary=error.is_temporary)
        found = [prerequisite(claim.url, rule="robots.txt")]
        if error.is_local:
            self._committer.add(found=found)
            self._crawl.failed(host, claim, error)
            return
        outcome = self._crawl.outcome(claim, ending, status=None)
        self._committer.add(found=found, outcome=outcome)
        if outcome.state is UrlState.PENDING:
            return
        if error.kind in UNREACHABLE:
            for waiting in self._gate.close(origin, Ending(ending.state, ending.reason, ending.rule)):
                self._crawl.end_claim(waiting, Ending(ending.state, ending.reason, ending.rule))
        else:
            self._learn(host, origin, None, ending.reason.encode())

    def _learn(self, host: HostQueue, origin: Origin, status: int | None, body: bytes) -> None:
        seen, freed = self._gate.learn(origin, status, body, at=self._crawl.now())
        self._committer.add(robots=seen, found=self._sitemaps(origin))
        self._crawl.keep_pace(origin, host)
        for claim in freed:
            self._crawl.admit(origin, host, claim)

    def _sitemaps(self, origin: Origin) -> list[Found]:
        """Sitemaps that robots.txt names; for a seed's origin without one, where they usually lie."""
        if origin.ending is not None or not (origin.name in self._seed_origins or self._scope.has_origin(origin.name)):
            return []
        urls = [url for text in self._gate.sitemaps(origin) if (url := normalize(text, origin.robots_url))]
        if not urls and origin.name in self._seed_origins:
            urls = [origin.name + "/sitemap.xml"]
        return [prerequisite(url, rule="sitemap") for url in urls]


def position_of(stored: Stored) -> Position:
    return Position(
        stored.warc,
        stored.offset,
        stored.length,
        stored.record_type == "revisit",
        bytes.fromhex(stored.payload_digest.removeprefix("sha256:")),
        stored.payload_size,
        stored.captured_at.isoformat(),
    )
