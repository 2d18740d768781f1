from __future__ import annotations

import gzip
import logging
import random
import re
from datetime import UTC, datetime
from pathlib import Path

import pytest
from fastwarc import ArchiveIterator
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.rigs.warcs import Sample, record_bytes, write_members

from healtharchive.warc.reader import Damage, Finding, WarcDamaged, parse_date, read, record_at


@pytest.fixture
def sample(tmp_path: Path) -> Sample:
    noise = random.Random(7).randbytes(3000)
    return write_members(tmp_path / "sample.warc.gz", [record_bytes(n, body=noise + b"%d" % n) for n in range(6)])


def numbers_read(path: Path, start: int = 0) -> tuple[list[int], list[Finding]]:
    findings: list[Finding] = []
    records = read(path, start=start, on_finding=findings.append)
    return [int(record.target_uri.rpartition("/")[2]) for record in records], findings


def test_every_record_has_its_offset_and_length(sample: Sample) -> None:
    places = [(record.offset, record.length) for record in read(sample.path)]
    ends = (*sample.offsets[1:], sample.size)
    assert places == [(offset, end - offset) for offset, end in zip(sample.offsets, ends, strict=True)]


def test_reading_goes_on_from_any_record(sample: Sample) -> None:
    assert numbers_read(sample.path, sample.offsets[4]) == ([4, 5], [])
    assert numbers_read(sample.path, sample.size) == ([], [])


def test_a_record_is_read_by_its_offset_alone(sample: Sample) -> None:
    sample.flip(sample.offsets[2] + 40)  # damage elsewhere is not even seen
    with record_at(sample.path, sample.offsets[3]) as record:
        assert record.target_uri == "https://example.org/page/3"
        assert record.length == sample.offsets[4] - sample.offsets[3]
        assert record.http is not None
        assert (record.http.status, record.http.reason, record.mime, record.charset) == (200, "OK", "text/html", "utf-8")
        assert b"".join(record.body()).endswith(b"3")
        assert b"".join(record.block()).startswith(b"HTTP/1.1 200 OK\r\n")


def test_a_wrong_offset_is_told_in_one_sentence(sample: Sample) -> None:
    with pytest.raises(WarcDamaged, match=r"no readable record at offset 5: .* not changed"), record_at(sample.path, 5):
        pass
    with pytest.raises(WarcDamaged), record_at(sample.path, sample.size + 100):
        pass


@pytest.mark.parametrize("missing", [1, 7, 8, 9, 500, 3000])
def test_a_truncated_last_member_is_told_and_costs_only_itself(sample: Sample, missing: int) -> None:
    sample.cut(sample.size - missing)
    assert len(list(ArchiveIterator(str(sample.path)))) in (5, 6)  # a general reader says nothing about it
    numbers, findings = numbers_read(sample.path)
    assert numbers == [0, 1, 2, 3, 4]
    assert [(f.kind, f.offset) for f in findings] == [(Damage.TRUNCATED, sample.offsets[5])]
    assert findings[0].length == sample.size - missing - sample.offsets[5]


@pytest.mark.parametrize("inside", [0, 1, 12, 400, 2500, -1, -5])
def test_a_flipped_byte_costs_one_record_and_is_a_hole(sample: Sample, inside: int) -> None:
    begin, end = sample.offsets[2], sample.offsets[3]
    sample.flip(begin + inside if inside >= 0 else end + inside)
    numbers, findings = numbers_read(sample.path)
    assert numbers == [0, 1, 3, 4, 5]
    assert [(f.kind, f.offset, f.length) for f in findings] == [(Damage.HOLE, begin, end - begin)]


def test_damage_in_the_first_and_the_last_record_is_found_too(sample: Sample) -> None:
    sample.flip(sample.offsets[0] + 300)
    sample.flip(sample.offsets[5] + 300)
    numbers, findings = numbers_read(sample.path)
    assert numbers == [1, 2, 3, 4]
    assert [(f.kind, f.offset, f.length) for f in findings] == [
        (Damage.HOLE, 0, sample.offsets[1]),
        (Damage.HOLE, sample.offsets[5], sample.size - sample.offsets[5]),
    ]


