"""`source add|list|show`: whose websites are archived."""

from __future__ import annotations

from typing import Annotated

import typer

from healtharchive import journal
from healtharchive.campaigns import profiles, sources
from healtharchive.campaigns.model import Source
from healtharchive.cli.context import opened
from healtharchive.cli.parsing import group
from healtharchive.cli.render import facts, table
from healtharchive.errors import UsageError

app = group("Whose websites are archived.")


@app.command()
def add(
    ctx: typer.Context,
    name: Annotated[str, typer.Argument(help="Short and for ever: it is in directories, WARC names and links.")],
    seeds: Annotated[list[str] | None, typer.Argument(metavar="URL...", help="Where the crawl begins.")] = None,
    seed: Annotated[list[str] | None, typer.Option("--seed", help="The same as an option; may be given many times.")] = None,
    title: Annotated[str, typer.Option(help="The name that readers see.")] = "",
    assignments: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="What differs from the [crawl] settings, such as scope=path."),
    ] = None,
) -> None:
    """Add a source. Its crawls are made with: healtharchive job create NAME"""
    given = [*(seeds or []), *(seed or [])]
    if not given:
        raise UsageError(
            "A source needs at least one seed URL.", hint=f"Such as: healtharchive source add {name} https://example.org/"
        )
    with opened(ctx) as (instance, out):
        with instance.db.write() as conn:
            added = sources.add(
                conn,
                name=name,
                seeds=given,
                title=title,
                profile=profiles.parse_assignments(assignments or []),
                actor=journal.person(),
            )
        out.answer({"source": added}, [f"Source {added.name} added.", f"Next: healtharchive job create {added.name}"])


@app.command("list")
def list_sources(ctx: typer.Context) -> None:
    """Every source."""
    with opened(ctx) as (instance, out):
        with instance.db.read() as conn:
            found = sources.all_sources(conn)
        rows = [(source.name, source.title, len(source.seeds), source.seeds[0]) for source in found]
        text = table(["NAME", "TITLE", "SEEDS", "FIRST SEED"], rows, right=frozenset({2}))
        out.answer({"sources": found}, text if found else ["No sources. Add one: healtharchive source add NAME URL"])


@app.command()
def show(ctx: typer.Context, name: Annotated[str, typer.Argument(help="The source.")]) -> None:
    """One source and the profile that its next crawl would have."""
    with opened(ctx) as (instance, out):
        with instance.db.read() as conn:
            source = sources.get(conn, name)
        resolved = profiles.resolve(instance.settings, source, {})
        out.answer({"source": source, "resolved": resolved}, _text(source))


def _text(source: Source) -> list[str]:
    return facts(
        [
            ("name", source.name),
            ("title", source.title),
            *(("seed", seed) for seed in source.seeds),
            *((f"set {key}", value) for key, value in source.profile.items()),
            ("revision", source.revision),
            ("added", source.created_at),
            ("changed", source.updated_at),
        ]
    )
