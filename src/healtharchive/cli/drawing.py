"""The display of a running job on a terminal: redrawn four times a second by a thread of its own."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from healtharchive.cli.live import ACTIVE_SHOWN, Picture, Sink
from healtharchive.cli.render import printable
from healtharchive.crawl.engine import Event
from healtharchive.host import Clock

_BAR_COLUMNS = 30


@contextmanager
def drawn(title: str, clock: Clock) -> Iterator[Sink]:
    """The display while the block runs; it leaves nothing behind. Lines printed meanwhile appear above it."""
    drawing = _Drawing(title, clock)
    with Live(get_renderable=drawing.render, console=Console(stderr=True), refresh_per_second=4, transient=True):
        yield drawing


class _Drawing:
    """The redrawn display: title, stage, bar, and what is being fetched."""

    def __init__(self, title: str, clock: Clock) -> None:
        self._title = title
        self._clock = clock
        self._began = clock.monotonic()
        self._lock = threading.Lock()
        self._picture = Picture()
        self._spinner = Spinner("dots")  # one for all frames: it turns by the time since its first

    def __call__(self, job_id: int, event: Event) -> None:
        with self._lock:
            self._picture = self._picture.after(event)

    def render(self) -> RenderableType:
        with self._lock:
            seen = self._picture
        seconds = self._clock.monotonic() - self._began
        rate = f", {seen.archived / seconds:.1f}/s" if seen.stage == "crawling" and seconds > 1 and seen.archived else ""
        self._spinner.update(text=Text.assemble((printable(self._title), "bold"), f"  {seconds:.0f} s{rate}"))
        bar = Table.grid(padding=(0, 1))
        bar.add_row(
            ProgressBar(total=max(1, seen.archived + seen.pending), completed=seen.archived, width=_BAR_COLUMNS),
            Text(seen.summary()),
        )
        rows: list[RenderableType] = [self._spinner, bar]
        rows += [
            Text(f"  {printable(url)}", style="dim", overflow="ellipsis", no_wrap=True) for url in seen.active[:ACTIVE_SHOWN]
        ]
        rows += [Text(f"  ! {printable(finding)}", style="yellow") for finding in seen.findings]
        return Group(*rows)
