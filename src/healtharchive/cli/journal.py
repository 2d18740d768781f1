"""`journal`: who did what, when and why."""

from __future__ import annotations

from typing import Annotated

import typer

from healtharchive import journal as records
from healtharchive.cli.context import opened
from healtharchive.cli.parsing import NUMBER_MAX
from healtharchive.cli.render import table


def journal(
    ctx: typer.Context,
    target: Annotated[str | None, typer.Argument(help="Only about this, such as job:7 or source:hc.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=NUMBER_MAX, help="At most so many rows, the newest first.")] = 50,
) -> None:
    """Every change that a person or the system made, refusals included. Rows are never changed."""
    with opened(ctx) as (instance, out):
        with instance.db.read() as conn:
            found = records.entries(conn, target=target, limit=limit)
        rows = [(each.at, each.actor, each.action, each.target, each.outcome, each.reason) for each in found]
        text = table(["AT", "ACTOR", "ACTION", "TARGET", "OUTCOME", "REASON"], rows)
        out.answer({"entries": found}, text if found else ["Nothing in the journal."])
