"""One attempt's crawl: claims in, answers stored, links found, until nothing is pending.

    frontier -> claim -> gate (robots.txt) -> queues (whose turn) -> fetch -> outcome, harvest, record -> committer -> frontier

All of it runs on one event loop; only the committer's thread waits for the disk, and links are read in a process beside it.
Nothing is finished before its commit, so that the process may die at any line.
"""

from __future__ import annotations

import asyncio
import logging
import random
import sqlite3
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from healtharchive.crawl.commit import Committer, Written
from healtharchive.crawl.doorkeeper import Doorkeeper, position_of
from healtharchive.crawl.engine import OPEN_DIR, WARC_DIR, AttemptSpec, End, UrlState
from healtharchive.crawl.entries import Claim, Found, Outcome, Position
from healtharchive.crawl.exchange import Exchange, FetchError, FetchRequest
from healtharchive.crawl.fetch import Fetcher
from healtharchive.crawl.frontier import Fenced, Frontier
from healtharchive.crawl.gate import Gate, Origin
from healtharchive.crawl.harvest import SITEMAP_BYTES_MAX, TEXT_BYTES_MAX, Harvest, seed
from healtharchive.crawl.ledger import states_of
from healtharchive.crawl.links import Hop, bears_links, extract
from healtharchive.crawl.outcome import Ending, backoff_seconds, of_failure, of_response
from healtharchive.crawl.pacing import HostPace, retry_after_seconds
from healtharchive.crawl.priors import Priors, Revisits
from healtharchive.crawl.progress import Progress
from healtharchive.crawl.queues import SILENT_AFTER, HostQueue, Queues
from healtharchive.crawl.reader import About, LinkReader
from healtharchive.crawl.recorder import PriorCapture
from healtharchive.crawl.recovery import recover
from healtharchive.crawl.trouble import errno_of
from healtharchive.crawl.warcs import Warcs
from healtharchive.crawl.watch import Watch
from healtharchive.host import Host
from healtharchive.storage.model import SealedWarc
from healtharchive.warc.urls import split

log = logging.getLogger(__name__)

TICK_SECONDS = 1.0
QUIET_SECONDS = 15.0  # a progress line at least this often
CHECKPOINT_SECONDS = 60.0
GRACE_SECONDS = 2.0  # that fetches under way get when the crawl is asked to end
LOCAL_FAILURES_MAX = 20  # in a row, before our machine is given up: a second of trouble is not an outage
PRIOR_BATCH = 1000


@dataclass(frozen=True)
class Ended:
    end: End
    reason: str
    errno: int | None = None


