"""`worker`: run the jobs that are due."""

from __future__ import annotations

from typing import Annotated

import typer

from healtharchive.campaigns import sources
from healtharchive.cli import log_events
from healtharchive.cli.context import opened


def worker(
    ctx: typer.Context,
    max_jobs: Annotated[int | None, typer.Option(min=1, help="Attempts at once; worker.max_jobs if not given.")] = None,
    until_idle: Annotated[bool, typer.Option("--until-idle", help="End when nothing is due any more.")] = False,
) -> None:
    """Run the jobs that are due, crawls and their indexing. SIGTERM and Ctrl-C drain: every crawl comes to a checkpoint."""
    from healtharchive.jobs.worker import Worker

    with opened(ctx) as (instance, out):
        log_events.follow(as_json=out.as_json)
        resolver = sources.profile_resolver(instance.settings)
        Worker(instance, profiles=resolver, max_jobs=max_jobs, until_idle=until_idle).run()
