"""What was captured before: the last edition, as the supervisor left it in `prior.sqlite3`, and this job's own payloads."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

from healtharchive.crawl.engine import CrawlProfile
from healtharchive.crawl.frontier import Frontier
from healtharchive.crawl.links import bears_links
from healtharchive.crawl.recorder import PriorCapture, Stored
from healtharchive.warc.urls import url_key

SHARED_PAYLOAD_BYTES_MIN = 256  # a shorter payload is stored again: the reference would be longer
RECENT_PAYLOADS_MAX = 4096


class Priors:
    """Read only. Raises sqlite3.Error if the file is damaged."""

    def __init__(self, path: Path) -> None:
        self._db = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, isolation_level=None, check_same_thread=False)

    def get(self, url: str) -> PriorCapture | None:
        """The last capture of a URL, None if there is none.

        Its validators are left out if the payload may bear links: a 304 has no body, so that what is linked only from an
        unchanged page would never be found. Such a page is fetched whole, and becomes a revisit by its digest.
        """
        row = self._db.execute(
            "SELECT url, captured_at, payload_digest, etag, last_modified, record_id, mime FROM prior WHERE url_key = ?",
            (url_key(url),),
        ).fetchone()
        if row is None or not row[2]:
            return None
        url_of_record, captured_at, digest, etag, last_modified, record_id, mime = row
        if bears_links(mime):
            etag = last_modified = None
        return PriorCapture(url_of_record, datetime.fromisoformat(captured_at), digest, etag, last_modified, record_id)

    def urls(self) -> Iterator[str]:
        """Every URL that ever answered, whatever it answered."""
        for (url,) in self._db.execute("SELECT url FROM known ORDER BY url"):
            yield url

    def close(self) -> None:
        self._db.close()


class Revisits:
    """Which capture an answer may refer to instead of being stored again."""

    def __init__(self, profile: CrawlProfile, frontier: Frontier, priors: Priors | None) -> None:
        self._priors = priors
        self._is_limited = profile.max_hops is not None or profile.max_pages is not None
        self._frontier = frontier
        self._recent: dict[str, tuple[str, str]] = {}

    def of_url(self, url: str) -> PriorCapture | None:
        """The last edition's capture of a URL."""
        return self._priors.get(url) if self._priors is not None else None

    def known_urls(self) -> Iterator[str]:
        """URLs of the last edition that this one asks for even if no page names them any more: what is gone shall be seen to be.

        None where hops or pages are limited, since it would defeat the limit.
        """
        return self._priors.urls() if self._priors is not None and not self._is_limited else iter(())

    def of_payload(self, digest: str, size: int) -> PriorCapture | None:
        """An earlier response of this job with the same payload, at whatever URL."""
        if size < SHARED_PAYLOAD_BYTES_MIN:
            return None
        same = self._recent.get(digest) or self._frontier.same_payload(bytes.fromhex(digest.removeprefix("sha256:")))
        return None if same is None else PriorCapture(same[0], datetime.fromisoformat(same[1]), digest)

    def remember(self, stored: Stored, url: str) -> None:
        """Keep the last responses' payloads, which may not be committed yet. In the file they precede what refers to them."""
        if stored.record_type != "response":
            return
        if len(self._recent) >= RECENT_PAYLOADS_MAX:
            self._recent.clear()
        self._recent[stored.payload_digest] = (url, stored.captured_at.isoformat())
