"""`config show|check|migrate`: the settings, where each comes from, and whether this program can run with them."""

from __future__ import annotations

from typing import Annotated

import typer

from healtharchive import journal
from healtharchive.cli.context import asked
from healtharchive.cli.parsing import group
from healtharchive.cli.render import jsonable, table
from healtharchive.db import Database
from healtharchive.instance import find_instance, open_instance
from healtharchive.settings import Origin, known_keys, load

app = group("The settings of the instance and where each of them comes from.")


@app.command()
def show(
    ctx: typer.Context,
    origin: Annotated[bool, typer.Option("--origin", help="Also say where each value comes from.")] = False,
    describe: Annotated[bool, typer.Option("--describe", help="Also say what each setting means.")] = False,
) -> None:
    """Every setting with its value. Reads the configuration only: works while the database is away."""
    call = asked(ctx)
    _, origins = load(find_instance(call.instance))
    meanings = known_keys()
    rows = [
        {"key": item.key, "value": _shown(item), "origin": item.source, "description": meanings[item.key]} for item in origins
    ]
    columns = ["key", "value", *(["origin"] if origin else []), *(["description"] if describe else [])]
    text = table(
        [column.upper() for column in columns],
        [[str(row[column]) if column != "value" else _toml(row["value"]) for column in columns] for row in rows],
    )
    call.out.answer({"settings": rows}, text)


@app.command()
def check(ctx: typer.Context) -> None:
    """Whether this program can run with the configuration and the database. Exit code 13 if not."""
    call = asked(ctx)
    instance = open_instance(call.instance)
    try:
        revision = instance.db.current_revision()
        shown = instance.db.url.render_as_string(hide_password=True)
    finally:
        instance.close()
    call.out.answer(
        {"instance": str(instance.root), "database": shown, "revision": revision, "ok": True},
        [f"Good: {instance.root}, database {shown}, schema revision {revision}."],
    )


@app.command()
def migrate(ctx: typer.Context) -> None:
    """Bring the database to the schema revision of this program, in one transaction."""
    call = asked(ctx)
    instance = open_instance(call.instance, check_revision=False)
    try:
        before = instance.db.current_revision()
        instance.db.migrate()
        after = instance.db.current_revision()
        if before != after:
            with instance.db.write() as conn:
                journal.record(
                    conn,
                    journal.person(),
                    action="instance.migrate",
                    target="instance",
                    reason="config migrate",
                    evidence={"before": before, "after": after},
                )
    finally:
        instance.close()
    done = f"Schema revision {after}, as before." if before == after else f"Schema revision {before or 'none'} is now {after}."
    call.out.answer({"before": before, "after": after}, [done])


def _shown(item: Origin) -> object:
    """A database URL may hold a password, which is nobody's business."""
    if item.key == "database.url":
        return Database(str(item.value)).url.render_as_string(hide_password=True) if "@" in str(item.value) else item.value
    return jsonable(item.value)


def _toml(value: object) -> str:
    if isinstance(value, list):
        return "[" + ", ".join(_toml(item) for item in value) + "]"
    if isinstance(value, bool):
        return "true" if value else "false"
    return f'"{value}"' if isinstance(value, str) else str(value)
