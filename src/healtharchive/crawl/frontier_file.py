"""The frontier's file: its tables, the fence in it, and transactions that look at the fence first.

Urls are the rows of `url`. `next_try` 0 is "at once"; 1 and above is an instant (epoch seconds) before which a URL waits.
`record` is 1 for a response, 2 for a revisit. States are stored as their place in `UrlState`: 0 is pending.
"""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Final

from healtharchive.crawl.ledger import CODE
from healtharchive.errors import StaleFence, StorageUnavailable

SCHEMA_VERSION: Final = 1
CACHE_KIB: Final = 32_768

_SCHEMA: Final = (
    """CREATE TABLE meta (name TEXT PRIMARY KEY, value) WITHOUT ROWID""",
    """CREATE TABLE host (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE)""",
    """CREATE TABLE warc (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, committed_length INTEGER NOT NULL,
      responses INTEGER NOT NULL, sealed INTEGER NOT NULL DEFAULT 0)""",
    """CREATE TABLE robots (origin TEXT PRIMARY KEY, status INTEGER, body BLOB NOT NULL, fetched_at REAL NOT NULL)
      WITHOUT ROWID""",
    """CREATE TABLE tally (state INTEGER PRIMARY KEY, urls INTEGER NOT NULL)""",
    """CREATE TABLE balance (only INTEGER PRIMARY KEY CHECK (only = 1), recorded INTEGER NOT NULL,
      superseded INTEGER NOT NULL)""",
    """CREATE TABLE url (
      id INTEGER PRIMARY KEY, key BLOB NOT NULL UNIQUE, url TEXT NOT NULL, host INTEGER NOT NULL, state INTEGER NOT NULL,
      hop TEXT NOT NULL, hops INTEGER NOT NULL, embeds INTEGER NOT NULL, redirects INTEGER NOT NULL, via INTEGER,
      attempt INTEGER NOT NULL, reason TEXT NOT NULL, rule TEXT NOT NULL,
      tries INTEGER NOT NULL DEFAULT 0, interrupted INTEGER NOT NULL DEFAULT 0, next_try REAL NOT NULL DEFAULT 0,
      status INTEGER, record INTEGER NOT NULL DEFAULT 0, warc INTEGER, offset INTEGER, length INTEGER, digest BLOB,
      payload_size INTEGER, captured_at TEXT)""",
    """CREATE INDEX queue ON url (host) WHERE state = 0 AND next_try = 0""",
    """CREATE INDEX waiting ON url (next_try) WHERE state = 0 AND next_try > 0""",
    """CREATE INDEX seeds ON url (hop) WHERE hop = 'S'""",
    """CREATE INDEX payload ON url (substr(digest, 1, 16)) WHERE record = 1""",
    """CREATE TRIGGER found AFTER INSERT ON url BEGIN
      UPDATE tally SET urls = urls + 1 WHERE state = new.state; END""",
    """CREATE TRIGGER moved AFTER UPDATE OF state ON url WHEN old.state <> new.state BEGIN
      UPDATE tally SET urls = urls - 1 WHERE state = old.state;
      UPDATE tally SET urls = urls + 1 WHERE state = new.state; END""",
    """CREATE TRIGGER recorded AFTER UPDATE OF record ON url BEGIN
      UPDATE balance SET recorded = recorded + (new.record > 0) - (old.record > 0),
        superseded = superseded + (new.record > 0 AND old.record > 0); END""",
)


class Fenced(StaleFence):
    """A newer attempt owns this frontier. Nothing was written."""


def connect(path: Path) -> sqlite3.Connection:
    """Transactions are ours to begin; which thread asks is ours to know."""
    return sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=10)


def open_file(path: Path, fence: int, *, sync: bool) -> sqlite3.Connection:
    """Create or check the file and put `fence` into it. Raises Fenced if it holds a newer one, StorageUnavailable."""
    db = connect(path)
    try:
        db.execute("PRAGMA journal_mode = WAL")
        db.execute(f"PRAGMA synchronous = {'FULL' if sync else 'OFF'}")
        db.execute(f"PRAGMA cache_size = -{CACHE_KIB}")
        _create_or_check(db, path, fence)
    except BaseException:
        db.close()
        raise
    return db


def _create_or_check(db: sqlite3.Connection, path: Path, fence: int) -> None:
    if db.execute("SELECT 1 FROM sqlite_master WHERE name = 'meta'").fetchone() is None:
        # One transaction: a death leaves the whole schema or none of it.
        with Transaction(db, None):
            for statement in _SCHEMA:
                db.execute(statement)
            db.executemany("INSERT INTO tally VALUES (?, 0)", [(code,) for code in CODE.values()])
            db.executemany("INSERT INTO meta VALUES (?, ?)", [("version", SCHEMA_VERSION), ("fence", fence)])
            db.execute("INSERT INTO balance VALUES (1, 0, 0)")
        return
    version = db.execute("SELECT value FROM meta WHERE name = 'version'").fetchone()
    if version is None or version[0] != SCHEMA_VERSION:
        raise StorageUnavailable(
            f"{path} is not a frontier that this version can read; nothing was changed.",
            found=f"version {version[0] if version else 'unknown'}",
            expected=f"version {SCHEMA_VERSION}",
        )
    with Transaction(db, None):
        db.execute("UPDATE meta SET value = ? WHERE name = 'fence' AND value < ?", (fence, fence))
        _check_fence(db, fence)


class Transaction:
    """BEGIN IMMEDIATE, the fence, the body, COMMIT; anything raised rolls back."""

    def __init__(self, db: sqlite3.Connection, fence: int | None) -> None:
        self._db = db
        self._fence = fence

    def __enter__(self) -> None:
        self._db.execute("BEGIN IMMEDIATE")
        try:
            if self._fence is not None:
                _check_fence(self._db, self._fence)
        except BaseException:
            self._db.execute("ROLLBACK")
            raise

    def __exit__(self, kind: object, value: object, trace: object) -> None:
        if kind is None:
            try:
                self._db.execute("COMMIT")
            except BaseException:
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
                raise
        elif self._db.in_transaction:  # a full disk may have rolled back by itself
            self._db.execute("ROLLBACK")


def _check_fence(db: sqlite3.Connection, fence: int) -> None:
    stored = db.execute("SELECT value FROM meta WHERE name = 'fence'").fetchone()[0]
    if stored != fence:
        raise Fenced(f"Attempt with fence {fence} is overtaken: the frontier belongs to fence {stored}. Nothing was written.")
