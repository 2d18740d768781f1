"""`demo`: see an archive work, be broken and heal, on this machine and without a network."""

from __future__ import annotations

import signal
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from healtharchive.cli.context import asked, terminated_like_interrupted
from healtharchive.cli.render import table
from healtharchive.errors import ExitCode
from healtharchive.host import this_host

if TYPE_CHECKING:
    from healtharchive.drills.demo import Played
    from healtharchive.drills.judge import Assertion


def demo(
    ctx: typer.Context,
    keep: Annotated[bool, typer.Option("--keep", help="Leave it open to browse until Ctrl-C.")] = False,
    directory: Annotated[
        Path | None, typer.Option(help="Where; kept afterwards. A temporary directory, removed at the end, if not given.")
    ] = None,
) -> int:
    """Archive a bundled bilingual site, change it, kill the crawler, and prove that nothing was lost. Exit code 0 only if so."""
    from healtharchive.drills.demo import played
    from healtharchive.drills.judge import judge

    call = asked(ctx)
    clock = this_host().clock
    began = clock.monotonic()
    with terminated_like_interrupted(), played(call.out.note, directory=directory) as done:
        assertions = judge(done)
        seconds = clock.monotonic() - began
        ok = all(each.holds for each in assertions)
        answer = {
            "ok": ok,
            "seconds": round(seconds, 1),
            "assertions": assertions,
            "directory": done.directory if keep or directory else None,
            "search": done.web.search if keep else None,
            "replay": done.web.replay if keep else None,
        }
        call.out.answer(answer, _lines(assertions, seconds))
        call.out.flush()
        if keep:
            for line in _invitation(done, kept=directory is not None):
                call.out.note(line)
            _until_interrupted()
    return int(ExitCode.OK if ok else ExitCode.ERROR)


def _lines(assertions: Sequence[Assertion], seconds: float) -> Iterator[str]:
    yield from table(["", "CLAIM", "SEEN"], [("ok" if each.holds else "NO", each.claim, each.seen) for each in assertions])
    yield ""
    yield f"{sum(each.holds for each in assertions)} of {len(assertions)} hold, in {seconds:.1f} s."


def _invitation(done: Played, *, kept: bool) -> Iterator[str]:
    yield ""
    yield f"Search in English:  {done.web.search}/en/search?q=dehydration"
    yield f"Search in French:   {done.web.search}/fr/search?q=deshydratation"
    yield f"The site itself:    {done.site.url}"
    yield f"The instance:       {done.directory}"
    yield f"Ctrl-C ends it and {'keeps the directory' if kept else 'removes everything'}."


def _until_interrupted() -> None:
    try:
        signal.pause()
    except KeyboardInterrupt:
        return
