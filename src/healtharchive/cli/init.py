"""`init`: make an instance."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated

import typer

from healtharchive import journal
from healtharchive.cli.context import asked, program
from healtharchive.instance import DEFAULT_DATABASE, create_instance


def init(
    ctx: typer.Context,
    directory: Annotated[Path | None, typer.Argument(help="Where; the working directory if not given.")] = None,
    database: Annotated[
        str, typer.Option(help="Database URL: sqlite:///FILE, relative to the instance, or postgresql://USER@HOST/NAME.")
    ] = DEFAULT_DATABASE,
) -> None:
    """Make an instance: a directory with healtharchive.toml, a database of this program's schema, and room for WARCs."""
    call = asked(ctx)
    root = directory or call.instance or Path.cwd()
    instance = create_instance(root, database)
    try:
        with instance.db.write() as conn:
            journal.record(conn, journal.person(), action="instance.create", target="instance", reason="init")
        shown = instance.db.url.render_as_string(hide_password=True)
        revision = instance.db.head_revision()
    finally:
        instance.close()
    inside = "" if directory is None and call.instance is None else f" --instance {shlex.quote(str(instance.root))}"
    call.out.answer(
        {"instance": str(instance.root), "database": shown, "revision": revision},
        [f"Instance in {instance.root}, database {shown}.", f"Next: {program()} archive https://example.org/{inside}"],
    )
