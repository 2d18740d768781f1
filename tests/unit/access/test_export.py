from __future__ import annotations

import hashlib
import io
import json
import zipfile
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy.engine import Connection
from tests.rigs.jobs import add_jobs
from tests.rigs.warcs import record_bytes, write_members

from healtharchive.access.export import WaczSummary, export_cdxj, export_wacz
from healtharchive.access.indexer import index_warc
from healtharchive.errors import NotFound, Refused
from healtharchive.instance import Instance
from healtharchive.storage import spool
from healtharchive.storage.model import SealedWarc
from healtharchive.warc import cdxj
from healtharchive.warc.wacz import WarcChanged

NOW = datetime(2026, 3, 5, 10, 20, 30, tzinfo=UTC)
FIRST_URL = "https://example.org/page/1"


def revisit_of_first(number: int, *, digest: str) -> bytes:
    headers = (
        f"WARC-Refers-To-Target-URI: {FIRST_URL}\r\nWARC-Refers-To-Date: 2026-03-02T10:20:30Z\r\n"
        "WARC-Profile: http://netpreserve.org/warc/1.1/revisit/identical-payload-digest\r\n"
    )
    record = record_bytes(number, kind="revisit", body=b"", url=FIRST_URL, headers=headers)
    return record.replace(hashlib.sha256(b"").hexdigest().encode(), digest.encode())


def archive(instance: Instance, *, source: str, name: str, members: list[bytes]) -> Path:
    """Seal, register and index a WARC in a job of its own."""
    job = add_jobs(instance.db, 1, source=source)[0]
    relative = Path(job.output_dir) / "warcs" / name
    path = instance.jobs_root / relative
    path.parent.mkdir(parents=True)
    write_members(path, members)
    sealed = SealedWarc(name, path.stat().st_size, hashlib.sha256(path.read_bytes()).hexdigest(), len(members), 1, NOW)
    with instance.db.write() as conn:
        stored = spool.register_sealed(conn, job.id, source, sealed, relative)
    index_warc(instance.db, instance.jobs_root, stored, source=source)
    return path


@pytest.fixture
def warcs(instance: Instance) -> tuple[Path, Path, Path]:
    """Two editions of one source, the second with a revisit of the first and one of nothing, and another source."""
    page = hashlib.sha256(b"<html><title>Page 1</title>Vaccination 1</html>").hexdigest()
    return (
        archive(instance, source="hc", name="hc-1.warc.gz", members=[record_bytes(n) for n in (2, 1)]),
        archive(
            instance,
            source="hc2",
            name="hc-2.warc.gz",
            members=[record_bytes(3), revisit_of_first(4, digest=page), record_bytes(5, url="https://example.org/")],
        ),
        archive(instance, source="phac", name="phac-1.warc.gz", members=[record_bytes(6)]),
    )


def lines(conn: Connection, *, source: str | None = None, job_id: int | None = None) -> list[str]:
    out = io.StringIO()
    count = export_cdxj(conn, out, source=source, job_id=job_id)
    found = out.getvalue().splitlines(keepends=True)
    assert len(found) == count
    return found


def test_the_index_of_the_database_equals_that_of_the_files(instance: Instance, warcs: tuple[Path, ...]) -> None:
    with instance.db.read() as conn:
        assert lines(conn) == cdxj.sorted_lines(warcs)
        assert lines(conn, source="phac") == cdxj.sorted_lines(warcs[2:])
        assert lines(conn, source="nobody") == []


def export(instance: Instance, output: Path, *, source: str | None = None) -> WaczSummary:
    with instance.db.read() as conn:
        return export_wacz(conn, instance.jobs_root, output, source=source, at=NOW)


def test_a_wacz_of_everything_holds_every_warc_and_line(instance: Instance, warcs: tuple[Path, ...], tmp_path: Path) -> None:
    summary = export(instance, tmp_path / "all.wacz")
    assert (summary.warcs, summary.captures, summary.pages, summary.referred, summary.missing) == (3, 6, 6, 0, 0)
    with zipfile.ZipFile(tmp_path / "all.wacz") as package:
        for warc in warcs:
            assert package.read(f"archive/{warc.name}") == warc.read_bytes()
        assert json.loads(package.read("datapackage.json"))["mainPageURL"] == "https://example.org/"


def test_what_revisits_refer_to_comes_along(instance: Instance, warcs: tuple[Path, ...], tmp_path: Path) -> None:
    summary = export(instance, tmp_path / "second.wacz", source="hc2")
    assert (summary.warcs, summary.captures, summary.referred) == (2, 4, 1)
    with zipfile.ZipFile(tmp_path / "second.wacz") as package:
        warc_names = {name for name in package.namelist() if name.startswith("archive/")}
    assert warc_names == {"archive/hc-1.warc.gz", "archive/hc-2.warc.gz"}


def test_a_selection_of_nothing_is_told(instance: Instance, tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="no capture to export"):
        export(instance, tmp_path / "none.wacz")
    assert list(tmp_path.glob("*.wacz*")) == []


def test_a_warc_that_changed_stops_the_export(instance: Instance, warcs: tuple[Path, ...], tmp_path: Path) -> None:
    warcs[0].write_bytes(warcs[0].read_bytes() + b"\0")
    with pytest.raises(WarcChanged):
        export(instance, tmp_path / "all.wacz")
    assert not (tmp_path / "all.wacz").exists()


def test_an_existing_file_stays(instance: Instance, warcs: tuple[Path, ...], tmp_path: Path) -> None:
    (tmp_path / "all.wacz").write_text("precious")
    with pytest.raises(Refused):
        export(instance, tmp_path / "all.wacz")
    assert (tmp_path / "all.wacz").read_text() == "precious"


def not_modified(number: int, url: str) -> bytes:
    headers = (
        f"WARC-Refers-To-Target-URI: {url}\r\nWARC-Refers-To-Date: 2026-03-02T10:20:30Z\r\n"
        "WARC-Profile: http://netpreserve.org/warc/1.1/revisit/server-not-modified\r\n"
    )
    return record_bytes(number, kind="revisit", body=b"", head=b"HTTP/1.1 304 Not Modified\r\n\r\n", url=url, headers=headers)


def test_for_players_a_visit_that_found_nothing_changed_leads_to_what_it_means(instance: Instance, tmp_path: Path) -> None:
    warc = archive(instance, source="hc", name="hc-1.warc.gz", members=[record_bytes(1), not_modified(7, FIRST_URL)])
    out = io.StringIO()
    with instance.db.read() as conn:
        assert lines(conn) == cdxj.sorted_lines([warc])
        assert export_cdxj(conn, out, for_replay=True) == 2
        plain, (page, visit) = map(cdxj.parse, lines(conn)), map(cdxj.parse, out.getvalue().splitlines())
    assert [fields["status"] for _, _, fields in plain] == ["200", "304"]
    assert (page[1], visit[1]) == ("20260302102030", "20260308102030")
    assert page[2] == visit[2]
    summary = export(instance, tmp_path / "hc.wacz")
    assert (summary.captures, summary.pages, summary.missing) == (2, 2, 0)


def test_a_visit_whose_page_is_not_in_the_archive_is_counted(instance: Instance, tmp_path: Path) -> None:
    archive(instance, source="hc", name="hc-1.warc.gz", members=[record_bytes(2), not_modified(7, FIRST_URL)])
    summary = export(instance, tmp_path / "hc.wacz")
    assert (summary.captures, summary.missing) == (1, 1)
