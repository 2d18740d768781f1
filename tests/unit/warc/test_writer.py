"""A WARC file while it is written, and after its writer died."""

from __future__ import annotations

import hashlib
import multiprocessing
import os
import signal
from pathlib import Path

import pytest
from tests.rigs.exchanges import MOMENT

from healtharchive.errors import Locked
from healtharchive.warc.record import RECORD_END, Record, RecordType
from healtharchive.warc.writer import WarcFile, is_held, member, member_file, truncate, walk


def record(block: bytes, number: int = 0) -> bytes:
    header = Record(RecordType.METADATA, f"<urn:uuid:{number}>", MOMENT, "application/warc-fields", len(block)).header()
    return member(header, block)


def test_file_grows_by_whole_members_and_knows_its_digest(tmp_path: Path) -> None:
    file = WarcFile.create(tmp_path / "a.warc.gz")
    data = [record(b"x" * size, size) for size in range(5)]
    for piece in data:
        file.append(piece)
    file.sync()
    assert file.size_bytes == sum(map(len, data))
    assert (
        file.sha256
        == hashlib.sha256(b"".join(data)).hexdigest()
        == hashlib.sha256((tmp_path / "a.warc.gz").read_bytes()).hexdigest()
    )
    file.close()
    file.close()
    assert [(found.offset, found.length, found.block_size) for found in walk(tmp_path / "a.warc.gz")] == [
        (sum(map(len, data[:size])), len(data[size]), size) for size in range(5)
    ]


def test_existing_file_is_never_overwritten(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"precious")
    with pytest.raises(FileExistsError):
        WarcFile.create(tmp_path / "a")
    assert (tmp_path / "a").read_bytes() == b"precious"


def test_second_writer_is_refused_while_the_first_lives_and_not_after_it_was_killed(tmp_path: Path) -> None:
    path = tmp_path / "a.warc.gz"
    ready = multiprocessing.get_context("spawn").Event()
    writer = multiprocessing.get_context("spawn").Process(target=_hold, args=(path, ready))
    writer.start()
    assert ready.wait(20)
    try:
        assert is_held(path)
        with pytest.raises(Locked, match="still being written"):
            WarcFile.adopt(path)
        with pytest.raises(Locked):
            truncate(path, 0)
    finally:
        os.kill(writer.pid or 0, signal.SIGKILL)
        writer.join()
    assert not is_held(path)
    adopted = WarcFile.adopt(path)
    assert adopted.size_bytes == path.stat().st_size
    adopted.close()


def _hold(path: Path, ready: object) -> None:
    file = WarcFile.create(path)
    file.append(record(b"mine"))
    ready.set()  # type: ignore[attr-defined]
    signal.pause()


def test_walk_stops_at_the_first_byte_that_is_no_complete_record_wherever_the_file_was_cut(tmp_path: Path) -> None:
    members = [record(os.urandom(200), number) for number in range(4)]
    ends = [sum(map(len, members[:count])) for count in range(5)]
    whole = b"".join(members)
    for cut in sorted({*range(0, len(whole), 37), *ends, len(whole) - 1}):
        path = tmp_path / f"{cut}.warc.gz"
        path.write_bytes(whole[:cut])
        found = walk(path)
        assert len(list(found)) == sum(end <= cut for end in ends[1:])
        assert found.end == max(end for end in ends if end <= cut)
        assert (found.damage is None) == (cut in ends)


def test_walk_from_the_middle_sees_only_what_follows(tmp_path: Path) -> None:
    members = [record(b"one"), record(b"two"), record(b"three")]
    path = tmp_path / "a.warc.gz"
    path.write_bytes(b"".join(members) + b"\x1f\x8b\x08 half")
    found = walk(path, len(members[0]))
    assert [one.block_size for one in found] == [3, 5]
    assert found.end == len(b"".join(members))
    assert found.damage
    truncate(path, found.end)
    assert walk(path).damage is None
    assert len(list(walk(path))) == 3


def test_walk_does_not_step_over_a_damaged_record(tmp_path: Path) -> None:
    members = [bytearray(record(os.urandom(200), number)) for number in range(3)]
    members[1][100] ^= 0xFF
    path = tmp_path / "a.warc.gz"
    path.write_bytes(b"".join(members))
    found = walk(path)
    assert len(list(found)) == 1
    assert found.end == len(members[0])
    assert found.damage


def test_record_of_any_size_is_squeezed_piece_by_piece(tmp_path: Path) -> None:
    block = os.urandom(1000) * 3000
    header = Record(RecordType.RESOURCE, "<urn:uuid:1>", MOMENT, "image/png", len(block)).header()
    with member_file(header, (block[i : i + 65_536] for i in range(0, len(block), 65_536)), tmp_path) as file:
        size = file.tell()
        file.seek(0)
        data = file.read()
    assert len(data) == size
    path = tmp_path / "a.warc.gz"
    path.write_bytes(data)
    found = [b"".join(one.block()) for one in walk(path)]
    assert found == [block]
    assert RECORD_END not in block
