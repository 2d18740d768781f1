"""WACZ 1.1.1: a web archive in one ZIP file, which replay tools read by ranges without unpacking it.

    indexes/index.cdx.gz       CDXJ in gzip members of 1,024 lines each
    indexes/index.idx          where each member begins, and the key that it begins with
    archive/NAME.warc.gz       the WARCs as they are; stored, so that a record is read by offset within the ZIP
    pages/pages.jsonl          where a reader may begin: URL, date and title of each page
    datapackage.json           every file above with its size and digest
    datapackage-digest.json    the digest of datapackage.json

Source: https://specs.webrecorder.net/wacz/1.1.1/ . Nothing is held in memory but one index member.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import struct
import zipfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import IO, Any, Final

from isal import isal_zlib

from healtharchive.errors import HealthArchiveError, Refused
from healtharchive.host.files import rename_exclusively

VERSION: Final = "1.1.1"
LINES_PER_MEMBER: Final = 1024

_PIECE_BYTES: Final = 1 << 20
_INDEX: Final = "index.cdx.gz"
_NOT_IN_NAMES: Final = re.compile(r"[^-a-z0-9._/]")
_EXTENDED_TIMESTAMP: Final = 0x5455  # Info-ZIP's extra field: UNIX time of the last change


@dataclass(frozen=True)
class WarcFile:
    """A WARC to be put in. `sha256` (hex) is what its bytes must have, where that is known."""

    name: str
    path: Path
    sha256: str | None = None


@dataclass(frozen=True)
class Page:
    """An entry point for readers. `at` is aware."""

    url: str
    at: datetime
    title: str = ""


@dataclass(frozen=True)
class About:
    """What the archive says of itself."""

    title: str
    created: datetime
    software: str
    description: str = ""
    main_page: Page | None = None


@dataclass(frozen=True)
class Written:
    """What was written. `sha256` is that of datapackage.json, which covers every other file."""

    path: Path
    size_bytes: int
    warcs: int
    captures: int
    pages: int
    sha256: str


class WarcChanged(HealthArchiveError):
    """A WARC does not have the digest that it was sealed with."""


def write(output: Path, about: About, *, warcs: Iterable[WarcFile], lines: Iterable[str], pages: Iterable[Page]) -> Written:
    """Write a WACZ that appears under its name whole or not at all.

    `lines` are CDXJ lines in byte order whose filenames are those of `warcs`. Raises Refused if `output` exists, WarcChanged if a
    WARC is not what its digest says, OSError; then nothing is left behind.
    """
    if output.exists():
        raise Refused(f"{output} exists already.", hint="It was not touched. Name another file, or remove it first.")
    beside = output.with_name(f".{output.name}.{os.getpid()}.part")
    try:
        with zipfile.ZipFile(beside, "w", zipfile.ZIP_STORED) as archive:
            written = _Package(archive, about).fill(warcs=warcs, lines=lines, pages=pages)
        with open(beside, "rb") as file:
            os.fsync(file.fileno())
        size = beside.stat().st_size
        try:
            rename_exclusively(beside, output)
        except FileExistsError:
            raise Refused(f"{output} appeared meanwhile.", hint="It was not touched. Name another file.") from None
    finally:
        beside.unlink(missing_ok=True)
    return Written(path=output, size_bytes=size, **written)


@dataclass
class _Entry:
    """A file of the package that is being written: counts and digests what passes."""

    path: str
    out: IO[bytes]
    size: int = 0
    digest: Any = field(default_factory=hashlib.sha256)

    def write(self, data: bytes) -> int:
        self.out.write(data)
        self.digest.update(data)
        self.size += len(data)
        return len(data)


class _Package:
    """The files of one WACZ, in the order in which they are written."""

    def __init__(self, archive: zipfile.ZipFile, about: About) -> None:
        self._archive = archive
        self._about = about
        self._resources: list[dict[str, object]] = []

    def fill(self, *, warcs: Iterable[WarcFile], lines: Iterable[str], pages: Iterable[Page]) -> dict[str, Any]:
        captures, members = self._write_index(lines)
        self._write_index_of_members(members)
        warc_count = 0
        for warc in warcs:
            self._write_warc(warc)
            warc_count += 1
        page_count = self._write_pages(pages)
        return {"captures": captures, "warcs": warc_count, "pages": page_count, "sha256": self._write_description()}

    def _write_index(self, lines: Iterable[str]) -> tuple[int, list[str]]:
        members: list[str] = []
        captures = 0
        with self._entry(f"indexes/{_INDEX}") as entry:
            for block in _blocks(lines, LINES_PER_MEMBER):
                captures += len(block)
                packed = isal_zlib.compress("".join(block).encode(), 3, 31)
                place = {"offset": entry.size, "length": len(packed), "digest": f"sha256:{hashlib.sha256(packed).hexdigest()}"}
                members.append(f"{block[0].partition('{')[0].rstrip()} {json.dumps(place)}\n")
                entry.write(packed)
        return captures, members

    def _write_index_of_members(self, members: list[str]) -> None:
        with self._entry("indexes/index.idx", deflate=True) as entry:
            entry.write(f"!meta 0 {json.dumps({'format': 'cdxj-gzip-1.0', 'filename': _INDEX})}\n".encode())
            for member in members:
                entry.write(member.encode())

    def _write_warc(self, warc: WarcFile) -> None:
        with self._entry(f"archive/{warc.name}") as entry, open(warc.path, "rb") as file:
            while piece := file.read(_PIECE_BYTES):
                entry.write(piece)
        if warc.sha256 is not None and entry.digest.hexdigest() != warc.sha256:
            raise WarcChanged(
                f"{warc.path} is not what was sealed: its digest is sha256:{entry.digest.hexdigest()}, not sha256:{warc.sha256}.",
                hint="Nothing was exported. See: healtharchive verify",
            )

    def _write_pages(self, pages: Iterable[Page]) -> int:
        count = 0
        with self._entry("pages/pages.jsonl", deflate=True) as entry:
            entry.write(_json_line({"format": "json-pages-1.0", "id": "pages", "title": "Pages"}))
            for page in pages:
                count += 1
                entry.write(_json_line(_page(page)))
        return count

    def _write_description(self) -> str:
        about = self._about
        package: dict[str, object] = {
            "profile": "data-package",
            "title": about.title,
            "description": about.description,
            "created": _instant(about.created),
            "wacz_version": VERSION,
            "software": about.software,
            "resources": self._resources.copy(),
        }
        if not about.description:
            del package["description"]
        if about.main_page is not None:
            package["mainPageURL"] = about.main_page.url
            package["mainPageDate"] = _instant(about.main_page.at)
        data = json.dumps(package, indent=2, ensure_ascii=False).encode()
        digest = hashlib.sha256(data).hexdigest()
        with self._entry("datapackage.json", deflate=True) as entry:
            entry.write(data)
        with self._entry("datapackage-digest.json", deflate=True) as entry:
            entry.write(json.dumps({"path": "datapackage.json", "hash": f"sha256:{digest}"}, indent=2).encode())
        return digest

    @contextmanager
    def _entry(self, path: str, *, deflate: bool = False) -> Iterator[_Entry]:
        """A new file of the package; when it is complete it is listed among the resources."""
        info = zipfile.ZipInfo(path, self._about.created.astimezone(UTC).timetuple()[:6])
        info.compress_type = zipfile.ZIP_DEFLATED if deflate else zipfile.ZIP_STORED
        info.external_attr = 0o644 << 16
        # An entry of unknown size leaves room for 64-bit sizes in its local header. wabac 2.27 looks there only if the central
        # directory has an extra field too, and else reads 20 bytes beside the data: so every entry has one.
        info.extra = struct.pack("<HHBI", _EXTENDED_TIMESTAMP, 5, 1, int(self._about.created.timestamp()))
        with self._archive.open(info, "w", force_zip64=True) as out:
            entry = _Entry(path, out)
            yield entry
        self._resources.append(
            {
                "name": _NOT_IN_NAMES.sub("-", path.rpartition("/")[2].lower()),
                "path": path,
                "hash": f"sha256:{entry.digest.hexdigest()}",
                "bytes": entry.size,
            }
        )


def _blocks(lines: Iterable[str], size: int) -> Iterator[list[str]]:
    remaining = iter(lines)
    while block := list(islice(remaining, size)):
        yield block


def _page(page: Page) -> dict[str, str]:
    ts = _instant(page.at)
    # The same page of the same archive has the same id in each export.
    page_id = hashlib.blake2b(f"{ts} {page.url}".encode(), digest_size=11).hexdigest()
    return {"id": page_id, "url": page.url, "ts": ts, "title": page.title or page.url}


def _json_line(data: dict[str, str]) -> bytes:
    return json.dumps(data, ensure_ascii=False).encode() + b"\n"


def _instant(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