class Crawl:
    """Call `prepare`, then `run` once."""

    def __init__(
        self,
        spec: AttemptSpec,
        job: Path,
        frontier: Frontier,
        priors: Priors | None,
        progress: Progress,
        host: Host,
        reader: LinkReader,
        *,
        software: str,
        lease_dir: Path,
    ) -> None:
        profile = spec.profile
        self._spec, self._profile, self._job = spec, profile, job
        self._frontier, self._progress, self._host, self._reader = frontier, progress, host, reader
        self._watch = Watch(host.clock, lease_dir=lease_dir, disk=job, reserve_bytes=profile.reserve_bytes)
        self._harvest = Harvest(profile, host.clock.now().date())
        self._gate = Gate(profile, frontier)
        self._queues = Queues(connections=profile.connections, per_host=profile.connections_per_host, pace=HostPace.of(profile))
        self._warcs = Warcs(spec, job, software=software, hostname=host.name)
        self._tasks: dict[asyncio.Task[None], Claim] = {}
        self._held_back: list[tuple[HostQueue, Claim]] = []
        self._counts: dict[str, int] = {}
        self._pages = self._pages_in_flight = 0
        self._fetches = self._bytes = self._local_failures = 0
        self._moved = True
        self._checkpoint_due = False
        self._revisits = Revisits(profile, frontier, priors)
        self._seed_origins: set[str] = set()
        self._seed_hosts: set[str] = set()
        self._ended: Ended | None = None
        self._over: asyncio.Event
        self._committer: Committer
        self._fetcher: Fetcher
        self._doorkeeper: Doorkeeper
        self._wake: asyncio.TimerHandle | None = None
        self._retry: asyncio.TimerHandle | None = None

    # -- before and after --------------------------------------------------------------------------------------------------------

    def prepare(self, seeds: Sequence[str]) -> None:
        """Recover what a dead engine left, report `started`, and make sure that seeds and the last edition's URLs are known."""
        frontier, now = self._frontier, self.now()
        done = recover(self._job, frontier, self._adopt, now=now)
        self._progress.write(
            "started",
            process=str(self._host.processes.me()),
            fence=self._spec.fence,
            resumed=frontier.resumed,
            recovery={"adopted": done.adopted, "requeued": done.requeued, "cut_bytes": done.cut_bytes},
        )
        for warc in done.sealed:
            self._report_sealed(warc)
        for kind, message in done.findings:
            self._progress.finding(kind, message)
        frontier.find([seed(url) for url in seeds])
        if frontier.resumed and not frontier.has_captures():
            frontier.retry_seeds()
        seeds = list(frontier.seed_states())
        self._harvest.widen(*seeds)
        self._seed_origins = {split(url).origin for url in seeds}
        self._seed_hosts = {split(url).host for url in seeds}
        if not frontier.has_priors():
            self._find_priors()
            frontier.note_priors()
        self._pages = frontier.pages() if self._profile.max_pages is not None else 0
        self._counts = frontier.counts()

    def _find_priors(self) -> None:
        batch: list[Found] = []
        for url in self._revisits.known_urls():
            batch += self._harvest.of_prior(url)
            if len(batch) >= PRIOR_BATCH:
                self._frontier.find(batch)
                batch = []
        self._frontier.find(batch)

    async def run(self) -> Ended:
        """Crawl to an end; what is committed stays committed whatever happens. Raises what the disk raises."""
        self._over = asyncio.Event()
        await self._reader.open()
        self._fetcher = Fetcher(self._profile, self._job / OPEN_DIR)
        self._committer = Committer(
            self._frontier, self._warcs.open, self._job / WARC_DIR, warc_bytes=self._profile.warc_bytes, now=self.now
        )
        self._doorkeeper = Doorkeeper(
            self._profile,
            self,
            gate=self._gate,
            fetcher=self._fetcher,
            committer=self._committer,
            seed_origins=self._seed_origins,
        )
        committing = asyncio.create_task(
            self._committer.run(hosts=lambda: self._queues.hosts, in_flight=self._in_flight, then=self._committed)
        )
        committing.add_done_callback(self._task_ended)
        watching = asyncio.create_task(self._tick())
        watching.add_done_callback(self._task_ended)
        self._committer.look()
        try:
            await self._over.wait()
            await self._let_go()
            watching.cancel()
            committing.cancel()
            await asyncio.gather(watching, committing, return_exceptions=True)
            assert self._ended is not None
            if self._ended.end not in (End.INFRA, End.FENCED):
                await self._close_books()
        finally:
            self._reader.close()
            self._committer.close()
            await self._fetcher.close()
        return self._ended

    def stop(self, end: End, reason: str, errno: int | None = None) -> None:
        """End the crawl; the first reason stands, unless a later one is that nothing may be written any more."""
        if self._ended is None or end in (End.INFRA, End.FENCED):
            self._ended = Ended(end, reason, errno)
        self._over.set()

    def ask_checkpoint(self) -> None:
        self._checkpoint_due = True
        self._committer.look()

    async def _let_go(self) -> None:
        """Give fetches under way a moment, then drop them: their URLs are still pending."""
        assert self._ended is not None
        if self._tasks and self._ended.end not in (End.INFRA, End.FENCED):
            await asyncio.wait(self._tasks, timeout=GRACE_SECONDS)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _close_books(self) -> None:
        """Commit and seal what is open, then look whether everything adds up."""
        try:
            written = await self._committer.finish()
        except Fenced as error:
            self._ended = Ended(End.FENCED, str(error))
            return
        self._account(written)
        assert self._ended is not None
        problems = self._check(thorough=self._ended.end is End.COMPLETE)
        if self._ended.end is End.COMPLETE:
            if problems:
                self._ended = Ended(End.INFRA, f"The ledger does not balance: {'; '.join(problems)}")
            elif self._counts[UrlState.PENDING]:
                self._ended = Ended(End.STOPPED, f"{self._counts[UrlState.PENDING]} URLs are pending")
        self._checkpoint()

    # -- what the committer tells ------------------------------------------------------------------------------------------------

    def _committed(self, written: Written) -> None:
        self._account(written)
        if self._checkpoint_due:
            self._check()
            self._checkpoint()
        for claim in written.claims:
            self._accept(claim)
        self._set_retry(written.next_try)
        self._dispatch()
        self._look_for_end()

    def _account(self, written: Written) -> None:
        self._counts = written.counts
        for warc in written.sealed:
            self._report_sealed(warc)

    def _task_ended(self, task: asyncio.Task[None]) -> None:
        if task.cancelled() or (error := task.exception()) is None:
            return
        if isinstance(error, Fenced):
            self.stop(End.FENCED, str(error))
        elif isinstance(error, (OSError, sqlite3.Error)):
            self.stop(End.INFRA, f"Our own disk failed: {error}. Nothing committed is lost.", errno_of(error))
        else:
            log.error("crawl.broken", exc_info=error)
            self.stop(End.INFRA, f"The crawl failed: {error!r}")

    def _look_for_end(self) -> None:
        """Nothing pending, nothing under way, nothing uncommitted: the crawl is over, well or badly."""
        if self._tasks or not self._committer.is_idle or self._ended is not None:
            return
        if self._counts[UrlState.PENDING]:
            if not (self._queues.ready or self._retry or self._wake):
                # The frontier looks at a bounded number of hosts at a time: it has not offered all of them yet.
                asyncio.get_running_loop().call_later(0.05, self._committer.look)
            return
        if self._frontier.has_captures():
            self.stop(End.COMPLETE, states_of(self._counts))
            return
        states = self._frontier.seed_states()
        reasons = "; ".join(f"{url}: {reason or state}" for url, (state, reason) in list(states.items())[:3])
        found = {state for state, _ in states.values()}
        if found == {UrlState.EXCLUDED}:
            self.stop(End.CONFIG, f"No seed may be fetched. {reasons}")
        elif found <= {UrlState.ROBOTS, UrlState.TRAP, UrlState.CAPTURED} and all(
            "could not" not in r for _, r in states.values()
        ):
            self.stop(End.COMPLETE, states_of(self._counts))
        else:
            self.stop(End.CRAWL, f"No seed answered. {reasons}")

    # -- from claim to fetch -----------------------------------------------------------------------------------------------------

    def _accept(self, claim: Claim) -> None:
        parts = split(claim.url)
        host = self._queues.host(parts.host)
        origin, robots = self._gate.origin(parts.origin)
        if robots is not None and robots.url != claim.url:
            self._queues.put(host, robots, first=True)
        if claim.url == origin.robots_url:
            if origin.is_known or origin.is_asked:
                return  # its row is finished by the fetch that is under way, or was
            origin.is_asked = True
            self._queues.put(host, claim, first=True)
        elif origin.is_known:
            self.keep_pace(origin, host)
            self.admit(origin, host, claim)
        else:
            self._gate.wait(origin, claim)

    def keep_pace(self, origin: Origin, host: HostQueue) -> None:
        """Apply the origin's Crawl-delay, also one that an earlier attempt read."""
        if not origin.is_paced:
            origin.is_paced = True
            host.pace = host.pace.with_crawl_delay(self._gate.crawl_delay(origin))

    def admit(self, origin: Origin, host: HostQueue, claim: Claim) -> None:
        ending = self._gate.refusal(origin, claim.url) or host.ending
        if ending is not None:
            self.end_claim(claim, ending)
        else:
            self._queues.put(host, claim)

    def _dispatch(self) -> None:
        if self._ended is not None or self._committer.is_congested:
            return
        now = asyncio.get_running_loop().time()
        while (taken := self._queues.take(now)) is not None:
            host, claim = taken
            if self._is_over_limit(claim):
                self._queues.done(host, now)
                if self._pages < (self._profile.max_pages or 0):
                    self._held_back.append((host, claim))
                else:
                    self.end_claim(
                        claim, Ending(UrlState.EXCLUDED, f"the limit of {self._profile.max_pages} pages is reached", "max_pages")
                    )
                continue
            if _is_page(claim):
                self._pages_in_flight += 1
            task = asyncio.create_task(self._visit(host, claim))
            self._tasks[task] = claim
            task.add_done_callback(self._visited)
        self._set_wake(now)
        if not self._queues.ready:
            self._committer.hurry()

    def _is_over_limit(self, claim: Claim) -> bool:
        limit = self._profile.max_pages
        return limit is not None and _is_page(claim) and self._pages + self._pages_in_flight >= limit

    def _visited(self, task: asyncio.Task[None]) -> None:
        claim = self._tasks.pop(task)
        if _is_page(claim):
            self._pages_in_flight -= 1
            for host, held in self._held_back:
                self._queues.put(host, held)
            self._held_back.clear()
        if not task.cancelled() and (error := task.exception()) is not None:
            self._broke(claim, error)
        self._dispatch()
        self._look_for_end()

    def _broke(self, claim: Claim, error: BaseException) -> None:
        """A visit ended with something that is not about its URL: our disk, or a mistake of ours."""
        if isinstance(error, (OSError, sqlite3.Error)):
            self.stop(End.INFRA, f"Our own disk failed: {error}. Nothing committed is lost.", errno_of(error))
            return
        log.error("visit.broken url=%s", claim.url, exc_info=error)
        self._progress.finding("engine_error", repr(error), claim.url)
        self.end_claim(
            claim, Ending(UrlState.FAILED, f"the engine could not handle it: {error!r}"[:500], "engine_error", again=True)
        )

    # -- one URL -----------------------------------------------------------------------------------------------------------------

    async def _visit(self, host: HostQueue, claim: Claim) -> None:
        try:
            parts = split(claim.url)
            origin, _ = self._gate.origin(parts.origin)
            if claim.url == origin.robots_url:
                try:
                    await self._doorkeeper.visit(host, origin, claim)
                finally:
                    origin.is_asked = False
                return
            prior = self._revisits.of_url(claim.url)
            headers = prior.conditions() if prior is not None else ()
            if claim.hop == Hop.EMBED and claim.via_url:
                headers = (*headers, ("Referer", claim.via_url))
            exchange = await self._ask(host, claim, FetchRequest(claim.url, headers))
            if exchange is not None:
                await self._settle(host, claim, exchange, prior, asked_if_changed=bool(headers) and prior is not None)
        finally:
            self._queues.done(host, asyncio.get_running_loop().time())

    async def _ask(self, host: HostQueue, claim: Claim, request: FetchRequest) -> Exchange | None:
        """The answer, or None after the failure was accounted for."""
        try:
            exchange = await self._fetcher.fetch(request)
        except FetchError as error:
            if host.silent >= SILENT_AFTER - 1 and not error.is_local and await self._answers(host, claim):
                host.silent = host.rests = 0  # its pages fail, not the host: each pays for its own tries
            self.failed(host, claim, error)
            return None
        self._local_failures = 0
        self.count(exchange)
        host.silent = host.rests = 0
        wait = retry_after_seconds(exchange.header("retry-after"), exchange.started_at) if exchange.status in (429, 503) else None
        host.pace = host.pace.after(status=exchange.status, elapsed_ms=exchange.elapsed_ms, retry_after_seconds=wait)
        return exchange

    async def _answers(self, host: HostQueue, claim: Claim) -> bool:
        """Whether a host that fails page after page still answers for its robots.txt, as it did before. Nothing is stored."""
        await asyncio.sleep(host.pace.delay_seconds)
        try:
            exchange = await self._fetcher.fetch(FetchRequest(self._gate.origin(split(claim.url).origin)[0].robots_url))
        except FetchError:
            return False
        exchange.close()
        return True

    async def _settle(
        self, host: HostQueue, claim: Claim, exchange: Exchange, prior: PriorCapture | None, *, asked_if_changed: bool
    ) -> None:
        """Store an answer and put everything that follows from it into the open group."""
        try:
            ending, found = await self._read(claim, exchange, asked_if_changed=asked_if_changed)
            # From here on nothing is awaited: a record and what it comes to go into the same group.
            stored = self._committer.recorder.add(exchange, prior=prior, find=self._revisits.of_payload)
        finally:
            exchange.close()
        self._revisits.remember(stored, claim.url)
        if ending.state is UrlState.CAPTURED and prior is not None and stored.payload_digest == prior.payload_digest:
            ending = Ending(UrlState.UNCHANGED, ending.reason or "same payload as the last capture", ending.rule, ending.again)
        if _is_page(claim) and ending.state in (UrlState.CAPTURED, UrlState.UNCHANGED):
            self._pages += 1
        self.end_claim(claim, ending, host=host, status=exchange.status, position=position_of(stored), found=found)

    async def _read(self, claim: Claim, exchange: Exchange, *, asked_if_changed: bool) -> tuple[Ending, list[Found]]:
        """What an answer is, and what it names."""
        ending, text = self._look_at(claim, exchange, asked_if_changed=asked_if_changed)
        if ending.state is not UrlState.CAPTURED:
            return ending, []
        try:
            if _is_sitemap(claim, exchange):
                return ending, self._harvest.of_sitemap(claim, text)
            return ending, self._harvest.of(claim, await self._reader.extract(text, **_about(exchange)))
        except Exception as error:
            log.error("harvest.broken url=%s", claim.url, exc_info=error)
            return self._unread(claim, error), []

    def _adopt(self, claim: Claim, exchange: Exchange, position: Position) -> tuple[Outcome, list[Found]]:
        """For recovery: an answer that a dead engine stored and did not come to finish."""
        ending, text = self._look_at(claim, exchange, asked_if_changed=False)
        found: list[Found] = []
        if ending.state is UrlState.CAPTURED:
            try:
                if _is_sitemap(claim, exchange):
                    found = self._harvest.of_sitemap(claim, text)
                else:
                    found = self._harvest.of(claim, extract(text, **_about(exchange)))
            except Exception as error:
                log.error("harvest.broken url=%s", claim.url, exc_info=error)
                ending = self._unread(claim, error)
        return self.outcome(claim, ending, status=exchange.status, position=position), found

    def _look_at(self, claim: Claim, exchange: Exchange, *, asked_if_changed: bool) -> tuple[Ending, bytes]:
        """What an answer is, and its text if it is of a kind that names anything."""
        reads = bears_links(exchange.mime)
        text = b""
        if claim.hop == Hop.PREREQUISITE:
            text = exchange.text_payload(SITEMAP_BYTES_MAX)
        elif reads:
            text = exchange.text_payload(TEXT_BYTES_MAX)
        ending = of_response(
            exchange,
            text,
            is_html=reads and not exchange.mime.endswith(("css", "javascript")),
            asked_if_changed=asked_if_changed,
            fetch_seconds_max=self._profile.fetch_seconds_max,
        )
        return ending, text

    def _unread(self, claim: Claim, error: Exception) -> Ending:
        """A mistake of ours in one page's links must cost neither its record nor the crawl."""
        self._progress.finding("links_unread", repr(error), claim.url)
        return Ending(UrlState.FAILED, f"stored, but its links could not be read: {error!r}"[:500], "links_unread")

    def count(self, exchange: Exchange) -> None:
        self._fetches += 1
        self._bytes += len(exchange.head) + exchange.body.size
        self._moved = True

    def end_claim(
        self,
        claim: Claim,
        ending: Ending,
        *,
        host: HostQueue | None = None,
        status: int | None = None,
        position: Position | None = None,
        found: Sequence[Found] = (),
    ) -> None:
        wait = host.pace.delay_seconds if host is not None and ending.again else 0.0
        self._moved = True
        self._committer.add(outcome=self.outcome(claim, ending, status=status, position=position, wait=wait), found=found)

    def outcome(
        self, claim: Claim, ending: Ending, *, status: int | None, position: Position | None = None, wait: float = 0.0
    ) -> Outcome:
        tries = claim.tries + 1
        if not ending.again or tries >= self._profile.url_retries:
            return Outcome(claim, ending.state, ending.reason, ending.rule, tries, 0.0, status, position)
        pause = max(wait, backoff_seconds(tries, first_seconds=self._profile.retry_seconds, spread=random.random()))  # noqa: S311
        return Outcome(claim, UrlState.PENDING, ending.reason, "", tries, self.now() + pause, status, position)

    def failed(self, host: HostQueue, claim: Claim, error: FetchError) -> None:
        """No answer. The URL pays for it with a try; unless our machine is at fault, or the whole host is silent."""
        if error.is_local:
            self._local_failures += 1
            if self._local_failures >= LOCAL_FAILURES_MAX:
                self.stop(End.INFRA, f"Our own machine cannot fetch: {error.message}", errno_of(error.__cause__ or error))
            self._put_off(claim, error.message, seconds=TICK_SECONDS)
            return
        if error.received:
            self._committer.recorder.add_failure(claim.url, error, at=self._host.clock.now())
        ending = of_failure(error.kind, error.message, is_temporary=error.is_temporary)
        host.pace = host.pace.after(status=None, elapsed_ms=0.0)
        if not ending.again or error.kind == "protocol":
            self.end_claim(claim, ending)
            return
        host.silent += 1
        if host.silent < SILENT_AFTER:
            self.end_claim(claim, ending, host=host)
        elif host.rests < self._profile.url_retries:
            self._rest(host, claim, ending)
        elif host.name in self._seed_hosts:
            self._put_off(claim, ending.reason, seconds=TICK_SECONDS)
            self.stop(End.CRAWL, f"{host.name} stopped answering. {ending.reason}")
        else:
            host.ending = Ending(UrlState.FAILED, f"{host.name} stopped answering. {ending.reason}", ending.rule)
            self.end_claim(claim, host.ending)
            for waiting in self._queues.drop(host):
                self.end_claim(waiting, host.ending)

    def _rest(self, host: HostQueue, claim: Claim, ending: Ending) -> None:
        """Leave a silent host alone for a while; its URLs keep their tries."""
        loop = asyncio.get_running_loop()
        if host.rests_until <= loop.time() or not host.rests:
            host.rests += 1
        pause = backoff_seconds(host.rests, first_seconds=self._profile.retry_seconds, spread=0.0)
        self._queues.rest(host, loop.time() + pause)
        self._put_off(claim, ending.reason, seconds=pause)

    def _put_off(self, claim: Claim, reason: str, *, seconds: float) -> None:
        self._committer.add(outcome=Outcome(claim, UrlState.PENDING, reason, "", claim.tries, self.now() + seconds))

    # -- once a second -----------------------------------------------------------------------------------------------------------

    async def _tick(self) -> None:
        """Lease, disk reserve, progress, checkpoints."""
        loop = asyncio.get_running_loop()
        reported = checkpointed = loop.time()
        self._report()
        while True:
            now = loop.time()
            if (stop := self._watch.look()) is not None:
                self.stop(*stop)
            if self._moved or now - reported >= QUIET_SECONDS:
                self._report()
                reported = now
            if now - checkpointed >= CHECKPOINT_SECONDS:
                checkpointed = now
                self.ask_checkpoint()
            await asyncio.sleep(TICK_SECONDS)

    def _report(self) -> None:
        self._moved = False
        active = [claim.url for claim in list(self._tasks.values())[:10]]
        self._progress.write("progress", counts=self._counts, fetches=self._fetches, bytes=self._bytes, active=active)

    def _check(self, *, thorough: bool = False) -> list[str]:
        problems = self._frontier.imbalances(thorough=thorough)
        for problem in problems:
            self._progress.finding("imbalance", problem)
        return problems

    def _checkpoint(self) -> None:
        self._checkpoint_due = False
        self._progress.write("checkpoint", counts=self._counts)

    def _report_sealed(self, warc: SealedWarc) -> None:
        self._progress.write("sealed", **{**asdict(warc), "sealed_at": warc.sealed_at.isoformat()})

    # -- small things ------------------------------------------------------------------------------------------------------------

    def now(self) -> float:
        return self._host.clock.now().timestamp()

    def _in_flight(self) -> list[int]:
        return [claim.id for claim in self._tasks.values() if claim.id is not None]

    def _set_wake(self, now: float) -> None:
        if self._wake is not None:
            self._wake.cancel()
            self._wake = None
        at = self._queues.next_wake()
        if at is not None:
            self._wake = asyncio.get_running_loop().call_later(max(0.0, at - now), self._woken)

    def _woken(self) -> None:
        self._wake = None
        self._dispatch()
        self._look_for_end()

    def _set_retry(self, next_try: float | None) -> None:
        if self._retry is not None:
            self._retry.cancel()
            self._retry = None
        if next_try is not None:
            self._retry = asyncio.get_running_loop().call_later(max(0.01, next_try - self.now()), self._retry_due)

    def _retry_due(self) -> None:
        self._retry = None
        self._committer.look()


def _is_page(claim: Claim) -> bool:
    return claim.embeds == 0 and claim.hop != Hop.PREREQUISITE


def _is_sitemap(claim: Claim, exchange: Exchange) -> bool:
    return claim.hop == Hop.PREREQUISITE and exchange.status == 200


def _about(exchange: Exchange) -> About:
    return {"url": exchange.url, "mime": exchange.mime, "charset": exchange.charset, "headers": exchange.headers}
