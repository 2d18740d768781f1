"""Group commit: what the event loop finishes is made durable by one other thread, some fifty times a second.

    append WARC members -> fdatasync -> ONE frontier transaction {new links, states, positions, WARC length} -> next claims

The loop fetches, parses and compresses; the thread waits for the disk. Neither waits for the other, except that the crawl takes
no new URL while too much is pending. A group closes after 20 ms (measured: as fast as no sync at all; 5 and 100 ms are slower),
earlier when the crawl would run out of work or much is pending. Sealing keeps the same order: everything committed, then the
file renamed, then its line in the manifest, then the frontier's row; whichever step is the last before a death,
`crawl.recovery` does the rest.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from healtharchive.crawl.entries import Batch, Claim, Found, Outcome, RobotsSeen, WarcLength
from healtharchive.crawl.frontier import Frontier
from healtharchive.crawl.recorder import Recorder, Taken
from healtharchive.storage.model import SealedWarc

GROUP_SECONDS = 0.020
GROUP_BYTES = 4 << 20
PENDING_BYTES_MAX = 64 << 20
PENDING_OUTCOMES_MAX = 4096
CLAIMS_HELD_MAX = 4096
CLAIMS_PER_HOST_MAX = 512
CLAIMS_PER_HOST_MIN = 8


@dataclass(frozen=True)
class Written:
    """What one group brought. `next_try` is an instant (epoch seconds) at which a waiting URL is due."""

    claims: Sequence[Claim]
    sealed: Sequence[SealedWarc]
    counts: dict[str, int]
    next_try: float | None


@dataclass(frozen=True)
class _Group:
    batch: Batch
    recorder: Recorder | None
    taken: Taken | None
    seal: bool
    claims: int
    per_host: int


class Committer:
    """One per crawl. Everything but `_write` belongs to the event loop's thread."""

    def __init__(
        self,
        frontier: Frontier,
        new_recorder: Callable[[], Recorder],
        warc_dir: Path,
        *,
        warc_bytes: int,
        now: Callable[[], float],
    ) -> None:
        self._frontier = frontier
        self._new_recorder = new_recorder
        self._warc_dir = warc_dir
        self._warc_bytes = warc_bytes
        self._now = now
        self._batch = Batch()
        self._recorder: Recorder | None = None
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="commit")
        self._work = asyncio.Event()
        self._hurry = asyncio.Event()
        self._writing = False

    @property
    def recorder(self) -> Recorder:
        """The open WARC; made at the first record, so that an attempt without one leaves no file. Raises OSError."""
        if self._recorder is None:
            self._recorder = self._new_recorder()
        return self._recorder

    def add(
        self, *, outcome: Outcome | None = None, found: Sequence[Found] = (), robots: RobotsSeen | None = None, soon: bool = False
    ) -> None:
        """Put into the open group. What must be durable together is given in one call."""
        batch = self._batch
        if found:
            batch.found += found
        if outcome is not None:
            batch.outcomes.append(outcome)
        if robots is not None:
            batch.robots.append(robots)
        self._work.set()
        if soon or (self._recorder is not None and self._recorder.pending_bytes >= GROUP_BYTES):
            self._hurry.set()

    def look(self) -> None:
        """Ask for claims as soon as may be."""
        self._work.set()
        self._hurry.set()

    def hurry(self) -> None:
        """Close the open group now, if there is anything in it: nothing else is left to do meanwhile."""
        if self._batch:
            self._hurry.set()

    @property
    def is_congested(self) -> bool:
        pending = self._recorder.pending_bytes if self._recorder is not None else 0
        return pending > PENDING_BYTES_MAX or len(self._batch.outcomes) > PENDING_OUTCOMES_MAX

    @property
    def is_idle(self) -> bool:
        return not self._writing and not self._batch and not self._work.is_set()

    async def run(
        self, *, hosts: Callable[[], int], in_flight: Callable[[], Sequence[int]], then: Callable[[Written], None]
    ) -> None:
        """Write group after group until cancelled; `then` is told of each. Raises what the disk or the fence raises."""
        while True:
            await self._work.wait()
            if not self._hurry.is_set():
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._hurry.wait(), GROUP_SECONDS)
            self._work.clear()
            self._hurry.clear()
            per_host = max(CLAIMS_PER_HOST_MIN, min(CLAIMS_PER_HOST_MAX, CLAIMS_HELD_MAX // (hosts() + 1)))
            then(await self._commit(in_flight(), claims=CLAIMS_HELD_MAX, per_host=per_host))

    async def finish(self) -> Written:
        """Commit what is left and seal the open WARC. Only after `run` has ended."""
        return await self._commit((), claims=0, per_host=0, seal=True)

    def close(self) -> None:
        """Let go of thread and file; nothing more is written."""
        self._thread.shutdown(wait=True)
        if self._recorder is not None:
            self._recorder.close()

    async def _commit(self, in_flight: Sequence[int], *, claims: int, per_host: int, seal: bool = False) -> Written:
        group = self._close_group(in_flight, claims=claims, per_host=per_host, seal=seal)
        self._writing = True
        try:
            # Shielded: a cancelled crawl must not go on beside a thread that still writes.
            return await asyncio.shield(asyncio.get_running_loop().run_in_executor(self._thread, self._write, group))
        finally:
            self._writing = False

    def _close_group(self, in_flight: Sequence[int], *, claims: int, per_host: int, seal: bool) -> _Group:
        batch, self._batch = self._batch, Batch()
        batch.in_flight = in_flight
        recorder, taken = self._recorder, None
        if recorder is not None:
            seal = seal or recorder.needs_seal(self._warc_bytes)
            if recorder.pending_bytes or seal:
                taken = recorder.take()
                batch.warcs.append(WarcLength(recorder.name, taken.length, taken.captures))
            if seal:
                self._recorder = None
        return _Group(batch, recorder, taken, seal and recorder is not None, claims, per_host)

    def _write(self, group: _Group) -> Written:
        """In the thread: the order of these lines is what crash safety rests on."""
        frontier, recorder = self._frontier, group.recorder
        if recorder is not None and group.taken is not None:
            recorder.write(group.taken)
        if group.batch:
            frontier.commit(group.batch)
        sealed = []
        if recorder is not None and group.seal:
            sealed.append(recorder.seal(self._warc_dir))
            frontier.sealed(recorder.name)
        claims = []
        room = group.claims - frontier.claimed
        if room > 0:
            claims = frontier.claim(room, per_host=group.per_host, now=self._now())
        return Written(claims, sealed, frontier.counts(), frontier.next_try())
