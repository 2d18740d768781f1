"""`verify`: whether every WARC still is what was written."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

import typer

from healtharchive.cli.context import opened
from healtharchive.cli.parsing import NUMBER_MAX
from healtharchive.cli.render import cell, size
from healtharchive.errors import ExitCode
from healtharchive.jobs import queries
from healtharchive.storage import spool
from healtharchive.storage.model import StoredWarc
from healtharchive.warc.verify import Flaw, Level, Verification
from healtharchive.warc.verify import verify as look_at


@dataclass(frozen=True)
class Checked:
    """One WARC of the archive and what a look at it found."""

    warc: StoredWarc
    found: Verification


def verify(
    ctx: typer.Context,
    level: Annotated[Level, typer.Option(help="How closely to look; each level includes those before it.")] = Level.DIGESTS,
    job_id: Annotated[int | None, typer.Option("--job", max=NUMBER_MAX, help="Only the WARCs of this job.")] = None,
    source: Annotated[str | None, typer.Option(help="Only the WARCs of this source.")] = None,
) -> int:
    """Check WARCs. Reads only. Exit code 4 if one is damaged, 12 if one cannot be read."""
    with opened(ctx) as (instance, out):
        with instance.db.read() as conn:
            if job_id is not None:
                queries.get(conn, job_id)
            warcs = spool.warcs_of(conn, job_id=job_id, source=source)
        checked: list[Checked] = []
        for warc in warcs:
            if out.live:
                out.note(f"{warc.name}  {size(warc.size_bytes)}")
            checked.append(check(warc, instance.jobs_root / warc.path, level))
        code = exit_code(checked)
        answer = {
            "level": level,
            "ok": code is ExitCode.OK,
            "warcs": [
                {
                    "name": each.warc.name,
                    "job_id": each.warc.job_id,
                    "ok": each.found.ok,
                    "size_bytes": each.found.size_bytes,
                    "record_count": each.found.record_count,
                    "digest_count": each.found.digest_count,
                    "findings": each.found.findings,
                    "notes": each.found.notes,
                }
                for each in checked
            ],
        }
        out.answer(answer, _lines(checked, level))
        return int(code)


def check(warc: StoredWarc, path: Path, level: Level) -> Checked:
    """Look at one file, and at whether it is the file that was sealed: a whole WARC in its place would be damage too."""
    found = look_at(path, level)
    if found.is_unreadable:
        return Checked(warc, found)
    if found.size_bytes != warc.size_bytes:
        what = f"the file has {found.size_bytes:,} bytes, it was sealed with {warc.size_bytes:,}"
        found = replace(found, findings=(*found.findings, Flaw("size", min(found.size_bytes, warc.size_bytes), what)))
    elif level is Level.DIGESTS and (digest := _sha256(path)) != warc.sha256:
        what = f"the file's SHA-256 is {digest[:16]}..., it was sealed with {warc.sha256[:16]}..."
        found = replace(found, findings=(*found.findings, Flaw("sha256", 0, what)))
    return Checked(warc, found)


def exit_code(checked: Sequence[Checked]) -> ExitCode:
    """Storage that is away is not damage: nobody knows yet."""
    if any(each.found.findings and not each.found.is_unreadable for each in checked):
        return ExitCode.NEEDS_HUMAN
    return ExitCode.STORAGE_UNAVAILABLE if any(each.found.is_unreadable for each in checked) else ExitCode.OK


def _sha256(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _lines(checked: Sequence[Checked], level: Level) -> Iterator[str]:
    for each in checked:
        for flaw in each.found.findings:
            yield f"{each.warc.name}: {flaw.kind} at byte {flaw.offset:,}: {cell(flaw.message)}"
        for note in each.found.notes:
            yield f"{each.warc.name}: {cell(note)}"
    good = sum(each.found.ok for each in checked)
    digests = sum(each.found.digest_count for each in checked)
    proved = f", {digests:,} digests hold" if level is Level.DIGESTS else ""
    yield f"{good} of {len(checked)} WARCs good at level {level}{proved}."
