from __future__ import annotations

import hashlib
import random
from pathlib import Path

import pytest
from tests.rigs.fetching import fetch_one
from tests.rigs.rawserver import Script, raw_server
from tests.rigs.warcs import Sample, record_bytes, write_members

from healtharchive.crawl.recorder import Recorder
from healtharchive.warc.verify import Level, verify


@pytest.fixture
def sample(tmp_path: Path) -> Sample:
    noise = random.Random(11).randbytes(2000)
    return write_members(tmp_path / "sample.warc.gz", [record_bytes(n, body=noise + b"%d" % n) for n in range(4)])


@pytest.mark.parametrize("level", Level)
def test_a_sound_file_is_good_at_every_level(sample: Sample, level: Level) -> None:
    found = verify(sample.path, level)
    assert found.ok
    assert (found.record_count, found.digest_count) == {
        Level.READABLE: (0, 0),
        Level.GZIP: (0, 0),
        Level.PARSE: (4, 0),
        Level.DIGESTS: (4, 8),
    }[level]


@pytest.mark.parametrize("algorithm", ["sha1", "sha256", "sha512", "md5"])
@pytest.mark.parametrize("base32", [True, False])
def test_digests_are_checked_in_every_spelling(tmp_path: Path, algorithm: str, base32: bool) -> None:
    record = record_bytes(1, algorithm=algorithm, base32=base32)
    path = write_members(tmp_path / "x.warc.gz", [record]).path
    assert (verify(path).ok, verify(path).digest_count) == (True, 2)
    path = write_members(tmp_path / "y.warc.gz", [record.replace(b"Vaccination", b"vaccination")]).path
    assert [finding.kind for finding in verify(path).findings] == ["block-digest", "payload-digest"]
    assert verify(path, Level.PARSE).ok


def test_which_level_finds_what(sample: Sample) -> None:
    sample.flip(sample.offsets[1] + 1000)
    assert verify(sample.path, Level.READABLE).ok
    for level in (Level.GZIP, Level.PARSE, Level.DIGESTS):
        found = verify(sample.path, level)
        assert [(f.kind, f.offset) for f in found.findings] == [("hole", sample.offsets[1])]
    assert verify(sample.path).record_count == 3


@pytest.mark.parametrize("level", [Level.GZIP, Level.PARSE, Level.DIGESTS])
@pytest.mark.parametrize("missing", [1, 8, 700])
def test_a_truncated_file_is_found_from_level_gzip_on(sample: Sample, level: Level, missing: int) -> None:
    sample.cut(sample.size - missing)
    assert [(f.kind, f.offset) for f in verify(sample.path, level).findings] == [("truncated", sample.offsets[3])]


@pytest.mark.parametrize("level", Level)
def test_an_empty_or_missing_file_is_never_good(tmp_path: Path, level: Level) -> None:
    empty = tmp_path / "empty.warc.gz"
    empty.touch()
    assert [f.kind for f in verify(empty, level).findings] == ["empty"]
    assert not verify(empty, level).is_unreadable
    assert verify(tmp_path / "none.warc.gz", level).is_unreadable
    assert verify(tmp_path, level).is_unreadable  # a directory


@pytest.mark.parametrize("level", [Level.GZIP, Level.PARSE])
def test_a_file_that_is_no_warc_is_told(tmp_path: Path, level: Level) -> None:
    path = tmp_path / "page.warc.gz"
    path.write_bytes(b"<html>502 Bad Gateway</html>")
    assert len(verify(path, level).findings) == 1


def test_chunked_payload_digests_are_accepted_in_both_readings(tmp_path: Path) -> None:
    body = b"5\r\nhello\r\n0\r\n\r\n"
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    as_recorded = record_bytes(0, head=head, body=body)
    of_entity = as_recorded.replace(hashlib.sha256(body).hexdigest().encode(), hashlib.sha256(b"hello").hexdigest().encode())
    found = verify(write_members(tmp_path / "a.warc.gz", [as_recorded]).path)
    assert (found.ok, found.notes) == (True, ())
    found = verify(write_members(tmp_path / "b.warc.gz", [of_entity]).path)
    assert found.ok
    assert "chunk framing" in found.notes[0]


def test_a_revisit_states_the_digest_of_another_record(tmp_path: Path) -> None:
    revisit = record_bytes(0, kind="revisit", body=b"")
    revisit = revisit.replace(hashlib.sha256(b"").hexdigest().encode(), b"0" * 64)
    assert verify(write_members(tmp_path / "a.warc.gz", [revisit]).path).ok


def test_a_digest_that_cannot_be_checked_is_a_finding(tmp_path: Path) -> None:
    odd = record_bytes(0).replace(b"Payload-Digest: sha256:", b"Payload-Digest: crc32:")
    assert [f.kind for f in verify(write_members(tmp_path / "a.warc.gz", [odd]).path).findings] == ["payload-digest"]


def test_several_records_in_one_member_are_a_note_not_damage(tmp_path: Path) -> None:
    found = verify(write_members(tmp_path / "a.warc.gz", [record_bytes(0) + record_bytes(1)]).path)
    assert (found.ok, found.record_count) == (True, 2)
    assert "offset" in found.notes[0]


def test_a_response_that_was_cut_inside_its_head_has_a_head_and_no_payload(tmp_path: Path) -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Ty"
    with raw_server({"/": Script(head)}) as server:
        recorder = Recorder(tmp_path, prefix="cut", fence=1, serial=1, warcinfo={})
        recorder.add(fetch_one(server.url("/"), tmp_path))
        sealed = recorder.seal(tmp_path / "warcs")
    found = verify(tmp_path / "warcs" / sealed.name)
    assert (found.ok, found.findings) == (True, ())