@given(st.data())
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_byte_changes_at_most_its_own_record_is_lost(sample: Sample, data: st.DataObject) -> None:
    original = sample.path.read_bytes()
    position = data.draw(st.integers(0, sample.size - 1))
    changed = bytearray(original)
    changed[position] = data.draw(st.integers(0, 255))
    try:
        sample.path.write_bytes(changed)
        numbers, findings = numbers_read(sample.path)
    finally:
        sample.path.write_bytes(original)
    hit = max(n for n, offset in enumerate(sample.offsets) if offset <= position)
    assert numbers in ([0, 1, 2, 3, 4, 5], [n for n in range(6) if n != hit])
    assert bool(findings) == (len(numbers) == 5)


def test_an_archived_gzip_file_is_not_taken_for_the_next_record(tmp_path: Path) -> None:
    archived = gzip.compress(b"not a record") + random.Random(3).randbytes(5000)
    sample = write_members(tmp_path / "s.warc.gz", [record_bytes(0, body=archived), record_bytes(1)])
    stored = gzip.compress(record_bytes(0, body=archived), 0)  # level 0 leaves the archived file's magic number visible
    sample.path.write_bytes(stored + sample.path.read_bytes()[sample.offsets[1] :])
    sample.flip(200)
    numbers, findings = numbers_read(sample.path)
    assert numbers == [1]
    assert [(f.offset, f.length) for f in findings] == [(0, len(stored))]


def test_garbage_between_members_is_a_hole(sample: Sample) -> None:
    data = sample.path.read_bytes()
    sample.path.write_bytes(data[: sample.offsets[3]] + b"\0" * 100 + data[sample.offsets[3] :])
    numbers, findings = numbers_read(sample.path)
    assert numbers == [0, 1, 2, 3, 4, 5]
    assert [(f.kind, f.offset, f.length) for f in findings] == [(Damage.HOLE, sample.offsets[3], 100)]


def test_one_gzip_member_for_all_is_read_but_not_addressable(tmp_path: Path) -> None:
    sample = write_members(tmp_path / "s.warc.gz", [b"".join(record_bytes(n) for n in range(3))])
    findings: list[Finding] = []
    records = [(r.target_uri[-1], r.addressable, r.offset, r.length) for r in read(sample.path, on_finding=findings.append)]
    assert records == [("0", False, 0, 0), ("1", False, 0, 0), ("2", False, 0, 0)]
    assert [f.kind for f in findings] == [Damage.NOT_CHUNKED]


def test_a_record_split_over_members_is_one_record(tmp_path: Path) -> None:
    whole = record_bytes(0, body=b"x" * 5000)
    sample = write_members(tmp_path / "s.warc.gz", [whole[:2000], whole[2000:], record_bytes(1)])
    findings: list[Finding] = []
    records = [(r.offset, r.length, r.block_size) for r in read(sample.path, on_finding=findings.append)]
    assert records[0][:2] == (0, sample.offsets[2])
    assert records[1][0] == sample.offsets[2]
    assert findings == []


def test_a_content_length_that_is_too_long_swallows_no_other_record(tmp_path: Path) -> None:
    members = [record_bytes(0), record_bytes(1, content_length=4000), record_bytes(2)]
    sample = write_members(tmp_path / "s.warc.gz", members)
    numbers, findings = numbers_read(sample.path)
    assert numbers == [0, 2]
    assert [(f.kind, f.offset) for f in findings] == [(Damage.HOLE, sample.offsets[1])]
    plain = tmp_path / "s.warc"
    plain.write_bytes(b"".join(members))
    numbers, findings = numbers_read(plain)
    assert numbers == [0, 2]
    assert [(f.kind, f.offset) for f in findings] == [(Damage.HOLE, len(members[0]))]


