"""Fetches URLs over kept-alive connections; every byte of a response is kept, and each failure has one kind.

When to fetch what, and how often to retry, is the engine's to decide. Repeated here is only what a server never worked on: a
request on a kept-alive connection that it had closed meanwhile, and one that its HTTP/2 refused.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from healtharchive.crawl.connection import Http1Connection, Unanswered
from healtharchive.crawl.dial import Dialled, Dialler
from healtharchive.crawl.engine import CrawlProfile
from healtharchive.crawl.exchange import Body, Exchange, FailureKind, FetchError, FetchRequest
from healtharchive.crawl.http2 import FallBack, Http2Connection, Http2Response
from healtharchive.crawl.wire import HeadCut, HeadTooLong, NotHttp, ResponseReader
from healtharchive.warc.urls import UrlParts, split

__all__ = ["Body", "Exchange", "FetchError", "FetchRequest", "Fetcher"]

_ACCEPT: Final = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"
_ACCEPT_ENCODING: Final = "gzip, br, zstd"
_ATTEMPTS_MAX: Final = 4

_Origin = tuple[str, str, int]  # scheme, host, port


@dataclass(frozen=True)
class _Asking:
    """One fetch on its way: the request in both shapes, and when to stop."""

    url: str
    parts: UrlParts
    headers: tuple[tuple[str, str], ...]
    started_at: datetime
    started: float
    deadline: float

    @property
    def authority(self) -> str:
        return self.parts.origin.partition("://")[2]

    def request(self) -> bytes:
        lines = "".join(f"{name}: {value}\r\n" for name, value in self.headers)
        return f"GET {self.parts.target} HTTP/1.1\r\nHost: {self.authority}\r\n{lines}\r\n".encode("latin-1", "replace")

    def http2_headers(self) -> list[tuple[str, str]]:
        pseudo = [
            (":method", "GET"),
            (":scheme", self.parts.scheme),
            (":authority", self.authority),
            (":path", self.parts.target),
        ]
        return pseudo + [(name.lower(), value) for name, value in self.headers]


class Fetcher:
    """The HTTP client of one crawl, for one event loop. `spill` is a local directory for bodies too big for memory.

    At most `profile.connections` exchanges are under way at once, and as many connections open.
    """

    def __init__(self, profile: CrawlProfile, spill: Path) -> None:
        self._profile = profile
        self._spill = spill
        self._dialler = Dialler(allow_private=profile.allow_private, timeout_seconds=profile.timeout_seconds)
        self._slots = asyncio.Semaphore(profile.connections)
        self._usual = (("User-Agent", profile.user_agent), ("Accept", _ACCEPT), ("Accept-Encoding", _ACCEPT_ENCODING))
        self._idle: OrderedDict[Dialled, _Origin] = OrderedDict()  # HTTP/1.1, the longest unused first
        self._shared: dict[_Origin, Dialled] = {}  # HTTP/2
        self._dialling: dict[_Origin, asyncio.Lock] = {}
        self._http1_only: set[_Origin] = set()
        self._open: set[Dialled] = set()
        self._is_closed = False

    async def fetch(self, request: FetchRequest) -> Exchange:
        """The response, whole or cut; the caller closes it. Raises FetchError if there is none.

        An OSError that passes means that a body could not be kept on local disk.
        """
        headers = (*self._usual, *request.headers)
        if any("\r" in value or "\n" in value for _, value in headers):
            raise ValueError(f"a header of the request for {request.url} contains a line end")
        async with self._slots:
            loop = asyncio.get_running_loop()
            started = loop.time()
            asking = _Asking(
                url=request.url,
                parts=split(request.url),
                headers=headers,
                started_at=datetime.now(UTC),
                started=started,
                deadline=started + self._profile.fetch_seconds_max,
            )
            return await self._ask(asking)

    async def close(self) -> None:
        """Close every connection. Fetches under way end with what they have."""
        self._is_closed = True
        for dialled in list(self._open):
            self._drop(dialled)
        self._idle.clear()
        self._shared.clear()
        await asyncio.sleep(0)

    # -- one exchange

    async def _ask(self, asking: _Asking) -> Exchange:
        origin = (asking.parts.scheme, asking.parts.host, asking.parts.port)
        reason = ""
        for _ in range(_ATTEMPTS_MAX):
            dialled = await self._connection(origin, asking.deadline)
            is_first = dialled.connection.exchanges == 0
            try:
                return await self._ask_over(dialled, origin, asking)
            except Unanswered as error:
                reason = str(error)
                if isinstance(dialled.connection, Http2Connection):
                    if not dialled.connection.has_answered:
                        self._fall_back(origin)  # the server, or something on the way to it, does not bear HTTP/2
                elif is_first:
                    break
            except FallBack as error:
                reason = str(error)
                self._fall_back(origin)
            except TimeoutError:
                message = f"no answer from {asking.parts.host} within {self._profile.timeout_seconds:g} s"
                raise FetchError("timeout", message) from None
            except HeadCut as error:
                kind: FailureKind = "timeout" if error.why == "time" else "reset"
                raise FetchError(kind, f"{asking.parts.host}: {error}", received=error.received) from None
            except HeadTooLong as error:
                raise FetchError("toobig", f"{asking.parts.host}: {error}", received=error.received) from None
            except NotHttp as error:
                raise FetchError("protocol", f"{asking.parts.host}: {error}", received=error.received) from None
        raise FetchError("reset", f"{asking.parts.host} closed the connection without an answer ({reason})")

    async def _ask_over(self, dialled: Dialled, origin: _Origin, asking: _Asking) -> Exchange:
        profile = self._profile
        connection = dialled.connection
        body = Body(self._spill)
        limits = {"head_bytes_max": profile.header_bytes_max, "body_bytes_max": profile.body_bytes_max}
        request = asking.request()
        silence = profile.timeout_seconds
        response: ResponseReader | Http2Response
        try:
            if isinstance(connection, Http2Connection):
                response = Http2Response(body.append, **limits)
                await connection.exchange(asking.http2_headers(), response, silence_seconds=silence, deadline=asking.deadline)
                protocol, trailers = "h2", response.trailers
            else:
                response = ResponseReader(body.append, **limits)
                await connection.exchange(request, response, silence_seconds=silence, deadline=asking.deadline)
                protocol, trailers = "http/1.0" if response.version < (1, 1) else "http/1.1", b""
        except BaseException:
            body.close()
            raise
        finally:
            self._release(dialled, origin)
        return Exchange(
            url=asking.url,
            request=request,
            head=response.head,
            body=body,
            status=response.status,
            reason=response.reason,
            headers=response.headers,
            protocol=protocol,
            ip=dialled.ip,
            started_at=asking.started_at,
            elapsed_ms=(asyncio.get_running_loop().time() - asking.started) * 1000.0,
            interim=response.interim,
            trailers=trailers,
            tls=dialled.tls,
            truncated=response.truncated,
        )

    # -- connections

    async def _connection(self, origin: _Origin, deadline: float) -> Dialled:
        """A connection that can carry one more exchange; kept alive if possible."""
        kept = self._kept(origin)
        if kept is not None:
            return kept
        if self._is_closed:
            raise FetchError("reset", f"the crawl ended before {origin[1]} was asked", is_local=True)
        try:
            async with asyncio.timeout_at(deadline):
                return await self._new_connection(origin)
        except TimeoutError:
            raise FetchError("timeout", f"no connection to {origin[1]} within the time for one fetch") from None

    async def _new_connection(self, origin: _Origin) -> Dialled:
        if origin[0] == "http" or not self._profile.http2 or origin in self._http1_only:
            return await self._dial(origin, http2=False)
        # Two at once would open two connections where HTTP/2 needs one.
        async with self._dialling.setdefault(origin, asyncio.Lock()):
            kept = self._kept(origin)
            if kept is not None:
                return kept
            if origin not in self._http1_only:
                return await self._dial(origin, http2=True)
        return await self._dial(origin, http2=False)

    def _kept(self, origin: _Origin) -> Dialled | None:
        shared = self._shared.get(origin)
        if shared is not None and origin not in self._http1_only:
            if shared.connection.has_room:
                return shared
            del self._shared[origin]
            if shared.connection.is_idle:
                self._drop(shared)
        for dialled in reversed([idle for idle, of in self._idle.items() if of == origin]):
            del self._idle[dialled]
            if dialled.connection.can_reuse:
                return dialled
            self._drop(dialled)
        return None

    def _fall_back(self, origin: _Origin) -> None:
        """From now on HTTP/1.1 only."""
        self._http1_only.add(origin)
        shared = self._shared.pop(origin, None)
        if shared is not None and shared.connection.is_idle:
            self._drop(shared)

    def _drop(self, dialled: Dialled) -> None:
        dialled.connection.abort()
        self._open.discard(dialled)

    async def _dial(self, origin: _Origin, *, http2: bool) -> Dialled:
        self._make_room()
        dialled = await self._dialler.dial(*origin, http2=http2)
        self._open.add(dialled)
        if isinstance(dialled.connection, Http2Connection):
            self._shared[origin] = dialled
        elif http2:
            self._http1_only.add(origin)  # it was offered HTTP/2 and did not take it
        return dialled

    def _make_room(self) -> None:
        """Close the longest unused connections until one more fits."""
        while len(self._open) >= self._profile.connections and (dialled := self._unused()) is not None:
            self._drop(dialled)

    def _unused(self) -> Dialled | None:
        """Give up an idle connection."""
        if self._idle:
            return self._idle.popitem(last=False)[0]
        for origin, shared in self._shared.items():
            if shared.connection.is_idle:
                del self._shared[origin]
                return shared
        return None

    def _release(self, dialled: Dialled, origin: _Origin) -> None:
        connection = dialled.connection
        if not connection.is_idle:
            return  # others use it still
        if isinstance(connection, Http1Connection) and connection.can_reuse and not self._is_closed:
            self._idle[dialled] = origin
        elif self._shared.get(origin) is not dialled:
            self._drop(dialled)
