"""`progress.jsonl`: what an engine reports, one JSON object a line, for whoever supervises it."""

from __future__ import annotations

import json
import os
from pathlib import Path

from healtharchive.crawl.engine import PROGRESS_FILE, End
from healtharchive.host import Clock

_BALLAST_FILE = ".ballast"
_BALLAST_BYTES = 16_384


class Progress:
    """Appends events. A line is one write, so that a reader sees it whole or, after a death, cut at the very end.

    Some bytes are set aside beside it, and given back for the last line: a full disk must not keep an engine from saying so.
    """

    def __init__(self, directory: Path, clock: Clock) -> None:
        self._clock = clock
        self._file = os.open(directory / PROGRESS_FILE, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
        self._ballast = directory / _BALLAST_FILE
        self._ballast.write_bytes(b"\0" * _BALLAST_BYTES)

    def write(self, event: str, **data: object) -> None:
        """Raises OSError."""
        at = self._clock.now().isoformat(timespec="milliseconds")
        line = json.dumps({"event": event, "at": at, **data}, ensure_ascii=False).encode("utf-8", "replace") + b"\n"
        os.write(self._file, line)

    def finding(self, kind: str, message: str, url: str = "") -> None:
        self.write("finding", kind=kind, message=message[:1000], url=url)

    def end(self, end: End, reason: str, errno: int | None, counts: dict[str, int]) -> None:
        """The last line, synced."""
        self._ballast.unlink(missing_ok=True)
        self.write("ended", end=end, reason=reason, errno=errno, counts=counts)
        os.fsync(self._file)

    def close(self) -> None:
        self._ballast.unlink(missing_ok=True)
        os.close(self._file)
