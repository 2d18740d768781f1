"""ARC, the format before WARC: read through warcio, which shapes its records as WARC records."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, Final

from isal import isal_zlib

from healtharchive.warc.coding import InflateError
from healtharchive.warc.fields import Fields
from healtharchive.warc.members import GZIP_MAGIC, PIECE_BYTES
from healtharchive.warc.recorded import Block, ReadRecord

_MAGIC: Final = b"filedesc://"
_PROBE_BYTES: Final = 512


class ArcDamaged(Exception):
    """The file cannot be read as ARC from `offset` on."""

    def __init__(self, offset: int, reason: str) -> None:
        super().__init__(reason)
        self.offset = offset
        self.reason = reason


def is_arc(file: IO[bytes]) -> bool:
    """Whether the file's first bytes are those of an ARC, compressed or not. WARC readers find no record in one, and no error."""
    file.seek(0)
    first = file.read(_PROBE_BYTES)
    if first.startswith(GZIP_MAGIC):
        try:
            first = isal_zlib.decompressobj(31).decompress(first, _PROBE_BYTES)
        except InflateError:
            return False
    return first.startswith(_MAGIC)


def read_arc(path: Path, *, start: int) -> Iterator[ReadRecord]:
    """The records of an ARC file from offset `start` on, with the headers that they would have in a WARC. Raises ArcDamaged.

    An ARC has no record ids: warcio draws new ones at each reading.
    """
    from warcio.archiveiterator import ArchiveIterator  # imported late: ARC files are rare
    from warcio.exceptions import ArchiveLoadFailed

    with open(path, "rb") as file:
        records = ArchiveIterator(file, no_record_parse=True, arc2warc=True)
        offset = 0
        try:
            for found in records:
                record = _shaped(found)
                record.offset = offset = records.get_record_offset()
                record.length = records.get_record_length()
                if offset >= start:
                    yield record
                record.close()
        except ArchiveLoadFailed as error:
            raise ArcDamaged(offset, str(error).strip()) from error


def _shaped(found: Any) -> ReadRecord:
    block = Block()
    while piece := found.raw_stream.read(PIECE_BYTES):
        block.append(piece)
    return ReadRecord("WARC/1.0", Fields(tuple(found.rec_headers.headers)), block)
