"""Exchanges made by hand, for tests that need no server."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from healtharchive.crawl.exchange import Body, Exchange
from healtharchive.crawl.wire import ResponseReader

MOMENT = datetime(2026, 1, 31, 10, 20, 30, 123456, tzinfo=UTC)


def exchange_from(
    data: bytes, *, url: str = "http://a.test/", spill: Path | None = None, after_seconds: float = 0.0, **changes: Any
) -> Exchange:
    """What a fetcher makes of a response whose bytes are `data`."""
    body = Body(spill)
    reader = ResponseReader(body.append, body_bytes_max=1 << 40)
    reader.feed(data)
    reader.end()
    parts: dict[str, Any] = {
        "url": url,
        "request": f"GET / HTTP/1.1\r\nHost: {url.split('/')[2]}\r\n\r\n".encode(),
        "head": reader.head,
        "body": body,
        "status": reader.status,
        "reason": reader.reason,
        "headers": reader.headers,
        "protocol": "http/1.1",
        "ip": "192.0.2.1",
        "started_at": MOMENT + timedelta(seconds=after_seconds),
        "elapsed_ms": 12.0,
        "interim": reader.interim,
        "truncated": reader.truncated,
    }
    return Exchange(**{**parts, **changes})


def page(body: bytes = b"<p>A page.</p>", headers: bytes = b"", **options: Any) -> Exchange:
    head = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: %d\r\n%s\r\n" % (len(body), headers)
    return exchange_from(head + body, **options)
