"""`index`: bring captures, texts and search index up to date with the WARCs."""

from __future__ import annotations

from typing import Annotated

import typer

from healtharchive import journal
from healtharchive.cli.context import opened
from healtharchive.cli.parsing import NUMBER_MAX
from healtharchive.errors import ExitCode
from healtharchive.jobs import queries


def index(
    ctx: typer.Context,
    job_id: Annotated[int | None, typer.Option("--job", max=NUMBER_MAX, help="Only the WARCs of this job.")] = None,
    rebuild: Annotated[
        bool, typer.Option("--rebuild", help="Read every WARC again; readers see the old index until the new one is complete.")
    ] = False,
) -> int:
    """Read what is not indexed yet. A worker does this by itself; here it is done now, and again where that is asked for."""
    from healtharchive.access import indexer
    from healtharchive.access.search import open_search

    with opened(ctx) as (instance, out):
        if job_id is not None:
            with instance.db.read() as conn:
                queries.get(conn, job_id)
        counts = indexer.index_all(
            instance.db,
            instance.jobs_root,
            job_id=job_id,
            rebuild=rebuild,
            languages=instance.settings.search.languages,
            host=instance.host,
        )
        search = open_search(instance)
        searched = search.rebuild() if rebuild and job_id is None else search.catch_up()
        total = search.count()
        if rebuild:
            with instance.db.write() as conn:
                target = "index" if job_id is None else f"job:{job_id}"
                journal.record(conn, journal.person(), action="index.rebuild", target=target, reason="index --rebuild")
        answer = {"counts": counts, "search_updated": searched, "search_total": total}
        lines = [
            f"Read {counts.captures:,} captures, {counts.pages:,} pages, {counts.texts:,} new texts.",
            f"Search: {total:,} documents.",
            *(f"Finding: {finding}" for finding in counts.findings),
        ]
        out.answer(answer, lines)
        return int(ExitCode.NEEDS_HUMAN if counts.findings else ExitCode.OK)
