"""From WARC to captures: incremental, idempotent, and nothing lost when it stops."""

from __future__ import annotations

import gzip
from collections.abc import Callable

import pytest
import sqlalchemy as sa
from sqlalchemy.engine import Connection
from tests.rigs.archive import BEGIN, Answer, Archive, days, page

from healtharchive.access import captures, indexer
from healtharchive.access.model import Capture, IndexProgress
from healtharchive.access.tables import capture, index_state, page_text
from healtharchive.errors import StaleFence, StorageUnavailable
from healtharchive.instance import Instance

PAGE = Answer("https://example.org/", page("Measles", "Measles is a contagious disease caused by a virus.", lang="en-CA"))
TWIN = Answer("https://example.org/twin", PAGE.body)
STYLE = Answer("https://example.org/a.css", "body { color: red }", mime="text/css")
MOVED = Answer("https://example.org/old", status=302, headers=(("Location", "../new?a=1#frag"), ("ETag", '"x"')))
LATIN = Answer(
    "https://example.org/fr", page("Santé", "La santé publique protège les élèves.").replace("utf-8", "x").encode("latin-1"),
    mime="text/html; charset=iso-8859-1", headers=(("Last-Modified", "Tue, 01 Mar 2024 00:00:00 GMT"),),
)  # fmt: skip
AGAIN = Answer("https://example.org/", at=BEGIN + days(30), revisit_of=PAGE)
UNCHANGED = Answer("https://example.org/", at=BEGIN + days(60), revisit_of=PAGE, status=304, mime="")


def rows(archive: Archive) -> list[Capture]:
    with archive.instance.db.read() as conn:
        return list(captures.iterate(conn))


def by_url(archive: Archive, answer: Answer) -> Capture:
    return next(row for row in rows(archive) if row.url == answer.url and row.captured_at == answer.at)


@pytest.fixture
def archive(instance: Instance) -> Archive:
    return Archive(instance)


def test_a_capture_says_what_the_record_says(archive: Archive) -> None:
    archive.add([PAGE, STYLE, MOVED, LATIN])
    counts = archive.index()
    assert (counts.captures, counts.pages, counts.texts, counts.findings) == (4, 2, 2, ())
    found = by_url(archive, PAGE)
    assert (found.status, found.mime, found.record_type, found.source) == (200, "text/html", "response", "hc")
    assert (found.title, found.language, found.language_declared, found.is_page) == ("Measles", "en", "en", True)
    assert (found.payload_digest, found.captured_at, found.surt) == (PAGE.digest, BEGIN, "org,example)/")
    moved = by_url(archive, MOVED)
    assert (moved.status, moved.redirect_url, moved.etag, moved.is_page) == (302, "https://example.org/new?a=1", '"x"', False)
    latin = by_url(archive, LATIN)
    assert (latin.title, latin.language, latin.last_modified) == ("Santé", "fr", "Tue, 01 Mar 2024 00:00:00 GMT")
    assert not by_url(archive, STYLE).is_page


def test_offset_and_length_name_exactly_the_record(archive: Archive) -> None:
    archive.add([PAGE, STYLE, LATIN])
    archive.index()
    for row in rows(archive):
        data = (archive.instance.jobs_root / row.warc_path).read_bytes()[row.offset : row.offset + row.length]
        assert f"WARC-Target-URI: {row.url}".encode() in gzip.decompress(data)


def test_indexing_again_changes_nothing(archive: Archive) -> None:
    archive.add([PAGE, TWIN])
    archive.index()
    before = rows(archive)
    assert archive.index().captures == 0
    assert rows(archive) == before


def test_a_payload_is_extracted_once_however_often_it_was_captured(archive: Archive) -> None:
    archive.add([PAGE, TWIN])
    archive.add([Answer("https://example.org/third", PAGE.body), AGAIN])
    assert archive.index().texts == 1
    assert {row.title for row in rows(archive)} == {"Measles"}


