"""`demo`: see an archive work, be broken and heal, on this machine and without a network."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from healtharchive.cli.context import asked, terminated_like_interrupted
from healtharchive.cli.render import table
from healtharchive.errors import ExitCode

if TYPE_CHECKING:
    from healtharchive.drills.demo import Verdict


def demo(
    ctx: typer.Context,
    keep: Annotated[bool, typer.Option("--keep", help="Leave it open to browse until Ctrl-C.")] = False,
    directory: Annotated[
        Path | None, typer.Option(help="Where; kept afterwards. A temporary directory, removed at the end, if not given.")
    ] = None,
) -> int:
    """Archive a bundled bilingual site, change it, kill the crawler, and prove that nothing was lost. Exit code 0 only if so."""
    from healtharchive.drills.demo import played

    call = asked(ctx)
    with terminated_like_interrupted(), played(call.out.note, directory=directory) as verdict:
        code = ExitCode.OK if verdict.ok else ExitCode.ERROR
        answer = {
            "ok": verdict.ok,
            "seconds": round(verdict.seconds, 1),
            "assertions": verdict.assertions,
            "directory": verdict.directory if keep or directory else None,
            "search": verdict.web.search if keep else None,
            "replay": verdict.web.replay if keep else None,
        }
        call.out.answer(answer, _lines(verdict))
        if keep:
            call.out.note("")
            call.out.note(f"Search in English:  {verdict.web.search}/en/search?q=dehydration")
            call.out.note(f"Search in French:   {verdict.web.search}/fr/search?q=deshydratation")
            call.out.note(f"The site itself:    {verdict.site_url}")
            call.out.note(f"The instance:       {verdict.directory}")
            call.out.note("Ctrl-C ends it" + (" and keeps the directory." if directory else " and removes everything."))
            call.out.flush()
            _until_interrupted()
    return int(code)


def _lines(verdict: Verdict) -> Iterator[str]:
    rows = [("ok" if each.holds else "NO", each.claim, each.seen) for each in verdict.assertions]
    yield from table(["", "CLAIM", "SEEN"], rows)
    holding = sum(each.holds for each in verdict.assertions)
    yield ""
    yield f"{holding} of {len(rows)} hold, in {verdict.seconds:.1f} s."


def _until_interrupted() -> None:
    try:
        signal.pause()
    except KeyboardInterrupt:
        return
