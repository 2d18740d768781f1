"""Captures by URL and time, their records by offset, and what the next crawl is told."""

from __future__ import annotations

import sqlite3
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from tests.rigs.archive import BEGIN, Answer, Archive, days, page

from healtharchive.access import captures
from healtharchive.errors import NotFound, StorageUnavailable
from healtharchive.instance import Instance
from healtharchive.warc import urls

FIRST = Answer("https://example.org/a", page("One", "first edition"), headers=(("ETag", '"1"'),))
SAME = Answer("https://example.org/a", at=BEGIN + days(10), revisit_of=FIRST, headers=(("ETag", '"2"'),))
THIRD = Answer("https://example.org/a", page("Three", "third edition"), at=BEGIN + days(20))
LOST = Answer("https://example.org/b", page("B", "b"), at=BEGIN + days(1), status=404)
ORPHAN = Answer("https://example.org/c", at=BEGIN + days(2), revisit_of=Answer("https://gone.example/", "never archived"))
ELSEWHERE = Answer("https://other.example/", page("O", "o"), at=BEGIN + days(3))


@pytest.fixture
def archive(instance: Instance) -> Archive:
    made = Archive(instance)
    made.add([FIRST, LOST, ORPHAN], job="one")
    made.add([SAME, THIRD], job="two")
    made.add([ELSEWHERE], source="phac")
    made.index()
    return made


def test_captures_of_a_url_come_oldest_first(archive: Archive) -> None:
    with archive.instance.db.read() as conn:
        found = captures.of_url(conn, "https://EXAMPLE.org:443/a#top")
        assert [item.captured_at for item in found] == [FIRST.at, SAME.at, THIRD.at]
        assert captures.count_of_url(conn, FIRST.url) == 3
        assert captures.of_url(conn, FIRST.url, limit=1, offset=1) == found[1:2]
        assert captures.of_url(conn, FIRST.url, source="phac") == []
        assert captures.of_url(conn, "not a url") == []


@pytest.mark.parametrize(
    ("offset", "expected"),
    [
        (timedelta(days=-900), FIRST),
        (timedelta(0), FIRST),
        (timedelta(days=4), FIRST),
        (timedelta(days=5), FIRST),
        (timedelta(days=5, seconds=1), SAME),
        (timedelta(days=19), THIRD),
        (timedelta(days=9000), THIRD),
    ],
)
def test_the_nearest_capture_is_the_earlier_of_two_at_equal_distance(
    archive: Archive, offset: timedelta, expected: Answer
) -> None:
    with archive.instance.db.read() as conn:
        found = captures.nearest(conn, FIRST.url, BEGIN + offset)
        assert found is not None
        assert found.captured_at == expected.at
        assert captures.nearest(conn, "https://example.org/never", BEGIN) is None


def test_neighbours(archive: Archive) -> None:
    with archive.instance.db.read() as conn:
        first, second, third = captures.of_url(conn, FIRST.url)
        assert captures.neighbours(conn, second) == (first, third)
        assert captures.neighbours(conn, first) == (None, second)


def test_an_unknown_id_is_not_found(archive: Archive) -> None:
    with archive.instance.db.read() as conn:
        for number in (0, -1, 999_999, 2**70):
            with pytest.raises(NotFound):
                captures.get(conn, number)


def test_a_record_is_read_as_it_lies_in_its_file(archive: Archive) -> None:
    with archive.instance.db.read() as conn:
        first = captures.of_url(conn, FIRST.url)[0]
        record = captures.read_record(archive.instance.jobs_root, captures.get(conn, first.id))
    assert record.body == FIRST.payload
    assert record.head.startswith(b"HTTP/1.1 200 OK\r\n")
    assert ("WARC-Target-URI", FIRST.url) in record.record_headers


