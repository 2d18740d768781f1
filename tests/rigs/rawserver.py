"""A server that says exactly what it is told, however wrong: on loopback, over TCP or TLS, in threads that end with it.

with raw_server({"/x": Script(b"HTTP/1.1 200 OK\\r\\n\\r\\n", b"body")}) as server:
    server.url("/x")
"""

from __future__ import annotations

import contextlib
import socket
import ssl
import struct
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Literal

ACCEPT_SECONDS = 0.02
ASKED_SECONDS = 20.0

Ending = Literal["close", "reset", "keep", "hang"]


@dataclass(frozen=True)
class Pause:
    """Wait between two pieces."""

    seconds: float


@dataclass(frozen=True)
class Repeat:
    """One piece many times over, so that a body of any size costs no memory here."""

    piece: bytes
    count: int


class Script:
    """What to answer, and how to end: close, reset (RST), keep the connection for the next request, or hang without a word."""

    def __init__(self, *pieces: bytes | Pause | Repeat, ending: Ending = "close") -> None:
        self.pieces = pieces
        self.ending: Ending = ending

    @property
    def data(self) -> bytes:
        """Everything it sends."""
        return b"".join(piece for piece in self.pieces if isinstance(piece, bytes))


@dataclass
class RawServer:
    """A running server. `requests` holds each request's bytes in order of arrival, `connections` counts connections."""

    port: int
    scheme: str = "http"
    host: str = "127.0.0.1"
    requests: list[bytes] = field(default_factory=list)
    connections: int = 0
    stopped: threading.Event = field(default_factory=threading.Event)

    def url(self, path: str) -> str:
        return f"{self.scheme}://{self.host}:{self.port}{path}"


@contextmanager
def raw_server(
    scripts: Mapping[str, Script | list[Script]],
    *,
    tls: ssl.SSLContext | None = None,
    host: str | None = None,
    address: str = "127.0.0.1",
) -> Iterator[RawServer]:
    """Serve `scripts` by path until the block ends; a list is served in turn, its last one for ever. `host` is named in URLs."""
    listening = socket.create_server((address, 0))
    listening.settimeout(ACCEPT_SECONDS)
    server = RawServer(listening.getsockname()[1], "https" if tls else "http", host or address)
    turns = {path: (script if isinstance(script, list) else [script]) for path, script in scripts.items()}
    threads: list[threading.Thread] = []

    def accept() -> None:
        while not server.stopped.is_set():
            try:
                connection, _ = listening.accept()
            except TimeoutError:
                continue
            server.connections += 1
            thread = threading.Thread(target=_serve, args=(connection, server, turns, tls), daemon=True)
            thread.start()
            threads.append(thread)

    acceptor = threading.Thread(target=accept, daemon=True)
    acceptor.start()
    try:
        yield server
    finally:
        server.stopped.set()
        acceptor.join()
        listening.close()
        for thread in threads:
            thread.join(5)


def _serve(connection: socket.socket, server: RawServer, turns: dict[str, list[Script]], tls: ssl.SSLContext | None) -> None:
    connection.settimeout(ASKED_SECONDS)
    with contextlib.suppress(OSError, ssl.SSLError):
        if tls:
            connection = tls.wrap_socket(connection, server_side=True)
        while request := _request(connection):
            server.requests.append(request)
            scripts = turns[request.split(b" ", 2)[1].decode()]
            script = scripts.pop(0) if len(scripts) > 1 else scripts[0]
            _play(connection, server, script)
            if script.ending == "hang":
                server.stopped.wait(ASKED_SECONDS)
            if script.ending == "reset":
                # Linger for no time: the kernel sends RST in place of FIN.
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            if script.ending != "keep":
                break
    connection.close()


def _play(connection: socket.socket, server: RawServer, script: Script) -> None:
    for piece in script.pieces:
        match piece:
            case bytes():
                connection.sendall(piece)
            case Pause():
                server.stopped.wait(piece.seconds)
            case Repeat():
                for _ in range(piece.count):
                    connection.sendall(piece.piece)


def _request(connection: socket.socket) -> bytes:
    data = b""
    while b"\r\n\r\n" not in data:
        piece = connection.recv(65536)
        if not piece:
            return b""
        data += piece
    return data