def test_a_revisit_has_the_text_of_what_it_refers_to(archive: Archive) -> None:
    archive.add([PAGE, AGAIN, UNCHANGED])
    archive.index()
    for answer in (AGAIN, UNCHANGED):
        row = by_url(archive, answer)
        assert (row.title, row.language, row.is_page, row.refers_to_url, row.refers_to_at) == (
            "Measles",
            "en",
            True,
            PAGE.url,
            PAGE.at,
        )
        assert row.mime == "text/html"


@pytest.mark.parametrize("names_digest", [True, False])
def test_a_revisit_that_was_indexed_first_learns_its_text_later(archive: Archive, names_digest: bool) -> None:
    again = Answer(PAGE.url, at=BEGIN + days(30), revisit_of=PAGE, names_digest=names_digest)
    archive.add([again])
    archive.index()
    assert not by_url(archive, again).is_page
    archive.engine.catch_up()
    archive.add([PAGE])
    archive.index()
    assert by_url(archive, again).title == "Measles"
    archive.engine.catch_up()
    assert archive.search("contagious", view="captures").total == 2
    assert archive.engine.agrees()


@pytest.mark.parametrize("segment", range(5))
def test_a_run_that_stops_after_any_segment_goes_on_where_it_stopped(archive: Archive, segment: int) -> None:
    answers = [Answer(f"https://example.org/{n}", page(f"Page {n}", f"text {n}")) for n in range(5)]
    stored = archive.add(answers)

    class Stopped(Exception):
        pass

    def stop(progress: IndexProgress) -> None:
        if progress.counts.captures > segment:
            raise Stopped

    with pytest.raises(Stopped):
        indexer.index_warc(
            archive.instance.db, archive.instance.jobs_root, stored, source="hc", on_progress=stop, segment_records=1
        )
    assert len(rows(archive)) == segment + 1
    assert archive.index(segment_records=2).captures == 4 - segment
    assert [row.url for row in rows(archive)] == [answer.url for answer in answers]


def failing_after(count: int) -> Callable[[Connection], None]:
    calls = iter(range(count))

    def guard(conn: Connection) -> None:
        if next(calls, None) is None:
            raise StaleFence("taken over")

    return guard


@pytest.mark.parametrize("transactions", range(6))
def test_a_reindex_that_fails_has_changed_nothing_and_goes_on_later(archive: Archive, transactions: int) -> None:
    stored = archive.add([PAGE, TWIN, LATIN, AGAIN])
    archive.index()
    before = rows(archive)
    with pytest.raises(StaleFence):
        indexer.index_warc(
            archive.instance.db, archive.instance.jobs_root, stored, source="hc",
            guard=failing_after(transactions), rebuild=True, segment_records=1,
        )  # fmt: skip
    assert rows(archive) == before
    archive.index(rebuild=True)
    assert rows(archive) == before


def test_a_reindex_without_its_storage_changes_nothing(archive: Archive) -> None:
    stored = archive.add([PAGE, TWIN])
    archive.index()
    before = rows(archive)
    path = archive.instance.jobs_root / stored.path
    path.rename(path.with_suffix(".away"))
    with pytest.raises(StorageUnavailable, match="Nothing of the index was lost"):
        archive.index(rebuild=True)
    assert rows(archive) == before
    path.with_suffix(".away").rename(path)
    archive.index(rebuild=True)
    assert rows(archive) == before


def test_a_guard_that_refuses_leaves_no_row(archive: Archive) -> None:
    stored = archive.add([PAGE])
    with pytest.raises(StaleFence):
        indexer.index_warc(archive.instance.db, archive.instance.jobs_root, stored, source="hc", guard=failing_after(0))
    with archive.instance.db.read() as conn:
        assert conn.execute(sa.select(sa.func.count()).select_from(index_state)).scalar() == 0


