"""WARCs of known content, and ways to damage them."""

from __future__ import annotations

import base64
import gzip
import hashlib
from dataclasses import dataclass
from pathlib import Path


def record_bytes(
    number: int,
    *,
    kind: str = "response",
    body: bytes | None = None,
    head: bytes = b"HTTP/1.1 200 OK\r\nContent-Type: text/html; charset=utf-8\r\n\r\n",
    url: str | None = None,
    headers: str = "",
    content_length: int | None = None,
    algorithm: str = "sha256",
    base32: bool = False,
) -> bytes:
    """One record, uncompressed, with true digests unless `headers` (lines ending in CRLF) or `content_length` say otherwise."""
    body = f"<html><title>Page {number}</title>Vaccination {number}</html>".encode() if body is None else body
    block = head + body
    length = len(block) if content_length is None else content_length
    return (
        f"WARC/1.1\r\nWARC-Type: {kind}\r\nWARC-Record-ID: <urn:uuid:00000000-0000-4000-8000-{number:012d}>\r\n"
        f"WARC-Date: 2026-03-0{number % 9 + 1}T10:20:30Z\r\nWARC-Target-URI: {url or f'https://example.org/page/{number}'}\r\n"
        f"WARC-Block-Digest: {digest(block, algorithm, base32=base32)}\r\n"
        f"WARC-Payload-Digest: {digest(body, algorithm, base32=base32)}\r\n"
        f"{headers}Content-Type: application/http; msgtype={kind}\r\nContent-Length: {length}\r\n\r\n"
    ).encode() + block + b"\r\n\r\n"  # fmt: skip


def digest(data: bytes, algorithm: str = "sha256", *, base32: bool = False) -> str:
    value = hashlib.new(algorithm, data)
    return f"{algorithm}:{base64.b32encode(value.digest()).decode() if base32 else value.hexdigest()}"


@dataclass(frozen=True)
class Sample:
    """A file of gzip members and where each begins."""

    path: Path
    offsets: tuple[int, ...]
    size: int

    def flip(self, position: int) -> None:
        data = bytearray(self.path.read_bytes())
        data[position] ^= 0x55
        self.path.write_bytes(data)

    def cut(self, size: int) -> None:
        self.path.write_bytes(self.path.read_bytes()[:size])


def write_members(path: Path, members: list[bytes]) -> Sample:
    """A file with each of `members` compressed by itself."""
    offsets = []
    data = b""
    for member in members:
        offsets.append(len(data))
        data += gzip.compress(member, mtime=0)
    path.write_bytes(data)
    return Sample(path, tuple(offsets), len(data))