def test_a_content_length_that_is_too_short_leaves_an_excess(tmp_path: Path) -> None:
    members = [record_bytes(0), record_bytes(1, content_length=70), record_bytes(2)]
    sample = write_members(tmp_path / "s.warc.gz", members)
    plain = tmp_path / "s.warc"
    plain.write_bytes(b"".join(members))
    for path in (sample.path, plain):
        numbers, findings = numbers_read(path)
        assert numbers == [0, 1, 2]
        assert [f.kind for f in findings] == [Damage.EXCESS]


@pytest.mark.parametrize("tail", [b"", b"\r\n", b"\r\n\r\n", b"\r\n\r\n\r\n\r\n"])
def test_a_plain_file_gives_its_last_record_whatever_ends_it(tmp_path: Path, tail: bytes) -> None:
    path = tmp_path / "plain.warc"
    first, last = record_bytes(0), record_bytes(1).removesuffix(b"\r\n\r\n")
    path.write_bytes(first + last + tail)
    findings: list[Finding] = []
    places = [(r.offset, r.length) for r in read(path, on_finding=findings.append)]
    assert places == [(0, len(first)), (len(first), len(last) + len(tail))]
    assert findings == []
    with record_at(path, len(first)) as record:
        assert record.target_uri.endswith("/1")


def test_a_truncated_plain_file_is_told(tmp_path: Path) -> None:
    path = tmp_path / "plain.warc"
    path.write_bytes((record_bytes(0) + record_bytes(1))[:-40])
    numbers, findings = numbers_read(path)
    assert numbers == [0]
    assert [(f.kind, f.offset) for f in findings] == [(Damage.TRUNCATED, len(record_bytes(0)))]


def test_bare_newlines_and_folded_headers_are_read(tmp_path: Path) -> None:
    path = tmp_path / "quirks.warc"
    block = b"HTTP/1.0 404 Not Found\nX-Folded: one\n two\n\nbody"
    header = "WARC/0.18\nwarc-type: response\nWARC-Target-URI: <http://example.org/a b>\nWARC-Date: 2010-01-02T03:04:05Z\n"
    path.write_bytes(
        (header + f"Content-Type: application/http;\n msgtype=response\nContent-Length: {len(block)}\n\n").encode() + block
    )
    (record,) = ((r, r.http, b"".join(r.body())) for r in read(path))
    assert record[0].target_uri == "http://example.org/a%20b"
    assert record[0].kind == "response"
    assert record[1] is not None
    assert (record[1].status, record[1].reason, record[1].get("x-folded")) == (404, "Not Found", "one two")
    assert record[2] == b"body"


@pytest.mark.parametrize("compressed", [True, False])
def test_arc_files_are_recognised_and_read(tmp_path: Path, compressed: bool) -> None:
    version = b"1 0 Example\nURL IP-address Archive-date Content-type Archive-length\n"
    filedesc = b"filedesc://x.arc 0.0.0.0 20080101000000 text/plain %d\n" % len(version) + version + b"\n"
    body = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n<p>old</p>"
    page = b"http://example.org/old 192.0.2.1 20080102030405 text/html %d\n" % len(body) + body + b"\n"
    path = tmp_path / ("x.arc.gz" if compressed else "x.arc")
    pack = gzip.compress if compressed else bytes
    path.write_bytes(pack(filedesc) + pack(page))
    records = [(r.kind, r.target_uri, r.offset, r.http and r.http.status, b"".join(r.body())) for r in read(path)]
    assert [kind for kind, *_ in records] == ["warcinfo", "response"]
    assert records[1][1:] == ("http://example.org/old", len(pack(filedesc)), 200, b"<p>old</p>")


def test_what_is_no_archive_is_told(tmp_path: Path) -> None:
    empty, zstd, text = tmp_path / "a", tmp_path / "b", tmp_path / "c"
    empty.write_bytes(b"")
    zstd.write_bytes(b"\x28\xb5\x2f\xfd0000")
    text.write_bytes(b"hello " * 100)
    assert [f.kind for f in numbers_read(empty)[1]] == [Damage.TRUNCATED]
    with pytest.raises(WarcDamaged, match="zstd"):
        list(read(zstd))
    assert [(f.kind, f.length) for f in numbers_read(text)[1]] == [(Damage.HOLE, 600)]
    with pytest.raises(FileNotFoundError):
        list(read(tmp_path / "none"))


