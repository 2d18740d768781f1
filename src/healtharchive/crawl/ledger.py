"""A frontier read from outside, whoever runs or ran it: nothing is changed, not a byte."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from healtharchive.crawl.engine import UrlState
from healtharchive.errors import StorageUnavailable

STATES = tuple(UrlState)  # a state is stored as its place in this order
CODE = {state: code for code, state in enumerate(STATES)}


@dataclass(frozen=True)
class FrontierUrl:
    """A row for people and tests."""

    url: str
    state: UrlState
    reason: str
    rule: str
    hop: str
    hops: int
    via: str | None
    attempt: int
    tries: int
    status: int | None
    warc: str | None
    offset: int | None
    length: int | None
    digest: str | None
    captured_at: str | None


def ledger(path: Path) -> dict[str, int]:
    """URLs by state of any job's frontier, read without changing a byte; empty if there is no frontier. Zeros are left out."""
    with _reading(path) as db:
        if db is None:
            return {}
        return {STATES[code]: urls for code, urls in db.execute("SELECT state, urls FROM tally WHERE urls > 0 ORDER BY state")}


def urls(path: Path, state: UrlState | None = None) -> Iterator[FrontierUrl]:
    """Every URL, or those in one state, in the order in which they were found."""
    with _reading(path) as db:
        if db is None:
            return
        sql = """SELECT u.url, u.state, u.reason, u.rule, u.hop, u.hops, v.url, u.attempt, u.tries, u.status, w.name, u.offset,
          u.length, 'sha256:' || lower(hex(u.digest)), u.captured_at
          FROM url u LEFT JOIN url v ON v.id = u.via LEFT JOIN warc w ON w.id = u.warc
          WHERE ? IS NULL OR u.state = ? ORDER BY u.id"""
        code = None if state is None else CODE[state]
        for row in db.execute(sql, (code, code)):
            yield FrontierUrl(row[0], STATES[row[1]], *row[2:])


def warc_lengths(path: Path) -> dict[str, int]:
    """Committed length of each WARC of a job, by name."""
    with _reading(path) as db:
        return {} if db is None else dict(db.execute("SELECT name, committed_length FROM warc"))


@contextmanager
def _reading(path: Path) -> Iterator[sqlite3.Connection | None]:
    """A read-only connection, None if there is no file. A copy on a read-only file system is read as it lies."""
    if not path.exists():
        yield None
        return
    address = path.absolute().as_uri()
    db = sqlite3.connect(f"{address}?mode=ro", uri=True, timeout=10)
    try:
        try:
            db.execute("SELECT 1 FROM meta").fetchone()
        except sqlite3.OperationalError:
            # WAL needs a shared-memory file beside it; where none can be made, an orderly closed frontier has no log to miss.
            if path.with_name(path.name + "-wal").exists():
                raise
            db.close()
            db = sqlite3.connect(f"{address}?immutable=1", uri=True)
        yield db
    except sqlite3.DatabaseError as error:
        # Whatever SQLite says of a file that it was only asked to read is about the file or its disk.
        raise StorageUnavailable(f"The frontier {path} cannot be read: {error}.", hint="Nothing was changed.") from error
    finally:
        db.close()


def states_of(counts: Mapping[str, int]) -> str:
    """The equation that is printed wherever completeness is claimed: `40 found = 36 captured + 2 gone + 2 excluded`."""
    parts = [f"{urls} {state}" for state, urls in counts.items() if urls]
    return f"{sum(counts.values())} found = {' + '.join(parts) or '0'}"
