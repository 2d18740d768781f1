"""Turns exchanges into WARC records, in files that are rolled over, sealed and listed.

For each exchange, in this order: request, metadata if there is any, then the response (or a revisit in its place). The response
comes last, so a complete response means that all of it is there. Records wait in memory until they are taken (`take`, on the
event loop) and written (`write`, from any one thread); their offsets are final from the start.
"""

from __future__ import annotations

import hashlib
import os
from base64 import b64encode
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Final, get_args

from healtharchive.crawl.engine import OPEN_DIR
from healtharchive.crawl.exchange import Body, Exchange, FetchError, Truncation
from healtharchive.crawl.sealing import OPEN_SUFFIX, SealedWarc, publish
from healtharchive.crawl.wire import NotHttp, ResponseReader
from healtharchive.warc import record as warc
from healtharchive.warc.reader import ReadRecord
from healtharchive.warc.record import RecordType
from healtharchive.warc.writer import WarcFile, member, member_file

RECEIVED_BYTES_MAX: Final = 65_536
"""How much of what is no HTTP response is kept."""

_PIECE_BYTES: Final = 1 << 18
_DIGEST: Final = "sha256:"


@dataclass(frozen=True)
class PriorCapture:
    """An earlier capture with the same payload, or one that a server may say is still current. `record_id` as in the WARC."""

    url: str
    captured_at: datetime
    payload_digest: str
    etag: str | None = None
    last_modified: str | None = None
    record_id: str | None = None

    def conditions(self) -> tuple[tuple[str, str], ...]:
        """Request headers that ask for the page only if it changed since."""
        etag = (("If-None-Match", self.etag),) if self.etag else ()
        modified = (("If-Modified-Since", self.last_modified),) if self.last_modified else ()
        return etag + modified


@dataclass(frozen=True)
class Stored:
    """Where a capture is: the member of its response, revisit or resource record. Sizes in bytes."""

    record_type: str
    offset: int
    length: int
    payload_digest: str  # 'sha256:' and lower-case hex; a revisit's is that of the original's payload
    payload_size: int
    warc: str
    captured_at: datetime
    warc_record_id: str


@dataclass(frozen=True)
class Taken:
    """Members on their way to the file. After they are written it is `length` bytes long and holds `captures` captures."""

    members: tuple[bytes | IO[bytes], ...]
    length: int
    captures: int


Find = Callable[[str, int], PriorCapture | None]


