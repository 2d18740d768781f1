"""An HTTP/2 server on the h2 library that plays one part per path, in a thread that ends with it."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import RequestReceived, WindowUpdated
from h2.exceptions import H2Error
from tests.rigs.rawserver import RawServer

Part = Callable[[H2Connection, int], None]
"""Answers one request: called with the connection and the stream."""


@contextmanager
def http2_server(parts: Mapping[str, Part], tls: ssl.SSLContext) -> Iterator[RawServer]:
    listening = socket.create_server(("127.0.0.1", 0))
    listening.settimeout(0.02)
    server = RawServer(listening.getsockname()[1], "https", "127.0.0.1")
    threads: list[threading.Thread] = []

    def accept() -> None:
        while not server.stopped.is_set():
            try:
                connection, _ = listening.accept()
            except TimeoutError:
                continue
            server.connections += 1
            thread = threading.Thread(target=_serve, args=(connection, server, parts, tls), daemon=True)
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


def _serve(connection: socket.socket, server: RawServer, parts: Mapping[str, Part], tls: ssl.SSLContext) -> None:
    connection.settimeout(10)
    with contextlib.suppress(OSError, ssl.SSLError, H2Error):
        connection = tls.wrap_socket(connection, server_side=True)
        h2 = H2Connection(H2Configuration(client_side=False, header_encoding="utf-8", validate_outbound_headers=False))
        h2.initiate_connection()
        connection.sendall(h2.data_to_send())
        while not server.stopped.is_set():
            data = connection.recv(65536)
            if not data:
                break
            for event in h2.receive_data(data):
                if isinstance(event, RequestReceived):
                    headers = {str(name): str(value) for name, value in event.headers or []}
                    server.requests.append(repr(headers).encode())
                    parts[headers[":path"]](h2, event.stream_id or 0)
                elif isinstance(event, WindowUpdated):
                    pass
            connection.sendall(h2.data_to_send())
    connection.close()
