"""The spool's sealed WARCs as rows: each line of a job's manifest becomes one row, once.

The engine publishes a WARC by a rename and then a manifest line; it has no database. Whoever supervises it registers the line. If
that process is killed in between, the line waits in the manifest for the next one: registering is idempotent by name.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path, PurePath
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import Connection, RowMapping

from healtharchive.errors import HealthArchiveError, NotFound
from healtharchive.storage.model import SealedWarc, StoredWarc
from healtharchive.storage.tables import warc


class NameTaken(HealthArchiveError):
    """Another file is registered under this WARC's name. The first one stays; nothing was changed."""


def read_manifest(path: Path, offset: int = 0) -> tuple[list[SealedWarc], int]:
    """Complete lines of a manifest from a byte offset on, and the offset after them. A missing file has none.

    A last line without its end is a write in progress, or one that a crash cut; it waits for its writer. Raises OSError.
    """
    try:
        with open(path, "rb") as file:
            file.seek(offset)
            data = file.read()
    except FileNotFoundError:
        return [], offset
    whole = data[: data.rfind(b"\n") + 1]
    return [_from_line(line) for line in whole.splitlines() if line.strip()], offset + len(whole)


def register_sealed(conn: Connection, job_id: int, source: str, sealed: SealedWarc, path: PurePath | str) -> StoredWarc:
    """The row of a sealed WARC, made if it is not there. `path` is relative to the jobs root.

    Raises NameTaken if another file has that name already: names are unique in the archive.
    """
    insert = postgresql.insert(warc) if conn.dialect.name == "postgresql" else sqlite.insert(warc)
    conn.execute(
        insert.values(
            job_id=job_id,
            name=sealed.name,
            path=str(path),
            size_bytes=sealed.size_bytes,
            sha256=sealed.sha256,
            record_count=sealed.record_count,
            fence=sealed.fence,
            sealed_at=sealed.sealed_at,
        ).on_conflict_do_nothing(index_elements=["name"])
    )
    row = conn.execute(sa.select(warc).where(warc.c.name == sealed.name)).mappings().one()
    stored = _stored(row)
    if (stored.job_id, stored.sha256) != (job_id, sealed.sha256):
        raise NameTaken(
            f"WARC {sealed.name} of job {job_id} ({source}) is not the one registered under that name.",
            found=f"sha256 {sealed.sha256}",
            expected=f"sha256 {stored.sha256} of job {stored.job_id}",
            hint="Both files were left as they are.",
        )
    return stored


def warcs_of(conn: Connection, job_id: int | None = None, source: str | None = None) -> Sequence[StoredWarc]:
    """Registered WARCs in the order of their registration: of one job, of one source, or all."""
    query = sa.select(warc).order_by(warc.c.id)
    if job_id is not None:
        query = query.where(warc.c.job_id == job_id)
    if source is not None:
        job = sa.table("job", sa.column("id"), sa.column("source"))  # read only; its room is above this one
        query = query.where(warc.c.job_id.in_(sa.select(job.c.id).where(job.c.source == source)))
    return [_stored(row) for row in conn.execute(query).mappings()]


def get(conn: Connection, warc_id: int) -> StoredWarc:
    """One registered WARC. Raises NotFound."""
    row = conn.execute(sa.select(warc).where(warc.c.id == warc_id)).mappings().one_or_none()
    if row is None:
        raise NotFound(f"There is no WARC {warc_id}.")
    return _stored(row)


def _stored(row: RowMapping) -> StoredWarc:
    return StoredWarc(**row)


def _from_line(line: bytes) -> SealedWarc:
    data: dict[str, Any] = json.loads(line)
    return SealedWarc(
        name=data["name"],
        size_bytes=data["size_bytes"],
        sha256=data["sha256"],
        record_count=data["record_count"],
        fence=data["fence"],
        sealed_at=datetime.fromisoformat(data["sealed_at"]),
    )
