"""HTTP/2 on one connection: many exchanges at once.

HTTP/2 has no header bytes that a WARC reader could read, so a response is written down in the shape of HTTP/1.1, header order
kept, and its record says `WARC-Protocol: h2`. The body is what the DATA frames carried.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from http import HTTPStatus
from typing import Final

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.errors import ErrorCodes
from h2.events import (
    ConnectionTerminated,
    DataReceived,
    Event,
    InformationalResponseReceived,
    ResponseReceived,
    StreamEnded,
    StreamReset,
    TrailersReceived,
)
from h2.exceptions import H2Error
from h2.settings import SettingCodes, Settings

from healtharchive.crawl.connection import Patience, Unanswered
from healtharchive.crawl.exchange import Truncation
from healtharchive.crawl.wire import HEAD_BYTES_MAX, Header, HeadTooLong

EXCHANGES_MAX: Final = 900
"""Exchanges for one connection. nginx says goodbye after 1,000, and the h2 library then loses what is still under way."""

_STREAM_WINDOW_BYTES: Final = 1 << 20
_CONNECTION_WINDOW_BYTES: Final = 1 << 24
_HEADER_LIST_BYTES_MAX: Final = 1 << 20  # beyond HEAD_BYTES_MAX one response fails, beyond this the whole connection
_UNPRINTABLE: Final = bytes.maketrans(b"\r\n\0", b"   ")

RawHeaders = list[tuple[bytes, bytes]]


class FallBack(Exception):
    """The server cannot do HTTP/2 well enough: ask again over HTTP/1.1."""


class Http2Response:
    """One response, filled by its connection. Its parts are those of `wire.ResponseReader`."""

    def __init__(self, sink: Callable[[bytes], None], *, head_bytes_max: int, body_bytes_max: int) -> None:
        self._sink = sink
        self._head_bytes_max = min(head_bytes_max, HEAD_BYTES_MAX)
        self._body_left = body_bytes_max
        self.interim = b""
        self.head = b""
        self.trailers = b""
        self.status = 0
        self.reason = ""
        self.headers: tuple[Header, ...] = ()
        self.truncated: Truncation | None = None

    def take_interim(self, raw: RawHeaders) -> None:
        self.interim += self._shape(raw)[0]

    def take_head(self, raw: RawHeaders) -> None:
        """Raises HeadTooLong."""
        self.head, self.status = self._shape(raw)
        self.reason = _reason(self.status)
        self.headers = tuple((name.decode("latin-1"), value.decode("latin-1")) for name, value in _lines(raw))

    def take_trailers(self, raw: RawHeaders) -> None:
        self.trailers = b"".join(b"%s: %s\r\n" % line for line in _lines(raw))

    def take_data(self, data: bytes) -> bool:
        """False once our limit is reached."""
        if len(data) > self._body_left:
            data = data[: self._body_left]
            self.truncated = "length"
        self._body_left -= len(data)
        if data:
            self._sink(data)
        return self.truncated is None

    def _shape(self, raw: RawHeaders) -> tuple[bytes, int]:
        status = next((int(value) for name, value in raw if name == b":status" and value.isdigit()), 0)
        lines = b"".join(b"%s: %s\r\n" % line for line in _lines(raw))
        head = b"HTTP/1.1 %d %s\r\n%s\r\n" % (status, _reason(status).encode(), lines)
        if len(self.interim) + len(head) > self._head_bytes_max:
            message = f"the headers do not end within {self._head_bytes_max} bytes"
            raise HeadTooLong(message, (self.interim + head)[: self._head_bytes_max])
        return head, status


class _Stream:
    """An exchange under way."""

    def __init__(self, response: Http2Response) -> None:
        self.response = response
        self.answered: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.patience: Patience | None = None

    def answer(self, error: Exception | None = None) -> None:
        if self.answered.done():
            return
        if error is None:
            self.answered.set_result(None)
        else:
            self.answered.set_exception(error)

    def cut(self, why: Truncation, nothing_came: Exception) -> None:
        """End it before its time: what came is kept; `nothing_came` is the answer if there is no head."""
        if self.response.head:
            self.response.truncated = self.response.truncated or why
            self.answer()
        else:
            self.answer(nothing_came)


class Http2Connection(asyncio.Protocol):
    """HTTP/2 on one transport."""

    def __init__(self) -> None:
        # What browsers let pass must not end a crawl: headers are taken as they are.
        self._h2 = H2Connection(H2Configuration(client_side=True, header_encoding=None, validate_inbound_headers=False))
        self._h2.local_settings = Settings(
            client=True,
            initial_values={
                SettingCodes.ENABLE_PUSH: 0,
                SettingCodes.INITIAL_WINDOW_SIZE: _STREAM_WINDOW_BYTES,
                SettingCodes.MAX_HEADER_LIST_SIZE: HEAD_BYTES_MAX,
            },
        )
        self._transport: asyncio.Transport | None = None
        self._streams: dict[int, _Stream] = {}
        self.exchanges = 0
        self.has_answered = False
        self.can_reuse = True

    # -- the owner's side

    @property
    def has_room(self) -> bool:
        """Whether one more exchange may begin now."""
        is_young = self.exchanges < EXCHANGES_MAX
        return self.can_reuse and is_young and len(self._streams) < self._h2.remote_settings.max_concurrent_streams

    @property
    def is_idle(self) -> bool:
        return not self._streams

    async def exchange(
        self, headers: list[tuple[str, str]], response: Http2Response, *, silence_seconds: float, deadline: float
    ) -> None:
        """Ask, and fill `response`, whole or cut.

        Raises Unanswered (the server did not begin: ask again), FallBack (ask over HTTP/1.1), HeadTooLong, TimeoutError (no head
        in time), OSError (the body could not be kept).
        """
        if self._transport is None or not self.has_room:
            raise Unanswered("the connection takes no more requests")
        try:
            number = self._h2.get_next_available_stream_id()
            self._h2.send_headers(number, headers, end_stream=True)
        except H2Error as error:
            self.abort()
            raise Unanswered(str(error)) from None
        stream = self._streams[number] = _Stream(response)
        stream.patience = Patience(
            silence_seconds=silence_seconds, deadline=deadline, expire=lambda: stream.cut("time", TimeoutError())
        )
        self.exchanges += 1
        self._send()
        is_whole = False
        try:
            await stream.answered
            is_whole = response.truncated is None
        finally:
            stream.patience.end()
            self._streams.pop(number, None)
            if not is_whole:
                self._cancel(number)

    def abort(self) -> None:
        self.can_reuse = False
        if self._transport is not None:
            self._transport.abort()

    def _cancel(self, number: int) -> None:
        try:
            self._h2.reset_stream(number, ErrorCodes.CANCEL)
        except H2Error:
            return  # it is closed already
        self._send()

    def _send(self) -> None:
        if self._transport is not None and (data := self._h2.data_to_send()):
            self._transport.write(data)

    # -- the event loop's side

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._h2.initiate_connection()
        self._h2.increment_flow_control_window(_CONNECTION_WINDOW_BYTES)
        self._h2.decoder.max_header_list_size = _HEADER_LIST_BYTES_MAX
        self._send()

    def data_received(self, data: bytes) -> None:
        try:
            events = self._h2.receive_data(data)
        except H2Error as error:
            self._send()
            self._lose(FallBack(f"not HTTP/2 as we know it: {error or type(error).__name__}"))
            self.abort()
            return
        for event in events:
            self._take(event)
        self._send()

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        self._lose(Unanswered(str(exc or "closed by the server")))

    def _lose(self, error: Exception) -> None:
        """Every exchange under way ends where it stands."""
        self.can_reuse = False
        for stream in list(self._streams.values()):
            stream.cut("disconnect", error)

    def _take(self, event: Event) -> None:
        if isinstance(event, ConnectionTerminated):
            # After a goodbye the library takes no more frames: nothing of what is under way will be completed.
            is_refusal = event.error_code not in (None, ErrorCodes.NO_ERROR)
            self._lose(FallBack(f"the server ended HTTP/2: {event.error_code!r}") if is_refusal else Unanswered("goodbye"))
            self.abort()
            return
        stream = self._streams.get(getattr(event, "stream_id", None) or 0)
        if isinstance(event, DataReceived):
            # The window is opened again also for a stream that nobody waits for any more, or the connection runs dry.
            self._acknowledge(event)
        if stream is None or stream.answered.done():
            return
        if stream.patience is not None:
            stream.patience.heard()
        try:
            self._fill(stream, event)
        except (HeadTooLong, OSError) as error:
            stream.answer(error)

    def _fill(self, stream: _Stream, event: Event) -> None:
        response = stream.response
        match event:
            case InformationalResponseReceived():
                response.take_interim(_raw(event.headers))
            case ResponseReceived():
                self.has_answered = True
                response.take_head(_raw(event.headers))
            case DataReceived():
                if event.data and not response.take_data(event.data):
                    stream.answer()
            case TrailersReceived():
                response.take_trailers(_raw(event.headers))
            case StreamEnded():
                stream.answer()
            case StreamReset():
                is_untouched = event.error_code == ErrorCodes.REFUSED_STREAM
                message = f"the server reset the request: {event.error_code!r}"
                stream.cut("disconnect", Unanswered(message) if is_untouched else FallBack(message))
            case _:
                pass

    def _acknowledge(self, event: DataReceived) -> None:
        if event.flow_controlled_length and event.stream_id:
            try:
                self._h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
            except H2Error:
                return  # the stream was closed by the same bytes


def _raw(headers: object) -> RawHeaders:
    # With header_encoding=None the library hands bytes through; its annotations cannot say so.
    assert isinstance(headers, list)
    return [(bytes(name), bytes(value)) for name, value in headers]


def _lines(raw: RawHeaders) -> RawHeaders:
    """Headers that can be written as lines: nothing in a value that would end its line.

    Without pseudo-headers, and without Transfer-Encoding: it is forbidden in HTTP/2, and would be false in the shape of HTTP/1.1.
    """
    return [
        (name.translate(_UNPRINTABLE), value.translate(_UNPRINTABLE))
        for name, value in raw
        if not name.startswith(b":") and name.lower() != b"transfer-encoding"
    ]


def _reason(status: int) -> str:
    """HTTP/2 has no reason phrases; clients of HTTP/1.1 expect one."""
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Unknown"
