"""`export cdxj|wacz`: give out what is archived in formats that other tools read."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer
from sqlalchemy.engine import Connection

from healtharchive.campaigns import sources
from healtharchive.cli.context import opened
from healtharchive.cli.parsing import NUMBER_MAX, group
from healtharchive.cli.render import Output, size
from healtharchive.errors import NotFound, Refused, StorageUnavailable, UsageError
from healtharchive.jobs import queries

app = group("Give out what is archived in formats that other tools read.")

Source = Annotated[str | None, typer.Option(help="Only captures of this source.")]
JobId = Annotated[int | None, typer.Option("--job", max=NUMBER_MAX, help="Only captures of this job.")]


@app.command()
def cdxj(
    ctx: typer.Context,
    source: Source = None,
    job_id: JobId = None,
    output: Annotated[Path | None, typer.Option(help="A file that does not exist yet; standard output if not given.")] = None,
    for_replay: Annotated[
        bool,
        typer.Option("--for-replay", help="Lead visits that found nothing changed to the page they saw, for players."),
    ] = False,
) -> None:
    """An index of captures in CDXJ, sorted, of everything if nothing is chosen."""
    from healtharchive.access.export import export_cdxj

    with opened(ctx) as (instance, out):
        if output is None and out.as_json:
            raise UsageError("CDXJ on standard output cannot be JSON too.", hint="Name a file: --output FILE")
        with instance.db.read() as conn:
            _require_known(conn, source, job_id)
            if output is None:
                _to_reader(conn, out, source, job_id, for_replay)
                return
            beside = _beside(output)
            try:
                with open(beside, "w", encoding="utf-8", newline="\n") as file:
                    lines = export_cdxj(conn, file, source=source, job_id=job_id, for_replay=for_replay)
                    file.flush()
                    os.fsync(file.fileno())
                _publish(beside, output)
            except OSError as error:
                raise _unwritable(output, error) from error
            finally:
                beside.unlink(missing_ok=True)
        out.answer({"output": output, "lines": lines}, [f"{lines:,} captures in {output}."])


@app.command()
def wacz(
    ctx: typer.Context,
    source: Source = None,
    job_id: JobId = None,
    output: Annotated[Path | None, typer.Option(help="A file that does not exist yet. Required.")] = None,
    title: Annotated[str, typer.Option(help="What the archive is called.")] = "",
) -> None:
    """One portable file with WARCs, index and page list, as ReplayWeb.page and others open it."""
    from healtharchive.access.export import export_wacz

    if output is None:
        raise UsageError("A WACZ is a binary file: name it.", hint="Such as: healtharchive export wacz --output archive.wacz")
    with opened(ctx) as (instance, out):
        if output.exists():
            raise _taken(output)
        with instance.db.read() as conn:
            _require_known(conn, source, job_id)
            name = title or source or instance.settings.web.archive_name
            try:
                summary = export_wacz(conn, instance.jobs_root, output, source=source, job_id=job_id, title=name)
            except FileExistsError as error:
                raise _taken(output) from error
            except OSError as error:
                raise _unreadable(error, instance.jobs_root) or _unwritable(output, error) from error
        out.answer({"output": output, "summary": summary}, [f"{size(output.stat().st_size)} in {output}."])


def _to_reader(conn: Connection, out: Output, source: str | None, job_id: int | None, for_replay: bool) -> None:
    from healtharchive.access.export import export_cdxj

    with out.raw() as stream:
        export_cdxj(conn, stream, source=source, job_id=job_id, for_replay=for_replay)


def _require_known(conn: Connection, source: str | None, job_id: int | None) -> None:
    """An empty file for a mistyped name would look like an empty archive. Raises NotFound."""
    if source is not None:
        sources.get(conn, source)
    if job_id is not None and source is not None and queries.get(conn, job_id).source != source:
        raise NotFound(f"Job {job_id} is not one of source {source}.")
    if job_id is not None:
        queries.get(conn, job_id)


def _beside(output: Path) -> Path:
    if output.exists():
        raise _taken(output)
    return output.with_name(f".{output.name}.{os.getpid()}.new")


def _publish(beside: Path, output: Path) -> None:
    try:
        os.link(beside, output)  # refuses a name that has appeared meanwhile
    except FileExistsError as error:
        raise _taken(output) from error


def _taken(output: Path) -> Refused:
    return Refused(f"{output} exists already; it was left as it is.", hint="Choose another name.")


def _unreadable(error: OSError, jobs_root: Path) -> StorageUnavailable | None:
    """That a WARC is away or cannot be read; None if it was another file."""
    name = error.filename
    if not isinstance(name, str | os.PathLike) or not Path(name).is_relative_to(jobs_root):
        return None
    what = f"{os.fspath(name)} cannot be read: {error.strerror or error}."
    return StorageUnavailable(what, hint="Nothing was exported. What else is damaged: healtharchive verify")


def _unwritable(output: Path, error: OSError) -> StorageUnavailable:
    return StorageUnavailable(f"{output} cannot be written: {error.strerror or error}.", hint="The archive was not touched.")
