"""A connection that carries one HTTP/1.1 exchange after another, and what every kind of connection shares: patience, signals."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from healtharchive.crawl.wire import NotHttp, ResponseReader

DOUBTFUL_SECONDS: Final = 2.0
"""How long to wait for more when the framing contradicts itself: the rest either comes at once or never."""


class Unanswered(Exception):
    """The connection ended before the first byte of an answer. A kept-alive one had been closed by the server: ask again."""


class Patience:
    """Calls `expire` after a silence, or at a deadline, whichever comes first. One timer, moved only when it fires."""

    def __init__(self, *, silence_seconds: float, deadline: float, expire: Callable[[], None]) -> None:
        self._loop = asyncio.get_running_loop()
        self._silence = silence_seconds
        self._deadline = deadline
        self._expire = expire
        self._heard_at = self._loop.time()
        self._timer = self._loop.call_at(min(self._heard_at + silence_seconds, deadline), self._look)

    def heard(self) -> None:
        self._heard_at = self._loop.time()

    def shorten(self, silence_seconds: float) -> None:
        """From now on a shorter silence is enough."""
        if silence_seconds < self._silence:
            self._silence = silence_seconds
            self._timer.cancel()
            self._look()

    def _look(self) -> None:
        due = min(self._heard_at + self._silence, self._deadline)
        if self._loop.time() >= due:
            self._expire()
        else:
            self._timer = self._loop.call_at(due, self._look)

    def end(self) -> None:
        self._timer.cancel()


class Http1Connection(asyncio.Protocol):
    """HTTP/1.1 on one transport. One exchange at a time."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._reader: ResponseReader | None = None
        self._answered: asyncio.Future[None] | None = None
        self._patience: Patience | None = None
        self.exchanges = 0
        self.can_reuse = True

    # -- the owner's side

    @property
    def is_idle(self) -> bool:
        return self._reader is None

    @property
    def has_room(self) -> bool:
        """Whether one more exchange may begin now."""
        return self.can_reuse and self.is_idle

    async def exchange(self, request: bytes, reader: ResponseReader, *, silence_seconds: float, deadline: float) -> None:
        """Send `request`, fill `reader` with the response, whole or cut.

        Raises Unanswered (nothing came), NotHttp (it is no response), TimeoutError (nothing came in time), OSError (the body
        could not be kept). Whatever happens, `can_reuse` then says whether the connection is worth keeping.
        """
        transport = self._transport
        if transport is None or not self.can_reuse:
            raise Unanswered("the connection was closed")
        self._reader = reader
        self._answered = asyncio.get_running_loop().create_future()
        self._patience = Patience(silence_seconds=silence_seconds, deadline=deadline, expire=self._give_up)
        self.exchanges += 1
        transport.write(request)
        try:
            await self._answered
        except BaseException:
            self.abort()
            raise
        finally:
            self._reader = self._answered = None
            self._patience.end()
        if not reader.can_reuse:
            self.abort()

    def abort(self) -> None:
        """Close at once, whatever is still under way."""
        self.can_reuse = False
        if self._transport is not None:
            self._transport.abort()

    # -- the event loop's side

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        reader = self._reader
        if reader is None or reader.is_done:
            # Nobody asked: a farewell such as 408 on an idle connection. The next request needs another one.
            self.abort()
            return
        try:
            is_done = reader.feed(data)
        except (NotHttp, OSError) as error:
            self._answer(error)
            return
        if is_done:
            self._answer()
        elif self._patience is not None:
            self._patience.heard()
            if reader.is_doubtful:
                self._patience.shorten(DOUBTFUL_SECONDS)

    def connection_lost(self, exc: Exception | None) -> None:
        self.can_reuse = False
        self._transport = None
        self._close_reader(lambda reader: reader.end(reset=exc is not None), Unanswered(str(exc or "closed by the server")))

    def _give_up(self) -> None:
        self._close_reader(lambda reader: reader.give_up("time"), TimeoutError())

    def _close_reader(self, close: Callable[[ResponseReader], None], nothing_came: Exception) -> None:
        """End the reader before its time; `nothing_came` is the answer if there is not one byte."""
        reader = self._reader
        if reader is None or reader.is_done:
            return
        if not reader.received_bytes:
            self._answer(nothing_came)
            return
        try:
            close(reader)
        except NotHttp as error:
            self._answer(error)
        else:
            self._answer()

    def _answer(self, error: Exception | None = None) -> None:
        if self._answered is None or self._answered.done():
            return
        if error is None:
            self._answered.set_result(None)
        else:
            self._answered.set_exception(error)
