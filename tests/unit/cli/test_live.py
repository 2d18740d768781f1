from __future__ import annotations

import io
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from healtharchive.cli.live import LINE_SECONDS, Picture, PlainLines
from healtharchive.cli.logs import line
from healtharchive.cli.render import Output
from healtharchive.crawl.engine import Event


@dataclass
class HandClock:
    """A `Clock` that is set by hand."""

    seconds: float = 0.0
    slept: list[float] = field(default_factory=list)

    def now(self) -> datetime:
        return datetime.fromtimestamp(self.seconds, UTC)

    def monotonic(self) -> float:
        return self.seconds

    def boottime(self) -> float:
        return self.seconds

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.seconds += seconds


def event(name: str, **data: Any) -> Event:
    return Event(name, "2026-01-24T06:28:02Z", data)


STORY = (
    (event("started", resumed=False), "crawling: 0 archived, 0 to go, 0 B"),
    (
        event("progress", counts={"captured": 3, "unchanged": 1, "pending": 9, "trap": 2}, bytes=2_400, active=["http://x/"]),
        "crawling: 4 archived, 9 to go, 2 trap, 2.4 kB",
    ),
    (event("ended", end="infra", counts={"captured": 4, "pending": 8}), "ending: 4 archived, 8 to go, 2.4 kB"),
    (event("started", resumed=True), "resuming: 4 archived, 8 to go, 2.4 kB"),
    (event("progress", counts={"captured": 12, "pending": 0}, bytes=9_000), "crawling: 12 archived, 0 to go, 9.0 kB"),
    (event("ended", end="complete", counts={"captured": 12}), "indexing: 12 archived, 0 captures read, 0 pages"),
    (event("started", resumed=False), "indexing: 12 archived, 0 captures read, 0 pages"),
    (event("progress", counts={"captures": 12, "pages": 8}), "indexing: 12 archived, 12 captures read, 8 pages"),
)


def test_a_job_is_told_from_its_first_event_to_its_index() -> None:
    picture = Picture()
    for happened, said in STORY:
        picture = picture.after(happened)
        assert picture.summary() == said


def test_plain_lines_tell_each_stage_at_once_and_progress_now_and_then() -> None:
    clock, err = HandClock(), io.StringIO()
    lines = PlainLines(Output(as_json=False, stdout=io.StringIO(), stderr=err), clock)
    lines(7, event("started", resumed=False))
    for n in range(10):
        clock.sleep(1)
        lines(7, event("progress", counts={"captured": n, "pending": 3}))
    told = err.getvalue().splitlines()
    assert told[0] == "job 7 crawling: 0 archived, 0 to go, 0 B"
    assert len(told) == 1 + int(10 // LINE_SECONDS)


def test_a_finding_is_told_whenever_it_comes_and_cannot_steer_the_terminal() -> None:
    err = io.StringIO()
    lines = PlainLines(Output(as_json=False, stdout=io.StringIO(), stderr=err), HandClock())
    lines(7, event("finding", message="page without record\x1b[2J"))
    assert err.getvalue().splitlines()[0] == "job 7 finding: page without record [2J"


def test_with_json_progress_is_silent() -> None:
    err = io.StringIO()
    PlainLines(Output(as_json=True, stdout=io.StringIO(), stderr=err), HandClock())(7, event("started"))
    assert err.getvalue() == ""


def test_an_event_is_one_line_of_fields() -> None:
    happened = event("progress", counts={"captured": 3, "pending": 0}, bytes=1_200_000, active=["a", "b"], fetches=5)
    assert line(happened) == "2026-01-24T06:28:02Z progress captured=3 bytes=1.2MB active=2 fetches=5"
    assert line(event("ended", reason="disk full", errno=28)) == "2026-01-24T06:28:02Z ended reason='disk full' errno=28"