class Recorder:
    """One open WARC, `DIRECTORY/open/PREFIX-FENCE-SERIAL.warc.gz.open`.

    captures, record_count      so far, written or not
    pending_bytes               added, not yet taken
    committed_length            of the file, as far as it is durable
    """

    def __init__(
        self,
        directory: Path,
        *,
        prefix: str,
        fence: int,
        serial: int,
        warcinfo: Mapping[str, str],
        fsync: bool = True,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        """Create the file, which must not exist. Raises OSError."""
        self.name = warc_name(prefix, fence, serial)
        self._fence = fence
        self._fsync = fsync
        self._now = now
        self._spill = directory / OPEN_DIR
        self._spill.mkdir(parents=True, exist_ok=True)
        self._file = WarcFile.create(self._spill / (self.name + OPEN_SUFFIX))
        self._members: list[bytes | IO[bytes]] = []
        self.pending_bytes = 0
        self.committed_length = 0
        self.captures = 0
        self.record_count = 0
        self._size = 0
        self._sealed: SealedWarc | None = None
        self._add_warcinfo(warcinfo)

    @property
    def path(self) -> Path:
        return self._file.path

    @property
    def responses(self) -> int:
        """Response and revisit records so far: the same as `captures` while nothing but HTTP is recorded."""
        return self.captures

    @property
    def size(self) -> int:
        """Bytes of the file once everything added is written."""
        return self._size

    def needs_seal(self, rollover_bytes: int) -> bool:
        return self._size >= rollover_bytes

    # -- adding

    def add(
        self,
        exchange: Exchange,
        *,
        prior: PriorCapture | None = None,
        find: Find | None = None,
        metadata: Mapping[str, str] | None = None,
    ) -> Stored:
        """Record an exchange: a revisit if the server says that `prior` is current, or if `prior` has the same payload.

        `find` is asked for any other capture with that digest and size if `prior` has another. Raises OSError if a body that is
        too big for memory cannot be read or squeezed on local disk.
        """
        body = exchange.body
        whole = body.read() if body.in_memory else None
        payload = hashlib.sha256(whole) if whole is not None else _hash_of(body.chunks())
        digest = _DIGEST + payload.hexdigest()
        revisit = _revisit_of(exchange, digest, prior, find)

        response_id = _new_id()
        protocols = (exchange.protocol, exchange.tls) if exchange.tls else (exchange.protocol,)
        wire = warc.Wire(exchange.url, exchange.started_at, exchange.ip, protocols)
        request = warc.request(_new_id(), wire, len(exchange.request), concurrent_to=response_id)
        self._put(member(request.header(), exchange.request))
        self._add_notes(exchange, metadata, response_id)

        if revisit is not None:
            profile, original, digest = revisit
            record = warc.revisit(
                response_id,
                wire,
                len(exchange.head),
                profile=profile,
                original=warc.Original(original.url, original.captured_at, original.record_id),
                payload_digest=digest,
                block_digest=_digest_of(exchange.head),
            )
            stored = self._put(member(record.header(), exchange.head))
        else:
            block = hashlib.sha256(exchange.head)
            for piece in body.chunks() if whole is None else (whole,):
                block.update(piece)
            record = warc.response(
                response_id,
                wire,
                len(exchange.head) + body.size,
                payload_digest=digest,
                block_digest=_DIGEST + block.hexdigest(),
                truncated=exchange.truncated,
            )
            if whole is not None:
                stored = self._put(member(record.header(), exchange.head, whole))
            else:
                stored = self._put(member_file(record.header() + exchange.head, body.chunks(), self._spill))
        self.captures += 1
        return self._stored(record, stored, digest, body.size)

    def add_failure(self, url: str, error: FetchError, *, at: datetime, metadata: Mapping[str, str] | None = None) -> None:
        """Keep what came in place of a response, if anything came, beside the reason why it is none."""
        fields = {**(metadata or {}), "failure": error.kind, "failure-message": error.message}
        if error.received:
            fields["received-base64"] = _base64(error.received[:RECEIVED_BYTES_MAX])
        self.add_metadata(url, fields, at=at)

    def add_metadata(self, url: str, fields: Mapping[str, str], *, at: datetime) -> None:
        self._add_metadata(url, at, fields, concurrent_to=None)

    def add_resource(self, url: str, mime: str, data: bytes, *, at: datetime) -> Stored:
        """Something that no server sent, such as a screenshot."""
        digest = _digest_of(data)
        record = warc.resource(_new_id(), url, at, mime, len(data), digest=digest)
        return self._stored(record, self._put(member(record.header(), data)), digest, len(data))

    def _add_warcinfo(self, fields: Mapping[str, str]) -> None:
        block = warc.warc_fields(fields)
        record = warc.warcinfo(_new_id(), self._now(), self.name, len(block))
        self._put(member(record.header(), block))

    def _add_notes(self, exchange: Exchange, metadata: Mapping[str, str] | None, response_id: str) -> None:
        """What the response record cannot hold: where the URL came from, and bytes that would keep clients from reading it."""
        fields = dict(metadata or {})
        if exchange.interim:
            fields["interim-responses-base64"] = _base64(exchange.interim)
        if exchange.trailers:
            fields["trailers-base64"] = _base64(exchange.trailers)
        if fields:
            fields.setdefault("fetchTimeMs", str(round(exchange.elapsed_ms)))
            self._add_metadata(exchange.url, exchange.started_at, fields, concurrent_to=response_id)

    def _add_metadata(self, url: str, at: datetime, fields: Mapping[str, str], *, concurrent_to: str | None) -> None:
        block = warc.warc_fields(fields)
        record = warc.metadata(_new_id(), url, at, len(block), block_digest=_digest_of(block), concurrent_to=concurrent_to)
        self._put(member(record.header(), block))

    def _put(self, data: bytes | IO[bytes]) -> tuple[int, int]:
        """Queue a member; returns its offset and length."""
        offset = self._size
        length = len(data) if isinstance(data, bytes) else data.tell()
        self._members.append(data)
        self._size += length
        self.pending_bytes += length
        self.record_count += 1
        return offset, length

    def _stored(self, record: warc.Record, place: tuple[int, int], digest: str, payload_size: int) -> Stored:
        return Stored(record.kind, *place, digest, payload_size, self.name, record.date, record.record_id)

    # -- writing

    def take(self) -> Taken:
        """What was added since the last call. Cheap; for the thread that adds."""
        members, self._members = tuple(self._members), []
        self.pending_bytes = 0
        return Taken(members, self._size, self.captures)

    def write(self, taken: Taken) -> int:
        """Append and make durable what was taken, in the order it was taken; returns the committed length. For one thread.

        Raises OSError: the file may then be longer than `committed_length`, which is cut by recovery, and this recorder must end.
        """
        small: list[bytes] = []
        for data in taken.members:
            if isinstance(data, bytes):
                small.append(data)
                continue
            self._file.append(b"".join(small))
            small.clear()
            with data:
                data.seek(0)
                while piece := data.read(_PIECE_BYTES):
                    self._file.append(piece)
        self._file.append(b"".join(small))
        if self._fsync:
            self._file.sync()
        assert self._file.size_bytes == taken.length, "members were not written in the order in which they were taken"
        self.committed_length = taken.length
        return taken.length

    def flush(self) -> int:
        """Take and write. Returns the committed length."""
        return self.write(self.take())

    # -- ending

    def seal(self, target_dir: Path) -> SealedWarc:
        """Write everything, move the file into `target_dir` and list it there. Raises OSError, Refused; may be called again."""
        if self._sealed is None:
            self.flush()
            self._file.sync()
            sealed = SealedWarc(self.name, self._file.size_bytes, self._file.sha256, self.record_count, self._fence, self._now())
            self._sealed = publish(self.path, target_dir, sealed)
            self._file.close()
        return self._sealed

    def abandon(self) -> None:
        """Remove a file that holds no capture. Raises ValueError if it does."""
        if self.captures:
            raise ValueError(f"{self.name} holds {self.captures} captures")
        self.path.unlink(missing_ok=True)
        self.close()

    def close(self) -> None:
        """Let go of the file as it is: what was not written is lost, recovery finds the rest."""
        for data in self._members:
            if not isinstance(data, bytes):
                data.close()
        self._members = []
        self._file.close()


def warc_name(prefix: str, fence: int, serial: int) -> str:
    """Unique in the archive: the prefix is the job's, the fence its attempt's, the serial counts within the attempt."""
    return f"{prefix}-{fence:06d}-{serial:05d}.warc.gz"


def exchange_of(response: ReadRecord, request: ReadRecord | None = None, *, spill: Path | None = None) -> Exchange:
    """The exchange that a response or revisit record was written from, to look at it as if it had just come.

    Raises ValueError if the record is not one of ours. The caller closes the exchange.
    """
    # A disconnect in mid-head leaves a block without a blank line.
    head = response.http.raw if response.http and response.http.raw else b"".join(response.block())
    reader = ResponseReader(lambda _: None, body_bytes_max=0)
    try:
        reader.feed(head)
        reader.end()
    except NotHttp as error:
        raise ValueError(f"the record at {response.offset} is no response of ours: {error}") from None
    body = Body(spill)
    if len(head) < response.block_size:
        for piece in response.body():
            body.append(piece)
    layers = [value for name, value in response.headers.items if name == "WARC-Protocol"]
    return Exchange(
        url=response.target_uri,
        request=b"".join(request.block()) if request else b"",
        head=head,
        body=body,
        status=reader.status,
        reason=reader.reason,
        headers=reader.headers,
        protocol=next((layer for layer in layers if not layer.startswith(("tls", "ssl"))), "http/1.1"),
        ip=response.headers.get("WARC-IP-Address"),
        started_at=response.date,
        elapsed_ms=0.0,
        tls=next((layer for layer in layers if layer.startswith(("tls", "ssl"))), None),
        truncated=_truncation(response),
    )


def _truncation(response: ReadRecord) -> Truncation | None:
    # On a revisit the field says that the payload lies elsewhere.
    reason = response.truncated if response.kind == RecordType.RESPONSE else None
    return next((known for known in get_args(Truncation) if known == reason), None)


def _revisit_of(
    exchange: Exchange, digest: str, prior: PriorCapture | None, find: Find | None
) -> tuple[str, PriorCapture, str] | None:
    """Profile, original and payload digest if this exchange brought nothing new."""
    if exchange.truncated is not None:
        return None  # half a payload is not the same as half of another
    if exchange.status == 304:
        return (warc.SERVER_NOT_MODIFIED, prior, prior.payload_digest) if prior else None
    if not exchange.body.size:
        return None
    if prior is None or prior.payload_digest != digest:
        prior = find(digest, exchange.body.size) if find else None
    if prior is None or prior.payload_digest != digest:
        return None
    return warc.IDENTICAL_PAYLOAD_DIGEST, prior, digest


def _new_id() -> str:
    return warc.record_id(os.urandom(16))


def _digest_of(data: bytes) -> str:
    return _DIGEST + hashlib.sha256(data).hexdigest()


def _hash_of(pieces: Iterable[bytes]) -> hashlib._Hash:
    digest = hashlib.sha256()
    for piece in pieces:
        digest.update(piece)
    return digest


def _base64(data: bytes) -> str:
    return b64encode(data).decode("ascii")