def test_a_revisit_answers_with_the_body_it_refers_to(archive: Archive) -> None:
    with archive.instance.db.read() as conn:
        first, revisit, _ = captures.of_url(conn, FIRST.url)
        payload = captures.payload_of(conn, archive.instance.jobs_root, revisit)
    assert (payload.body, payload.capture, payload.holder, payload.status) == (FIRST.payload, revisit, first, 200)
    assert payload.header("content-type") == "text/html; charset=utf-8"


def test_a_revisit_without_its_original_says_so(archive: Archive) -> None:
    with archive.instance.db.read() as conn:
        (orphan,) = captures.of_url(conn, ORPHAN.url)
        with pytest.raises(captures.PayloadMissing, match="is not in this archive"):
            captures.payload_of(conn, archive.instance.jobs_root, orphan)


def test_a_missing_file_is_storage_trouble_and_not_an_unknown_capture(archive: Archive) -> None:
    with archive.instance.db.read() as conn:
        first = captures.of_url(conn, FIRST.url)[0]
    (archive.instance.jobs_root / first.warc_path).unlink()
    with pytest.raises(StorageUnavailable, match="is archived, but its WARC"):
        captures.read_record(archive.instance.jobs_root, first)


def test_captures_are_iterated_as_a_cdxj_file_wants_them(archive: Archive) -> None:
    with archive.instance.db.read() as conn:
        everything = list(captures.iterate(conn))
        assert [(item.surt, item.captured_at) for item in everything] == sorted(
            (item.surt, item.captured_at) for item in everything
        )
        assert len(everything) == 6
        assert [item.url for item in captures.iterate(conn, source="phac")] == [ELSEWHERE.url]
        assert len(list(captures.iterate(conn, job_id=archive.jobs["hc/two"]))) == 2


def test_a_source_is_summed_up_with_an_edition_a_job(archive: Archive) -> None:
    with archive.instance.db.read() as conn:
        hc, phac = captures.sources_summary(conn)
    assert (hc.source, hc.captures, hc.pages, hc.first_at, hc.last_at) == ("hc", 5, 1, FIRST.at, THIRD.at)
    assert [(e.job_id, e.captures, e.pages) for e in hc.editions] == [
        (archive.jobs["hc/one"], 3, 1),
        (archive.jobs["hc/two"], 2, 1),
    ]
    assert (phac.source, phac.captures, phac.pages, len(phac.editions)) == ("phac", 1, 1, 1)


def test_the_next_crawl_is_told_the_newest_whole_response_of_each_url(archive: Archive, tmp_path: Path) -> None:
    archive.add([Answer("https://example.org/a", at=BEGIN + days(30), revisit_of=THIRD, headers=(("ETag", '"3"'),))], job="three")
    archive.index()
    path = tmp_path / "prior.sqlite3"
    for _ in range(2):  # an older file is replaced
        with archive.instance.db.read() as conn:
            assert captures.write_prior(conn, "hc", path) == 1
    with sqlite3.connect(path) as prior:
        (row,) = prior.execute(
            "SELECT url_key, url, captured_at, payload_digest, etag, last_modified, record_id FROM prior"
        ).fetchall()
    assert row == (urls.url_key(THIRD.url), THIRD.url, THIRD.at.isoformat(), THIRD.digest, '"3"', None, None)
    assert [item.name for item in tmp_path.iterdir() if "prior" in item.name] == ["prior.sqlite3"]


def test_timestamps_are_filled_up_from_their_beginning() -> None:
    assert captures.parse_timestamp("2024") == datetime(2024, 1, 1, tzinfo=UTC)
    assert captures.parse_timestamp("202403") == datetime(2024, 3, 1, tzinfo=UTC)
    assert captures.parse_timestamp("20240331235959") == datetime(2024, 3, 31, 23, 59, 59, tzinfo=UTC)
    for text in ("", "202", "20241", "20241301", "x024", "2024033123595900", "٢٠٢٤"):
        with pytest.raises(ValueError):
            captures.parse_timestamp(text)
