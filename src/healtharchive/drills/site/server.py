"""The bundled site on loopback, with a log of every visit: the site's own word on what was fetched, and how often."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final
from urllib.parse import urlsplit

from healtharchive.drills.site.content import Answer, Edition, answer

_IDLE_SECONDS: Final = 30  # a connection that says nothing must not keep a thread for ever


@dataclass(frozen=True)
class Visit:
    """One line of the site's log."""

    edition: Edition
    path: str  # with its query
    status: int
    agent: str


class DemoSite:
    """A running site. `edition` may be changed while it runs: from then on visitors see the other one."""

    def __init__(self, *, pace_seconds: float = 0.0, port: int = 0) -> None:
        """Listen on a free port of loopback. `pace_seconds` makes every answer that much slower."""
        self.edition: Edition = 1
        self.pace_seconds = pace_seconds
        self._visits: list[Visit] = []
        self._changed = threading.Condition()
        self._server = _Server(("127.0.0.1", port), _Handler)
        self._server.site = self
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}/"

    def visits(self, edition: Edition | None = None) -> list[Visit]:
        with self._changed:
            return [visit for visit in self._visits if edition in (None, visit.edition)]

    def counts(self, edition: Edition) -> Counter[str]:
        """How often each path was asked for in an edition."""
        return Counter(visit.path for visit in self.visits(edition))

    def wait_for(self, edition: Edition, visits: int, *, timeout_seconds: float) -> bool:
        """Block until an edition has had so many visits; False if it took too long."""
        with self._changed:
            return self._changed.wait_for(
                lambda: sum(visit.edition == edition for visit in self._visits) >= visits, timeout_seconds
            )

    def log(self, visit: Visit) -> None:
        with self._changed:
            self._visits.append(visit)
            self._changed.notify_all()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@contextmanager
def serve(*, pace_seconds: float = 0.0, port: int = 0) -> Iterator[DemoSite]:
    """The site while the block runs."""
    site = DemoSite(pace_seconds=pace_seconds, port=port)
    try:
        yield site
    finally:
        site.close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 64
    site: DemoSite

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A visitor that is killed in mid-sentence is what the demo is about."""


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    protocol_version = "HTTP/1.1"
    server_version = "PortLaurier/1"
    sys_version = ""
    timeout = _IDLE_SECONDS
    disable_nagle_algorithm = True  # head and body are two writes

    def do_GET(self) -> None:
        self._serve(with_body=True)

    def do_HEAD(self) -> None:
        self._serve(with_body=False)

    def _serve(self, *, with_body: bool) -> None:
        site = self.server.site
        edition = site.edition
        parts = urlsplit(self.path)
        found = answer(edition, parts.path, parts.query, f"http://{self.headers.get('Host', '127.0.0.1')}")
        time.sleep(site.pace_seconds + found.delay_seconds)
        status = 304 if found.status == 200 and self._unchanged(found) else found.status
        # Logged before the answer: whoever has the answer finds it in the log.
        site.log(Visit(edition, self.path, status, self.headers.get("User-Agent", "")))
        self.send_response(status)
        if found.location is not None:
            self.send_header("Location", found.location)
        if found.edited is not None:
            self.send_header("Last-Modified", found.edited)
            self.send_header("ETag", found.etag)
        if status != 304:
            self.send_header("Content-Type", found.mime)
            self.send_header("Content-Length", str(len(found.body)))
        self.end_headers()
        if with_body and status != 304:
            self.wfile.write(found.body)

    def _unchanged(self, found: Answer) -> bool:
        if found.edited is None:
            return False
        tag = self.headers.get("If-None-Match")
        if tag is not None:
            return found.etag in (part.strip() for part in tag.split(","))
        since = self.headers.get("If-Modified-Since")
        return since is not None and parsedate_to_datetime(found.edited) <= parsedate_to_datetime(since)

    def log_message(self, format: str, *args: Any) -> None:
        """The log is `DemoSite.visits`; nothing is printed."""