def test_two_indexers_of_one_file_do_not_write_it_twice(archive: Archive) -> None:
    answers = [Answer(f"https://example.org/{n}", page(f"Page {n}", "x")) for n in range(4)]
    stored = archive.add(answers)

    def rival(progress: IndexProgress) -> None:
        archive.index()

    with pytest.raises(StaleFence):
        indexer.index_warc(
            archive.instance.db, archive.instance.jobs_root, stored, source="hc", on_progress=rival, segment_records=1
        )
    assert len(rows(archive)) == 4


def test_a_damaged_record_costs_itself_and_is_told(archive: Archive) -> None:
    answers = [Answer(f"https://example.org/{n}", page(f"Page {n}", "words " * 200)) for n in range(4)]
    stored = archive.add(answers)
    archive.index()
    victim = rows(archive)[1]
    path = archive.instance.jobs_root / stored.path
    data = bytearray(path.read_bytes())
    data[victim.offset + victim.length // 2] ^= 0xFF
    path.write_bytes(data)
    counts = archive.index(rebuild=True)
    assert [row.url for row in rows(archive)] == [answers[n].url for n in (0, 2, 3)]
    assert len(counts.findings) == 1
    archive.engine.catch_up()
    assert archive.engine.agrees()


def test_a_gzip_bomb_costs_bounded_text(archive: Archive) -> None:
    bomb = gzip.compress(b"<html><body>" + b"boom " * 40_000_000)
    archive.add([Answer("https://example.org/bomb", bomb, headers=(("Content-Encoding", "gzip"),)), PAGE])
    assert archive.index().captures == 2
    with archive.instance.db.read() as conn:
        assert (conn.execute(sa.select(sa.func.max(page_text.c.length))).scalar() or 0) <= 4_000_000


def test_odd_records_are_left_out_or_told_but_never_end_the_run(archive: Archive) -> None:
    archive.add(
        [
            Answer("dns:example.org", "1.2.3.4", kind="resource", mime="text/dns"),
            Answer("https://example.org/\ud7ff\u0000x", page("NUL \0 byte", "a\0b")),
            Answer("urn:x:y", "z", kind="resource"),
            Answer("https://example.org/robots.txt", "User-agent: *", mime="text/plain"),
            Answer("https://example.org/empty", b"", mime=""),
            PAGE,
        ]
    )
    archive.index()
    assert {row.url for row in rows(archive) if row.is_page} >= {PAGE.url}
    assert not by_url(archive, Answer("https://example.org/robots.txt")).is_page


def test_a_pdf_that_could_not_be_read_is_told_kept_findable_and_tried_again(archive: Archive) -> None:
    broken = Answer("https://example.org/report.pdf", b"%PDF-1.7 nonsense", mime="application/pdf")
    archive.add([broken, PAGE])
    counts = archive.index()
    assert "unreadable PDF" in counts.findings[0]
    assert archive.found("url:report") == [broken.url]
    assert archive.index(rebuild=True).texts == 1


def test_records_that_a_reindex_finds_or_loses_come_and_go(archive: Archive) -> None:
    answers = [Answer(f"https://example.org/{n}", page(f"Page {n}", "words " * 200)) for n in range(4)]
    stored = archive.add(answers)
    archive.index()
    ids = {row.url: row.id for row in rows(archive)}
    path = archive.instance.jobs_root / stored.path
    whole = path.read_bytes()
    victim = rows(archive)[1]
    path.write_bytes(whole[: victim.offset + 40] + b"\xff" + whole[victim.offset + 41 :])
    archive.index(rebuild=True)
    path.write_bytes(whole)
    archive.index(rebuild=True)
    after = {row.url: row.id for row in rows(archive)}
    assert {url for url in ids if ids[url] != after[url]} == {victim.url}
    archive.engine.catch_up()
    assert archive.engine.agrees()


def test_the_search_clock_leaves_no_hole(archive: Archive) -> None:
    archive.add([Answer(f"https://example.org/{n}", page("t", "x")) for n in range(7)])
    archive.index(segment_records=2)
    with archive.instance.db.read() as conn:
        assert sorted(set(conn.scalars(sa.select(capture.c.search_seq)))) == [1, 2, 3, 4]
