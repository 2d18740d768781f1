"""Whether a WARC is what was written: four levels, each including those before it.

readable  the file can be opened and read to its end, and is not empty
gzip      every gzip member is whole and its checksum holds
parse     every record can be read, none is cut, no bytes lie between them
digests   every block and payload digest that a record states is that of its bytes
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import IO, Final

from isal import isal_zlib

from healtharchive.warc.coding import InflateError
from healtharchive.warc.digests import Digest
from healtharchive.warc.members import GZIP_MAGIC
from healtharchive.warc.reader import Damage, Finding, ReadRecord, WarcDamaged, read

_PIECE_BYTES: Final = 1 << 20


class Level(StrEnum):
    """How closely to look; the order of the members is that of the cost."""

    READABLE = "readable"
    GZIP = "gzip"
    PARSE = "parse"
    DIGESTS = "digests"


@dataclass(frozen=True)
class Flaw:
    """Something that is wrong with a file: a Damage, or one of unreadable, empty, format, block-digest, payload-digest."""

    kind: str
    offset: int
    message: str
    length: int = 0
    record_id: str = ""


@dataclass(frozen=True)
class Verification:
    """What a look at one file found.

    `record_count` counts complete records (0 below level parse), `digest_count` digests that were checked and hold. `notes` are
    no flaws: what could not be checked, or is unusual. `is_unreadable` tells trouble of the storage from damage of the file.
    """

    path: Path
    level: Level
    size_bytes: int
    record_count: int = 0
    digest_count: int = 0
    findings: tuple[Flaw, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        return not self.findings

    @property
    def is_unreadable(self) -> bool:
        return any(flaw.kind == "unreadable" for flaw in self.findings)


def verify(path: Path, level: Level = Level.DIGESTS) -> Verification:
    """Look at one WARC. Reads only; every failure, of the file or of its storage, is a flaw in what it returns."""
    try:
        size = path.stat().st_size
    except OSError as error:
        return Verification(path, level, 0, findings=(_unreadable(error),))
    outcome = Verification(path, level, size)
    if size == 0:
        return replace(outcome, findings=(Flaw("empty", 0, "the file is empty"),))
    try:
        return _LOOKS[level](outcome)
    except OSError as error:
        return replace(outcome, findings=(*outcome.findings, _unreadable(error)))


def _unreadable(error: OSError) -> Flaw:
    return Flaw("unreadable", 0, f"the file cannot be read: {error.strerror or error}")


def _look_readable(outcome: Verification) -> Verification:
    with open(outcome.path, "rb") as file:
        while file.read(_PIECE_BYTES):
            pass
    return outcome


def _look_gzip(outcome: Verification) -> Verification:
    with open(outcome.path, "rb") as file:
        if file.read(len(GZIP_MAGIC)) != GZIP_MAGIC:
            if outcome.path.suffix == ".gz":
                return replace(outcome, findings=(Flaw("format", 0, "the file is named .gz and is not gzip"),))
            return replace(_look_readable(outcome), notes=("the file is not compressed: there are no checksums to prove",))
        file.seek(0)
        flaw = _first_bad_member(file)
    return replace(outcome, findings=(flaw,) if flaw else ())


def _first_bad_member(file: IO[bytes]) -> Flaw | None:
    """Behind a bad member nothing can be said without knowing records: that is level parse."""
    inflater = isal_zlib.decompressobj(31)
    offset = 0
    packed = b""
    while True:
        packed = packed or file.read(_PIECE_BYTES)
        try:
            inflated = inflater.decompress(packed, _PIECE_BYTES)
        except InflateError as error:
            return Flaw(Damage.HOLE, offset, f"gzip: {error}")
        if inflater.eof:
            packed = inflater.unused_data or file.read(_PIECE_BYTES)
            if not packed:
                return None
            offset = file.tell() - len(packed)
            inflater = isal_zlib.decompressobj(31)
        elif not packed and not inflated:
            return Flaw(Damage.TRUNCATED, offset, "the file ends inside a gzip member")
        else:
            packed = inflater.unconsumed_tail


def _look_parse(outcome: Verification) -> Verification:
    return _look_at_records(outcome, check=lambda record: iter(()))


def _look_digests(outcome: Verification) -> Verification:
    return _look_at_records(outcome, check=_checked_digests)


@dataclass(frozen=True)
class _Checked:
    """The outcome of one digest: it holds, it fails (`flaw`), or it could not be checked or is unusual (`note`)."""

    flaw: Flaw | None = None
    note: str = ""


def _look_at_records(outcome: Verification, *, check: Callable[[ReadRecord], Iterator[_Checked]]) -> Verification:
    damage: list[Finding] = []
    flaws: list[Flaw] = []
    notes: dict[str, None] = {}
    records = digests = 0
    try:
        for record in read(outcome.path, on_finding=damage.append):
            records += 1
            if not record.record_id or not record.kind:
                flaws.append(Flaw("format", record.offset, "a record has no type or no id"))
            for checked in check(record):
                if checked.flaw:
                    flaws.append(checked.flaw)
                else:
                    digests += 1
                if checked.note:
                    notes[checked.note] = None
    except WarcDamaged as error:
        flaws.append(Flaw("format", 0, error.what))
    for found in damage:
        if found.kind == Damage.NOT_CHUNKED:
            notes[found.message] = None
        else:
            flaws.append(Flaw(found.kind, found.offset, found.message, found.length))
    if not records and not flaws:
        flaws.append(Flaw("format", 0, "the file holds no record"))
    flaws.sort(key=lambda flaw: flaw.offset)
    return replace(outcome, record_count=records, digest_count=digests, findings=tuple(flaws), notes=tuple(notes))


def _checked_digests(record: ReadRecord) -> Iterator[_Checked]:
    block = record.headers.get("WARC-Block-Digest")
    if block:
        yield _checked(record, "block-digest", block, record.block)
    payload = record.payload_digest
    # A revisit's payload digest is that of the record it refers to; a segment's is that of the whole (WARC 1.1, 5.9 and 5.20).
    if payload and record.kind != "revisit" and "WARC-Segment-Number" not in record.headers:
        yield _checked(record, "payload-digest", payload, record.body)


def _checked(record: ReadRecord, kind: str, text: str, data: Callable[[], Iterator[bytes]]) -> _Checked:
    digest = Digest.parse(text)
    if digest is None:
        return _Checked(Flaw(kind, record.offset, f"{text!r} is no digest that can be checked", record_id=record.record_id))
    if digest.matches(data()):
        return _Checked()
    # What a payload is was read both ways: the bytes as recorded (Heritrix, wget, warcio, we), or without chunk framing.
    if kind == "payload-digest" and record.is_chunked and digest.matches(record.entity()):
        return _Checked(note="payload digests are of bodies without their chunk framing, which other tools call wrong")
    return _Checked(Flaw(kind, record.offset, f"the bytes are not those of {text}", record_id=record.record_id))


_LOOKS: Final[dict[Level, Callable[[Verification], Verification]]] = {
    Level.READABLE: _look_readable,
    Level.GZIP: _look_gzip,
    Level.PARSE: _look_parse,
    Level.DIGESTS: _look_digests,
}