def test_damage_nobody_asks_about_is_logged(sample: Sample, caplog: pytest.LogCaptureFixture) -> None:
    sample.cut(sample.size - 100)
    with caplog.at_level(logging.WARNING):
        assert len(list(read(sample.path))) == 5
    assert f"offset={sample.offsets[5]}" in caplog.text
    assert "kind=truncated" in caplog.text


def test_a_body_beyond_memory_is_read_from_disk_in_pieces(tmp_path: Path) -> None:
    body = random.Random(1).randbytes(1000) * 9000
    sample = write_members(tmp_path / "big.warc.gz", [record_bytes(0, body=body), record_bytes(1)])
    sizes = []
    for record in read(sample.path):
        pieces = list(record.body())
        sizes.append(sum(map(len, pieces)))
        assert max(map(len, pieces)) <= 1 << 18
        if record.offset == 0:
            assert b"".join(pieces) == body
    assert sizes[0] == 9_000_000


def test_codings_are_undone_and_cut(tmp_path: Path) -> None:
    text = b"vaccination " * 10_000
    packed = gzip.compress(text)
    body = b"%x\r\n%s\r\n0\r\n\r\n" % (len(packed), packed)
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Encoding: gzip\r\n\r\n"
    sample = write_members(tmp_path / "s.warc.gz", [record_bytes(0, body=body, head=head)])
    with record_at(sample.path, 0) as record:
        assert b"".join(record.body()) == body
        assert b"".join(record.entity()) == packed
        assert record.text_payload(24) == b"vaccination vaccination "


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-01-31T10:20:30Z", datetime(2026, 1, 31, 10, 20, 30, tzinfo=UTC)),
        ("2026-01-31T10:20:30.123456789Z", datetime(2026, 1, 31, 10, 20, 30, 123456, tzinfo=UTC)),
        ("2026-01-31T10:20:30.5Z", datetime(2026, 1, 31, 10, 20, 30, 500000, tzinfo=UTC)),
        ("2026-01-31", datetime(2026, 1, 31, tzinfo=UTC)),
        ("2026-01", datetime(2026, 1, 1, tzinfo=UTC)),
        ("2026", datetime(2026, 1, 1, tzinfo=UTC)),
        ("2026-01-31T10:20Z", datetime(2026, 1, 31, 10, 20, tzinfo=UTC)),
    ],
)
def test_dates_are_read_as_warc_1_1_writes_them(text: str, expected: datetime) -> None:
    assert parse_date(text) == expected


@pytest.mark.parametrize("length", ["9" * 5000, "-1", "1e3", "", "٣"])
def test_an_absurd_content_length_is_damage(tmp_path: Path, length: str) -> None:
    bad = re.sub(rb"Content-Length: \d+", f"Content-Length: {length}".encode(), record_bytes(1))
    sample = write_members(tmp_path / "x.warc.gz", [record_bytes(0), bad, record_bytes(2)])
    numbers, findings = numbers_read(sample.path)
    assert numbers == [0, 2]
    assert [(f.kind, f.offset) for f in findings] == [(Damage.HOLE, sample.offsets[1])]


@pytest.mark.parametrize("line", [b"HTTP/1.1 " + b"9" * 5000, b"HTTP/1.1", b"", b"<html>", b"HTTP/1.1 abc OK", b"\xff\xfe"])
def test_an_absurd_status_line_is_status_zero(tmp_path: Path, line: bytes) -> None:
    sample = write_members(tmp_path / "x.warc.gz", [record_bytes(0, head=line + b"\r\nA: b\r\n\r\n")])
    with record_at(sample.path, 0) as record:
        assert record.http is not None
        assert record.http.status in (0, 999_999_999)
