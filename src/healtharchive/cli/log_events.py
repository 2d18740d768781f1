"""Log events on standard error: `2026-01-24T06:28:02Z WARNING attempt.parked job=7 attempt=3 class=infra ...`.

An event is a name and fields on one line, so that grep and journald both work; with `--json` each line is an object.
"""

from __future__ import annotations

import logging
import os
import sys
from datetime import UTC, datetime

from healtharchive.cli.main import DEBUG_VARIABLE
from healtharchive.cli.render import printable, to_json
from healtharchive.errors import HealthArchiveError

ROOT = "healtharchive"


def follow(*, as_json: bool, level: int = logging.INFO, without: tuple[str, ...] = ()) -> None:
    """Send log events of this program to standard error, except those whose name is in `without`."""
    handler = _ToStandardError()
    handler.setFormatter(_Lines(as_json=as_json))
    handler.addFilter(lambda record: record.getMessage().partition(" ")[0] not in without)
    logger = logging.getLogger(ROOT)
    logger.handlers[:] = [handler]
    logger.setLevel(level)
    logger.propagate = False


class _ToStandardError(logging.Handler):
    """Looks the stream up at each line: a live display stands in for it while it runs."""

    def emit(self, record: logging.LogRecord) -> None:
        try:
            sys.stderr.write(self.format(record) + "\n")
            sys.stderr.flush()
        except BrokenPipeError:
            return  # nobody reads; the work goes on


class _Lines(logging.Formatter):
    def __init__(self, *, as_json: bool) -> None:
        super().__init__()
        self._as_json = as_json

    def format(self, record: logging.LogRecord) -> str:
        at = datetime.fromtimestamp(record.created, UTC)
        message = record.getMessage()
        event, _, text = message.partition(" ")
        if self._as_json:
            line = to_json({"at": at, "level": record.levelname, "event": event.rstrip(":"), "text": text})
        else:
            line = f"{at:%Y-%m-%dT%H:%M:%SZ} {record.levelname} {printable(message)}"
        # A traceback is for faults of ours and for whoever debugs: a full disk says all it has to say in its sentence.
        error = record.exc_info[1] if record.exc_info else None
        if isinstance(error, HealthArchiveError) and not os.environ.get(DEBUG_VARIABLE):
            return line if self._as_json else f"{line}: {printable(str(error))}"
        if record.exc_info and (os.environ.get(DEBUG_VARIABLE) or record.levelno >= logging.ERROR):
            line += "\n" + self.formatException(record.exc_info)
        return line
