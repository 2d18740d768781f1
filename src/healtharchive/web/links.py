"""Addresses of our own pages, on both origins: the one place that knows how they are written. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlencode

from healtharchive.access.model import Capture
from healtharchive.web.i18n import Code

PLAIN_MODIFIER: Final = "nj_"
"""Of the view without scripts: no JavaScript."""

RESERVED: Final = "-"
"""First path segment of what is ours on the replay origin. No source can be called so."""


@dataclass(frozen=True)
class Links:
    """`public` and `replay` are origins without a slash at the end; relative links have none."""

    public: str
    replay: str

    def home(self, code: Code) -> str:
        return f"{self.public}/{code}/"

    def search(self, code: Code, parameters: Iterable[tuple[str, str]] = ()) -> str:
        return f"{self.public}/{code}/search{_query(parameters)}"

    def history(self, code: Code, url: str, source: str | None = None) -> str:
        parameters = [("url", url)] + ([("source", source)] if source else [])
        return f"{self.public}/{code}/history{_query(parameters)}"

    def snapshot(self, code: Code, capture_id: int) -> str:
        return f"{self.public}/{code}/snapshot/{capture_id}"

    def page(self, code: Code, name: str) -> str:
        return f"{self.public}/{code}/{name}"

    def record(self, capture_id: int) -> str:
        return f"{self.public}/api/v1/captures/{capture_id}/record"

    def copy(self, code: Code, capture: Capture, *, plain: bool = False) -> str:
        """The player's page of a capture, as a reader cites it."""
        return self.copy_at(code, capture.source, capture.timestamp, capture.url, plain=plain)

    def copy_at(self, code: Code, collection: str, timestamp: str, url: str, *, plain: bool = False) -> str:
        return f"{self.replay}/{code}/{collection}/{timestamp}{PLAIN_MODIFIER if plain else ''}/{url}"

    def plain_part(self, code: Code, collection: str, timestamp: str, url: str) -> str:
        """A page or a part of one without scripts, as the frame shows it."""
        return f"{self.replay}/{RESERVED}/plain/{code}/{collection}/{timestamp}/{url}"

    def document(self, code: Code, collection: str, timestamp: str, url: str) -> str:
        """A document for the browser's own viewer, or a file to download."""
        return f"{self.replay}/{RESERVED}/document/{code}/{collection}/{timestamp}/{url}"

    def framed(self, collection: str, timestamp: str, url: str) -> str:
        """What the player's worker answers for; a browser without it is sent to the view without scripts."""
        return f"{self.replay}/{collection}/{timestamp}mp_/{url}"


def _query(parameters: Iterable[tuple[str, str]]) -> str:
    pairs = [(name, value) for name, value in parameters if value]
    return f"?{urlencode(pairs)}" if pairs else ""
