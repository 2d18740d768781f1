"""Headers that say of when and of what a copy is (RFC 7089). Pure."""

from __future__ import annotations

from datetime import datetime
from email.utils import format_datetime

from healtharchive.access.model import Capture
from healtharchive.web.asked import Asked
from healtharchive.web.links import Links


def memento(links: Links, asked: Asked, capture: Capture) -> dict[str, str]:
    """`Memento-Datetime`, the original, and the address that means exactly this copy."""
    modifier = "" if asked.form == "page" else "ir_"
    return {
        "Memento-Datetime": http_date(capture.captured_at),
        "Link": f'<{link_target(capture.url)}>; rel="original"',
        "Content-Location": f"{links.replay}/{capture.source}/{capture.timestamp}{modifier}/{capture.url}",
    }


def http_date(at: datetime) -> str:
    """`Fri, 03 Jan 2025 15:04:05 GMT`"""
    return format_datetime(at.replace(microsecond=0), usegmt=True)


def link_target(url: str) -> str:
    """A URL as it may stand between the angle brackets of a Link header."""
    return url.replace("<", "%3C").replace(">", "%3E")


def latin(headers: dict[str, str]) -> dict[str, str]:
    """Headers as HTTP can carry them; what a site sent in other letters is not worth failing for."""
    return {name: value.encode("latin-1", "replace").decode("latin-1") for name, value in headers.items()}
