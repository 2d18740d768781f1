"""Whose turn it is: claims in memory, by host, each host at its own pace. No clock and no I/O of its own.

A host is *calm* or it rests until an instant (its pace, a Retry-After, or because it stopped answering). Within a host, claims
of an origin wait until its robots.txt is known. Hosts take turns.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field

from healtharchive.crawl.entries import Claim
from healtharchive.crawl.outcome import Ending
from healtharchive.crawl.pacing import HostPace

SILENT_AFTER = 5  # failed tries in a row after which the host, not the page, is what fails (Nutch: max.exceptions.per.queue)


@dataclass
class HostQueue:
    """One host. Instants are those of a monotonic clock, in seconds."""

    name: str
    pace: HostPace
    ready: deque[Claim] = field(default_factory=deque)
    active: int = 0
    rests_until: float = 0.0
    queued: bool = False  # in the round of hosts that may be asked now
    silent: int = 0  # tries in a row that got no answer
    rests: int = 0  # rests taken because of silence since the last answer
    ending: Ending | None = None  # given up: everything of it ends so

    @property
    def idle(self) -> bool:
        return not self.ready and not self.active


class Queues:
    """All hosts that have claims."""

    def __init__(self, *, connections: int, per_host: int, pace: HostPace) -> None:
        self._connections = connections
        self._per_host = per_host
        self._pace = pace
        self._hosts: dict[str, HostQueue] = {}
        self._round: deque[HostQueue] = deque()
        self._resting: list[tuple[float, int, HostQueue]] = []
        self._number = 0
        self.active = 0
        self.ready = 0

    def host(self, name: str) -> HostQueue:
        queue = self._hosts.get(name)
        if queue is None:
            queue = self._hosts[name] = HostQueue(name, self._pace)
        return queue

    @property
    def hosts(self) -> int:
        return len(self._hosts)

    def put(self, host: HostQueue, claim: Claim, *, first: bool = False) -> None:
        (host.ready.appendleft if first else host.ready.append)(claim)
        self.ready += 1
        if not host.queued:
            self._enqueue(host)

    def take(self, now: float) -> tuple[HostQueue, Claim] | None:
        """The next claim that may be fetched at `now`; it counts as active until `done`. None if no host may be asked."""
        while self._resting and self._resting[0][0] <= now:
            self._round.append(heapq.heappop(self._resting)[2])
        if self.active >= self._connections:
            return None
        for _ in range(len(self._round)):
            host = self._round.popleft()
            host.queued = False
            if not host.ready or host.active >= self._per_host:
                continue  # comes back with its next claim, or when one of its fetches ends
            if host.rests_until > now:
                self._enqueue(host)
                continue
            claim = host.ready.popleft()
            self.ready -= 1
            host.active += 1
            self.active += 1
            delay = host.pace.delay_seconds
            if delay:
                host.rests_until = now + delay
            if host.ready:
                self._enqueue(host)
            return host, claim
        return None

    def done(self, host: HostQueue, now: float) -> None:
        """A claim of `host` is no longer being fetched."""
        host.active -= 1
        self.active -= 1
        delay = host.pace.delay_seconds
        if delay:
            host.rests_until = max(host.rests_until, now + delay)
        if host.ready:
            if not host.queued:
                self._enqueue(host)
        elif host.idle and not delay and not host.silent and len(self._hosts) > 1024:
            self._hosts.pop(host.name, None)  # nothing to remember about it

    def rest(self, host: HostQueue, until: float) -> None:
        host.rests_until = max(host.rests_until, until)

    def next_wake(self) -> float | None:
        """The instant at which a resting host may be asked again."""
        return self._resting[0][0] if self._resting else None

    def drop(self, host: HostQueue) -> Iterator[Claim]:
        """Take away all claims of a host that wait."""
        while host.ready:
            self.ready -= 1
            yield host.ready.popleft()

    def _enqueue(self, host: HostQueue) -> None:
        host.queued = True
        if host.rests_until:
            self._number += 1
            heapq.heappush(self._resting, (host.rests_until, self._number, host))
        else:
            self._round.append(host)
