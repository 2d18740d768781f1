"""A WARC file being written: one gzip member a record, appended and never changed, held by its writer alone.

The writer holds a lock (flock) on the open file. The kernel lets go of it when the process ends, however it ends: whoever gets
the lock knows that nobody writes any more. What was appended but not yet synced may be lost in a crash, and the last member may
be half-written; `walk` finds how far a file is good, `truncate` cuts it there.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO, Final

from isal import isal_zlib

from healtharchive.errors import Locked
from healtharchive.host.files import sync_directory
from healtharchive.warc.reader import Finding, ReadRecord, WarcDamaged, read
from healtharchive.warc.record import RECORD_END

# Measured on 1,729 pages: levels 1 and 2 of ISA-L write some 500 MB/s, six times as fast as zlib 6, and as small on bodies that
# are gzip already. Level 0 expands those, level 3 costs a third of the speed (evidence/crawl.md section 3).
_LEVEL: Final = 2
_GZIP: Final = 31
_PIECE_BYTES: Final = 1 << 18


def member(*parts: bytes) -> bytes:
    """A record in memory as one gzip member. `parts` are the header and the pieces of the block."""
    return isal_zlib.compress(b"".join((*parts, RECORD_END)), _LEVEL, _GZIP)


def member_file(header: bytes, block: Iterable[bytes], spill: Path) -> IO[bytes]:
    """A record of any size as one gzip member, in an unnamed file in `spill` of which `tell()` is the size. Raises OSError."""
    file = tempfile.TemporaryFile(dir=spill, prefix="member-", buffering=_PIECE_BYTES)  # noqa: SIM115 - the caller closes it
    try:
        squeeze = isal_zlib.compressobj(_LEVEL, isal_zlib.DEFLATED, _GZIP)
        file.write(squeeze.compress(header))
        for piece in block:
            file.write(squeeze.compress(piece))
        file.write(squeeze.compress(RECORD_END))
        file.write(squeeze.flush())
        file.flush()
    except BaseException:
        file.close()
        raise
    return file


class WarcFile:
    """The open file. `size_bytes` counts what was appended, synced or not; `sha256` is the digest of exactly that."""

    def __init__(self, path: Path, descriptor: int) -> None:
        self.path = path
        self._descriptor = descriptor
        self._sha256 = hashlib.sha256()
        self.size_bytes = 0

    @classmethod
    def create(cls, path: Path) -> WarcFile:
        """A new file, locked before anybody can see a byte of it. Raises FileExistsError, OSError."""
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
        file = cls(path, descriptor)
        try:
            file._lock()
            sync_directory(path.parent)
        except BaseException:
            os.close(descriptor)
            raise
        return file

    @classmethod
    def adopt(cls, path: Path) -> WarcFile:
        """Take over the file of a writer that is no more, reading it once for its digest. Raises Locked, OSError."""
        descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        file = cls(path, descriptor)
        try:
            file._lock()
            while piece := os.read(descriptor, _PIECE_BYTES * 4):
                file._sha256.update(piece)
                file.size_bytes += len(piece)
        except BaseException:
            os.close(descriptor)
            raise
        return file

    def _lock(self) -> None:
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Locked(
                f"{self.path.name} is still being written by another process; nothing was changed.",
                hint="Wait for that engine to end, or stop it.",
            ) from None

    @property
    def sha256(self) -> str:
        return self._sha256.hexdigest()

    def append(self, data: bytes) -> None:
        """Write all of `data` behind what is there. Raises OSError; the file may then end in part of it."""
        view = memoryview(data)
        while view:
            written = os.write(self._descriptor, view)
            self._sha256.update(view[:written])
            self.size_bytes += written
            view = view[written:]

    def sync(self) -> None:
        """Make what was appended durable. Raises OSError: what was appended since the last call may then be lost."""
        os.fdatasync(self._descriptor)

    def truncate(self, length: int) -> None:
        """Cut the file, durably. Its digest is then unknown here: adopt it again."""
        os.ftruncate(self._descriptor, length)
        os.fsync(self._descriptor)

    def close(self) -> None:
        """Let go of file and lock. May be called again."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


class Walk:
    """The complete records of a WARC of ours from an offset on, up to the first byte that is not part of one.

    Each record is valid until the next. After the iteration:

    end       offset behind the last complete record
    damage    what is wrong with the byte at `end`; None if the file ends there
    """

    def __init__(self, path: Path, start: int = 0) -> None:
        self._path = path
        self.end = start
        self.damage: str | None = None

    def __iter__(self) -> Iterator[ReadRecord]:
        findings: list[Finding] = []
        try:
            for record in read(self._path, start=self.end, on_finding=findings.append):
                if findings or record.offset != self.end or not record.addressable:
                    break
                yield record
                self.end += record.length
        except WarcDamaged as error:
            self.damage = str(error)
            return
        if self.end < self._path.stat().st_size:
            self.damage = findings[0].message if findings else "the records are not one a member"


def walk(path: Path, start: int = 0) -> Walk:
    """Iterate over the complete records from `start` on; then ask the walk for its `end`. Raises OSError."""
    return Walk(path, start)


def truncate(path: Path, length: int) -> None:
    """Cut a file whose writer is no more, durably. Raises Locked if it still writes, OSError."""
    file = WarcFile.adopt(path)
    try:
        file.truncate(length)
    finally:
        file.close()


def is_held(path: Path) -> bool:
    """Whether a living process writes this file."""
    descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False
