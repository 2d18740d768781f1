"""Sealed WARCs as rows; on both databases."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
from tests.rigs.jobs import add_jobs

from healtharchive.db import Database
from healtharchive.errors import NotFound
from healtharchive.storage import spool
from healtharchive.storage.model import SealedWarc

SEALED = SealedWarc("hc-000001-000001-00001.warc.gz", 123, "ab" * 32, 4, 1, datetime(2026, 1, 24, tzinfo=UTC))


def line(sealed: SealedWarc) -> bytes:
    return json.dumps({**sealed.__dict__, "sealed_at": sealed.sealed_at.isoformat()}).encode() + b"\n"


def test_registering_twice_makes_one_row(database: Database) -> None:
    job = add_jobs(database, 1)[0]
    with database.write() as conn:
        first = spool.register_sealed(conn, job.id, "hc", SEALED, f"{job.output_dir}/warcs/{SEALED.name}")
        second = spool.register_sealed(conn, job.id, "hc", SEALED, f"{job.output_dir}/warcs/{SEALED.name}")
    assert first == second
    assert first.path == f"{job.output_dir}/warcs/{SEALED.name}"
    with database.read() as conn:
        assert list(spool.warcs_of(conn)) == [first]
        assert spool.get(conn, first.id) == first
        with pytest.raises(NotFound):
            spool.get(conn, first.id + 1)


def test_another_file_under_a_registered_name_is_refused_and_the_first_stays(database: Database) -> None:
    one, two = add_jobs(database, 2)
    with database.write() as conn:
        first = spool.register_sealed(conn, one.id, "hc", SEALED, "a")
    other_bytes = SealedWarc(**{**SEALED.__dict__, "sha256": "cd" * 32})
    for job_id, sealed in ((one.id, other_bytes), (two.id, SEALED)):
        with pytest.raises(spool.NameTaken), database.write() as conn:
            spool.register_sealed(conn, job_id, "hc", sealed, "b")
    with database.read() as conn:
        assert list(spool.warcs_of(conn)) == [first]


def test_warcs_of_one_job_or_one_source(database: Database) -> None:
    ours, theirs = add_jobs(database, 1)[0], add_jobs(database, 1, source="phac")[0]
    with database.write() as conn:
        a = spool.register_sealed(conn, ours.id, "hc", SEALED, "a")
        b = spool.register_sealed(conn, theirs.id, "phac", SealedWarc(**{**SEALED.__dict__, "name": "b"}), "b")
        assert list(spool.warcs_of(conn)) == [a, b]
        assert list(spool.warcs_of(conn, job_id=ours.id)) == [a]
        assert list(spool.warcs_of(conn, source="phac")) == [b]


def test_the_manifest_is_read_on_from_where_it_was_left_and_half_a_line_waits(tmp_path: Path) -> None:
    path = tmp_path / "manifest.jsonl"
    assert spool.read_manifest(path) == ([], 0)
    whole = line(SEALED)
    path.write_bytes(whole + whole[:40])
    found, offset = spool.read_manifest(path)
    assert found == [SEALED]
    assert offset == len(whole)
    with open(path, "ab") as file:
        file.write(whole[40:])
    assert spool.read_manifest(path, offset) == ([SEALED], 2 * len(whole))
