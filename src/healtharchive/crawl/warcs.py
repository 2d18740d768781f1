"""The WARCs of an attempt, one after another: names that were never used, and who made them."""

from __future__ import annotations

from pathlib import Path

from healtharchive.crawl.engine import MANIFEST_FILE, OPEN_DIR, WARC_DIR, AttemptSpec
from healtharchive.crawl.recorder import Recorder


class Warcs:
    """Opens the next WARC."""

    def __init__(self, spec: AttemptSpec, job: Path, *, software: str, hostname: str) -> None:
        self._spec = spec
        self._job = job
        self._software = software
        self._hostname = hostname
        self._serial = _last_serial(job, spec)

    def open(self) -> Recorder:
        """Raises OSError."""
        self._serial += 1
        spec = self._spec
        warcinfo = {
            "software": self._software,
            "format": "WARC File Format 1.1",
            "conformsTo": "http://iipc.github.io/warc-specifications/specifications/warc-format/warc-1.1/",
            "isPartOf": f"{spec.source}, job {spec.job_id}, attempt {spec.attempt}",
            "operator": spec.operator,
            "hostname": self._hostname,
            "robots": spec.profile.robots,
            "http-header-user-agent": spec.profile.user_agent,
        }
        return Recorder(
            self._job,
            prefix=spec.warc_prefix,
            fence=spec.fence,
            serial=self._serial,
            warcinfo={name: value for name, value in warcinfo.items() if value},
            fsync=spec.profile.fsync,
        )


def _last_serial(job: Path, spec: AttemptSpec) -> int:
    """The highest serial already used under our fence; a process that was started twice must not reuse a name."""
    stem = f"{spec.warc_prefix}-{spec.fence:06d}-"
    names = [path.name for folder in (OPEN_DIR, WARC_DIR) if (job / folder).is_dir() for path in (job / folder).iterdir()]
    serials = [name.removeprefix(stem).partition(".")[0] for name in names if name.startswith(stem) and name != MANIFEST_FILE]
    return max((int(serial) for serial in serials if serial.isdigit()), default=0)
