"""Reading WARC files, also damaged ones: every complete record with its place in the file, every damage as a finding.

A record is yielded only when its last byte is read and, in a gzip member, the member's checksum is proved. What cannot be read is
told, never skipped in silence: general readers end quietly at a truncated member and at some flipped bytes (evidence/index.md
section 1). After damage reading goes on at the next gzip member that begins a record.

    sealed WARC    warcinfo  request  response  metadata  request ...    one record a member: read from the start, or by offset
    foreign WARC   several records a member (not addressable), plain text, ARC (through warcio)
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import IO, Final

from healtharchive.errors import HealthArchiveError
from healtharchive.warc.arc import ArcDamaged, is_arc, read_arc
from healtharchive.warc.fields import Fields
from healtharchive.warc.members import GZIP_MAGIC, RECORD_MAGIC, Damaged, GzipMembers, Members, PlainBytes
from healtharchive.warc.recorded import Block, HttpHead, ReadRecord, parse_date

__all__ = ["Damage", "Finding", "HttpHead", "ReadRecord", "WarcDamaged", "parse_date", "read", "record_at"]

log = logging.getLogger(__name__)

HEADER_BYTES_MAX: Final = 1 << 20
"""A longer record header is taken for damage: WARC headers hold a URL and some digests."""

_PIECE_BYTES: Final = 1 << 18
_LENGTH: Final = re.compile(r"[0-9]{1,18}")
_ZSTD_MAGIC: Final = b"\x28\xb5\x2f\xfd"


class Damage(StrEnum):
    """What is wrong with a file, or with a stretch of it."""

    TRUNCATED = "truncated"  # the file ends inside a record: a crash, or a copy that stopped
    HOLE = "hole"  # bytes that cannot be read; reading went on behind them
    EXCESS = "excess"  # bytes between two records that belong to none
    NOT_CHUNKED = "not-chunked"  # several records in one gzip member: no access by offset


@dataclass(frozen=True)
class Finding:
    """A stretch of a file that is not as the format says."""

    kind: Damage
    offset: int
    length: int
    message: str


class WarcDamaged(HealthArchiveError):
    """A file, or the asked place in it, holds no record that can be read. Nothing was changed."""


def read(path: Path, *, start: int = 0, on_finding: Callable[[Finding], None] | None = None) -> Iterator[ReadRecord]:
    """The complete records of a WARC or ARC file from offset `start` on, each valid until the next.

    Damage goes to `on_finding`, by default into the log, before the record behind it is yielded. Raises OSError if the file
    cannot be read, WarcDamaged if its format is none that we read.
    """
    report = on_finding or _log_finding(path)
    with open(path, "rb") as file:
        if is_arc(file):
            try:
                yield from read_arc(path, start=start)
            except ArcDamaged as damage:
                # warcio cannot find the next record of a damaged ARC.
                size = path.stat().st_size - damage.offset
                report(Finding(Damage.HOLE, damage.offset, size, f"ARC: {damage.reason}"))
            return
        file.seek(start)
        magic = file.read(len(RECORD_MAGIC))
        if magic.startswith(_ZSTD_MAGIC):
            raise WarcDamaged(f"{path.name} is compressed with zstd, which is not read.", hint="Use gzip: fastwarc recompress")
        if not magic:
            if start == 0:
                report(Finding(Damage.TRUNCATED, 0, 0, "the file is empty"))
            return
        yield from _Records(_source(file, start, magic), path, report)


def _source(file: IO[bytes], start: int, magic: bytes) -> Members:
    """A view of the file by its first bytes; if these are damaged, by what follows."""
    packed = GzipMembers(file, start)
    if magic.startswith(GZIP_MAGIC) or (magic != RECORD_MAGIC and packed.next_record(start) is not None):
        packed.move(start)
        return packed
    return PlainBytes(file, start)


@contextmanager
def record_at(path: Path, offset: int) -> Iterator[ReadRecord]:
    """The one record at `offset`; nothing else of the file is read. Raises WarcDamaged if none can be read there, OSError."""
    with open(path, "rb") as file:
        file.seek(offset)
        magic = file.read(len(RECORD_MAGIC))
        try:
            if not magic.startswith((GZIP_MAGIC, RECORD_MAGIC)):
                raise Damaged("no record begins there")
            record = _Records(_source(file, offset, magic), path, lambda _: None).first()
        except Damaged as damage:
            raise WarcDamaged(
                f"{path.name} has no readable record at offset {offset}: {damage.reason}. The file was not changed."
            ) from damage
        try:
            yield record
        finally:
            record.close()


def _log_finding(path: Path) -> Callable[[Finding], None]:
    """Where findings go when nobody asks for them: into the log, never nowhere."""

    def warn(finding: Finding) -> None:
        place = f"file={path.name} offset={finding.offset} length={finding.length}"
        log.warning("warc.damaged %s kind=%s: %s", place, finding.kind, finding.message)

    return warn


class _Records:
    """Finds the records in a file's bytes."""

    def __init__(self, source: Members, path: Path, report: Callable[[Finding], None]) -> None:
        self._source = source
        self._report = report
        self._size = path.stat().st_size
        self._told_not_chunked = False

    def __iter__(self) -> Iterator[ReadRecord]:
        source = self._source
        while source.open():
            begin = source.offset
            try:
                for record in self._of_member():
                    yield record
                    record.close()
            except Damaged as damage:
                # From `begin`, not from where damage was met: a record may be split over members, the next begin in any of them.
                if not self._resume(damage, begin):
                    return

    def first(self) -> ReadRecord:
        """The record that begins here. Raises Damaged."""
        record = next(self._of_member(), None) if self._source.open() else None
        if record is None:
            raise Damaged("no record begins there")
        return record

    def _of_member(self) -> Iterator[ReadRecord]:
        source = self._source
        if isinstance(source, PlainBytes):
            yield self._of_plain_bytes(source)
            return
        begin = source.offset
        record = None
        while source.skip_line_ends():
            if record and source.peek(len(RECORD_MAGIC)) != RECORD_MAGIC:
                self._excess(begin)
                return
            is_first = record is None
            record = self._record()
            record.offset = begin
            more = source.skip_line_ends()
            if is_first and not (more and source.peek(len(RECORD_MAGIC)) == RECORD_MAGIC):
                # The usual case. Read to the member's end, which proves its checksum: what cannot be trusted is not yielded.
                if more:
                    self._excess(begin)
                record.length = source.end - begin
            else:
                record.addressable = False
                self._not_chunked(begin)
            yield record

    def _of_plain_bytes(self, source: PlainBytes) -> ReadRecord:
        begin = source.offset
        record = self._record()
        self._end_of_plain_record(source, record.block_size)
        record.offset = begin
        record.length = source.position - begin
        return record

    def _record(self) -> ReadRecord:
        """Header and block of the record that begins here. Raises Damaged."""
        source = self._source
        version, _, lines = source.take_head(HEADER_BYTES_MAX).partition(b"\n")
        if not version.startswith(RECORD_MAGIC):
            raise Damaged("no record header begins here")
        headers = Fields.parse(lines)
        announced = headers.get("Content-Length")
        if not _LENGTH.fullmatch(announced):
            raise Damaged("a record header has no Content-Length")
        block = Block()
        left = int(announced)
        while left:
            piece = source.take(min(left, _PIECE_BYTES))
            if piece:
                block.append(piece)
                left -= len(piece)
            elif not source.open():
                raise Damaged("the file ends inside a record", at_end=True)
            elif source.peek(len(RECORD_MAGIC)) == RECORD_MAGIC:
                raise Damaged("a record is shorter than its Content-Length")
        return ReadRecord(version.decode("latin-1").strip(), headers, block)

    def _end_of_plain_record(self, source: PlainBytes, block_size: int) -> None:
        """Step to the next record. Raises Damaged if the one just read reaches into it: its Content-Length is wrong."""
        block_end = source.position
        if not source.skip_line_ends() or source.peek(len(RECORD_MAGIC)) == RECORD_MAGIC:
            return
        behind = source.position
        following = source.next_record(block_end - block_size)
        if following is not None and following < behind:
            raise Damaged("a record's Content-Length reaches into the next record")
        end = self._size if following is None else following
        self._report(Finding(Damage.EXCESS, behind, end - behind, "bytes behind a record belong to none"))
        source.move(end)

    def _excess(self, begin: int) -> None:
        """Read the rest of a member, which should be nothing."""
        size = 0
        while piece := self._source.take(_PIECE_BYTES):
            size += len(piece)
        if size:
            message = f"{size} unpacked bytes behind a record belong to none"
            self._report(Finding(Damage.EXCESS, begin, self._source.end - begin, message))

    def _not_chunked(self, begin: int) -> None:
        if not self._told_not_chunked:
            self._told_not_chunked = True
            message = "several records share a gzip member, so that none of them can be read by its offset"
            self._report(Finding(Damage.NOT_CHUNKED, begin, 0, message))

    def _resume(self, damage: Damaged, begin: int) -> bool:
        """Report what cannot be read from `begin` on, and go to the next record; False if there is none."""
        following = self._source.next_record(begin)
        if following is None:
            kind = Damage.TRUNCATED if damage.at_end else Damage.HOLE
            self._report(Finding(kind, begin, self._size - begin, damage.reason))
            return False
        self._report(Finding(Damage.HOLE, begin, following - begin, damage.reason))
        self._source.move(following)
        return True
