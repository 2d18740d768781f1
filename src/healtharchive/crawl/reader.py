"""Links are read in a process of their own, beside the one that fetches.

Reading is more than half of what a page costs (docs/decisions/0023-crawl-performance.md). Here it runs on a core of its own while
the other process fetches, records and commits. And markup is what strangers write: a page over which the parser dies costs its
own links and not the crawl, and one that takes seconds keeps no other page's clock from ticking.

    request     sizes of the two parts, what is known about the text, the decoded text
    answer      its size, then (links, unfetched, canonical, refresh, truncated), or a string that says what went wrong

Both are values that `marshal` knows, between two processes of one program. The reader ends when its socket does.
"""

from __future__ import annotations

import asyncio
import ctypes
import marshal
import os
import signal
import socket
import struct
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from typing import IO, Final, TypedDict, Unpack, cast

from healtharchive.crawl.links import Extraction, Hop, Link, extract

_REQUEST: Final = struct.Struct("!II")
_ANSWER: Final = struct.Struct("!I")
_BUFFER_BYTES: Final = 1 << 18
_PR_SET_PDEATHSIG: Final = 1
_HOPS: Final = {str(hop): hop for hop in Hop}


class About(TypedDict):
    """What the text alone does not say: the arguments of `links.extract` beside it."""

    url: str
    mime: str
    charset: str | None
    headers: tuple[tuple[str, str], ...]


class LinksUnread(Exception):
    """The links of one page could not be read, by a mistake of ours or of the parser's."""


class LinkReader(asyncio.Protocol):
    """`start` before this process has threads or opens anything that it would share; `open` on the event loop; then `extract`.

    When the other process dies, the page that it died over is unread, and all pages after it are read here.
    """

    def __init__(self, ours: socket.socket, process: int) -> None:
        self._socket = ours
        self._process = process
        self._transport: asyncio.Transport | None = None
        self._asked: deque[asyncio.Future[bytes | None]] = deque()  # answers come in the order of the requests
        self._received = bytearray()

    @classmethod
    def start(cls) -> LinkReader:
        """Fork the reader. Raises OSError."""
        ours, theirs = socket.socketpair()
        for end in (ours, theirs):
            end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _BUFFER_BYTES)
        process = os.fork()
        if process == 0:
            try:
                ours.close()
                _serve(theirs)
            finally:
                os._exit(0)
        theirs.close()
        return cls(ours, process)

    async def open(self) -> None:
        self._socket.setblocking(False)
        await asyncio.get_running_loop().create_connection(lambda: self, sock=self._socket)

    async def extract(self, payload: bytes, **about: Unpack[About]) -> Extraction:
        """As `links.extract`. Raises LinksUnread."""
        answer = None
        if self._transport is not None and payload:
            said = marshal.dumps(dict(about))
            answered: asyncio.Future[bytes | None] = asyncio.get_running_loop().create_future()
            self._asked.append(answered)
            self._transport.writelines((_REQUEST.pack(len(said), len(payload)), said, payload))
            answer = await answered
        if answer is None:
            return extract(payload, **about)
        return _extraction(answer)

    def close(self) -> None:
        """End the other process. What it is asked still is unread."""
        if self._transport is not None:
            self._transport.abort()
            self._transport = None
        self._socket.close()
        if self._process:
            with suppress(ProcessLookupError):
                os.kill(self._process, signal.SIGKILL)
            with suppress(ChildProcessError):
                os.waitpid(self._process, 0)
            self._process = 0

    # -- the event loop's side

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        self._received += data
        at = 0
        while len(self._received) - at >= _ANSWER.size:
            (size,) = _ANSWER.unpack_from(self._received, at)
            end = at + _ANSWER.size + size
            if len(self._received) < end:
                break
            answered = self._asked.popleft()
            if not answered.done():
                answered.set_result(bytes(self._received[at + _ANSWER.size : end]))
            at = end
        del self._received[:at]

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        first = True
        while self._asked:
            answered = self._asked.popleft()
            if not answered.done():
                if first:
                    answered.set_exception(LinksUnread("the process that reads links died over this page"))
                else:
                    answered.set_result(None)
            first = False


def _extraction(answer: bytes) -> Extraction:
    said = marshal.loads(answer)  # noqa: S302 - from a process of this program
    if isinstance(said, str):
        raise LinksUnread(said)
    links, unfetched, canonical, refresh, truncated = said
    return Extraction(_links(links), _links(unfetched), canonical, refresh, truncated)


def _links(rows: Sequence[tuple[str, str, str, str]]) -> tuple[Link, ...]:
    return tuple([Link(url, tag, attribute, _HOPS[hop]) for url, tag, attribute, hop in rows])


# -- the other process -----------------------------------------------------------------------------------------------------------


def _serve(theirs: socket.socket) -> None:
    """Answer until the socket ends. The engine alone is told to stop; this ends with it, and at the latest when it dies."""
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1):
        signal.signal(number, signal.SIG_IGN)
    with suppress(AttributeError, OSError):
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    requests = cast(IO[bytes], theirs.makefile("rb", _BUFFER_BYTES))
    with suppress(BrokenPipeError, ConnectionResetError):
        while (answer := _answer(requests)) is not None:
            theirs.sendall(_ANSWER.pack(len(answer)) + answer)


def _answer(requests: IO[bytes]) -> bytes | None:
    head = requests.read(_REQUEST.size)
    if len(head) < _REQUEST.size:
        return None
    about_size, payload_size = _REQUEST.unpack(head)
    about: About = marshal.loads(requests.read(about_size))  # noqa: S302 - from a process of this program
    payload = requests.read(payload_size)
    try:
        found = extract(payload, **about)
    except Exception as error:  # noqa: BLE001 - whatever it is, it is about this page only
        return marshal.dumps(repr(error))
    return marshal.dumps((_rows(found.links), _rows(found.unfetched), found.canonical, found.refresh, found.truncated))


def _rows(links: Sequence[Link]) -> list[tuple[str, str, str, str]]:
    return [(link.url, link.tag, link.attribute, link.hop.value) for link in links]
