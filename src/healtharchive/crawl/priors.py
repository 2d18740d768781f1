"""What the last edition captured, read from the `prior.sqlite3` that the supervisor left: digests and validators, by URL."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

from healtharchive.crawl.recorder import PriorCapture
from healtharchive.warc.urls import url_key


class Priors:
    """Read only. Raises sqlite3.Error if the file is damaged."""

    def __init__(self, path: Path) -> None:
        self._db = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, isolation_level=None, check_same_thread=False)

    def get(self, url: str) -> PriorCapture | None:
        """The last capture of a URL, None if there is none."""
        row = self._db.execute(
            "SELECT url, captured_at, payload_digest, etag, last_modified, record_id FROM prior WHERE url_key = ?",
            (url_key(url),),
        ).fetchone()
        if row is None or not row[2]:
            return None
        return PriorCapture(row[0], datetime.fromisoformat(row[1]), *row[2:])

    def urls(self) -> Iterator[str]:
        """Every URL captured."""
        for (url,) in self._db.execute("SELECT url FROM prior ORDER BY url_key"):
            yield url

    def close(self) -> None:
        self._db.close()
