"""CDXJ: one line a capture, `key timestamp {json}`, sorted by bytes; what replay tools look captures up in.

    org,example)/page 20260131102030 {"url": "https://example.org/page", "mime": "text/html", "status": "200",
                                      "digest": "sha256:...", "length": "1043", "offset": "388", "filename": "X.warc.gz"}

Lines equal those of `cdxj-indexer` byte for byte, numbers as strings and spaces included: tools differ in what they accept.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from json.encoder import encode_basestring_ascii as quoted
from pathlib import Path
from typing import Final

from healtharchive.warc.digests import sha1_base32
from healtharchive.warc.reader import ReadRecord, read
from healtharchive.warc.urls import surt_key

_KINDS: Final = ("response", "revisit", "resource", "metadata")
_FIELDS_TYPE: Final = "application/warc-fields"
_MIME_END: Final = re.compile(r"[;\s]")
_NOT_DIGITS: Final = re.compile(r"\D")


def line(
    *,
    key: str,
    timestamp: str,
    url: str,
    mime: str | None,
    status: str | None,
    digest: str,
    length: int,
    offset: int,
    filename: str,
) -> str:
    """One line, with its newline. `timestamp` has 14 digits; what is None is left out."""
    fields = f'"url": {quoted(url)}'
    if mime is not None:
        fields += f', "mime": {quoted(mime)}'
    if status is not None:
        fields += f', "status": {quoted(status)}'
    return (
        f'{key} {timestamp} {{{fields}, "digest": {quoted(digest)}, "length": "{length}", "offset": "{offset}", '
        f'"filename": {quoted(filename)}}}\n'
    )


def of_record(record: ReadRecord, filename: str) -> str | None:
    """The line of a record; None for records that no capture is made of (requests, warcinfo, metadata in warc-fields)."""
    if record.kind not in _KINDS or not record.target_uri:
        return None
    record_type = record.headers.get("Content-Type")
    if record.kind in ("resource", "metadata") and record_type == _FIELDS_TYPE:
        return None
    http = record.http
    declared = http.get("Content-Type") if http else ""
    if record.kind == "revisit":
        mime: str | None = "warc/revisit"
    elif record.kind == "response":
        mime = _MIME_END.split(declared.strip(), maxsplit=1)[0] or None
    else:
        mime = _MIME_END.split(record_type, maxsplit=1)[0] or None
    return line(
        key=_key(record.target_uri),
        timestamp=_NOT_DIGITS.sub("", record.headers.get("WARC-Date"))[:14],
        url=record.target_uri,
        mime=mime,
        status=_status(http.raw) if http else None,
        digest=record.payload_digest or sha1_base32(record.body()),
        length=record.length,
        offset=record.offset,
        filename=filename,
    )


def lines_of(path: Path, filename: str | None = None) -> Iterator[str]:
    """The lines of a WARC in the order of its records. `filename` is how the lines call it, by default its own name."""
    for record in read(path):
        text = of_record(record, filename or path.name)
        if text is not None:
            yield text


def sorted_lines(paths: Iterable[Path]) -> list[str]:
    """The lines of several WARCs as an index: in byte order, each once. About 400 bytes of memory a capture."""
    # All ASCII but for keys of odd URLs: Python orders code points as their UTF-8 is ordered.
    return sorted({text for path in paths for text in lines_of(path)})


def parse(text: str) -> tuple[str, str, dict[str, str]]:
    """Key, timestamp and fields of a line. Raises ValueError."""
    key, timestamp, data = text.rstrip("\n").split(" ", 2)
    return key, timestamp, json.loads(data)


def _key(url: str) -> str:
    try:
        return surt_key(url)
    except Exception:  # noqa: BLE001 - surt raises whatever its parser meets; such a URL is its own key
        return url


def _status(head: bytes) -> str | None:
    words = head.partition(b"\n")[0].decode("latin-1").split(None, 2)
    return words[1] if len(words) > 1 else None
