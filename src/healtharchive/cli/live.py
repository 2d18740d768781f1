"""What a person sees while a job runs: a display that redraws itself on a terminal, plain lines otherwise.

Events come from the supervisor's thread. Everything goes to standard error: standard output is for the command's answer alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Protocol

from healtharchive.cli.render import Output, printable, size
from healtharchive.crawl.engine import Event, UrlState
from healtharchive.host import Clock

LINE_SECONDS = 5.0  # between two plain lines of one job
ACTIVE_SHOWN = 4
_ARCHIVED = (UrlState.CAPTURED, UrlState.UNCHANGED)
_OTHER = tuple(state for state in UrlState if state not in (*_ARCHIVED, UrlState.PENDING))


@dataclass(frozen=True)
class Picture:
    """A running job as its events describe it."""

    stage: str = "starting"
    counts: Mapping[str, int] = field(default_factory=dict)
    indexed: Mapping[str, int] = field(default_factory=dict)
    fetched_bytes: int = 0
    active: tuple[str, ...] = ()
    warcs: int = 0
    findings: tuple[str, ...] = ()

    @property
    def archived(self) -> int:
        return sum(self.counts.get(state, 0) for state in _ARCHIVED)

    @property
    def pending(self) -> int:
        return self.counts.get(UrlState.PENDING, 0)

    def after(self, event: Event) -> Picture:
        """The picture once `event` has happened. Crawl and index attempts report through the same events."""
        counts = _counts(event.data.get("counts"))
        if "captures" in counts:  # an index attempt's
            return replace(self, stage="indexing", indexed=counts, active=())
        seen = replace(self, counts=counts or self.counts, fetched_bytes=int(event.data.get("bytes", self.fetched_bytes)))
        match event.name:
            case "started" if self.stage != "indexing":
                return replace(seen, stage="resuming" if event.data.get("resumed") else "crawling")
            case "progress":
                return replace(seen, stage="crawling", active=tuple(map(str, event.data.get("active", ()))))
            case "sealed":
                return replace(seen, warcs=seen.warcs + 1)
            case "finding":
                return replace(seen, findings=(*seen.findings, str(event.data.get("message", "")))[-ACTIVE_SHOWN:])
            case "ended":
                return replace(seen, stage="indexing" if event.data.get("end") == "complete" else "ending", active=())
            case _:
                return seen

    def summary(self) -> str:
        """One line: what is archived, what is still to be fetched, what is neither; then what is indexed."""
        if self.stage == "indexing":
            read = f"{self.indexed.get('captures', 0):,} captures read, {self.indexed.get('pages', 0):,} pages"
            return f"indexing: {self.archived:,} archived, {read}"
        other = [f"{self.counts[state]:,} {state}" for state in _OTHER if self.counts.get(state)]
        parts = [f"{self.archived:,} archived", f"{self.pending:,} to go", *other, size(self.fetched_bytes)]
        return f"{self.stage}: {', '.join(parts)}"


class Sink(Protocol):
    """What is given the events of jobs."""

    def __call__(self, job_id: int, event: Event) -> None: ...


@contextmanager
def display(out: Output, clock: Clock, title: str) -> Iterator[Sink]:
    """Show a job while the block runs, in the way that suits who reads standard error."""
    if out.live:
        from healtharchive.cli.drawing import drawn  # rich is only loaded for a terminal

        with drawn(title, clock) as sink:
            yield sink
    else:
        yield PlainLines(out, clock)


class PlainLines:
    """One line when the stage changes, one every few seconds while pages move, one for each finding."""

    def __init__(self, out: Output, clock: Clock) -> None:
        self._out = out
        self._clock = clock
        self._picture = Picture()
        self._said = ""
        self._said_at = float("-inf")

    def __call__(self, job_id: int, event: Event) -> None:
        before, self._picture = self._picture, self._picture.after(event)
        if event.name == "finding":
            self._out.note(f"job {job_id} finding: {printable(str(event.data.get('message', '')))}")
        now = self._clock.monotonic()
        summary = self._picture.summary()
        due = self._picture.stage != before.stage or now - self._said_at >= LINE_SECONDS
        if due and summary != self._said:
            self._said, self._said_at = summary, now
            self._out.note(f"job {job_id} {summary}")


def _counts(value: object) -> dict[str, int]:
    if not isinstance(value, Mapping):
        return {}
    return {str(key): number for key, number in value.items() if isinstance(number, int)}
