"""One database, two dialects: transactions, the guarded write, the database's clock, the schema revision.

SQLite (WAL) and PostgreSQL give the same answers through the same statements. A write transaction takes its lock at once on
SQLite (`BEGIN IMMEDIATE`), so a transaction that reads and then writes cannot fail half-way with "database is locked".
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import event
from sqlalchemy.engine import URL, Connection, Dialect, Engine, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, OperationalError
from sqlalchemy.sql import Executable
from sqlalchemy.types import TypeDecorator

from healtharchive.errors import ConfigurationError, StaleFence, StorageUnavailable

metadata = sa.MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)

# 64-bit on PostgreSQL; SQLite only numbers rows by itself for its own INTEGER.
BigId = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
Json = sa.JSON(none_as_null=True)

_SQLITE_BUSY_SECONDS = 30
# A server that vanished without a word is noticed within half a lease, not after the two hours of TCP's own patience.
_POSTGRES_LIMITS = {
    "connect_timeout": 10,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 30_000,  # ms
}
_MIGRATIONS = Path(__file__).parent / "migrations"


class UtcDateTime(TypeDecorator[datetime]):
    """An aware UTC instant with microseconds. Naive values are a bug and are refused."""

    impl = sa.DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError(f"naive datetime {value!r}")
        value = value.astimezone(UTC)
        return value.replace(tzinfo=None) if dialect.name == "sqlite" else value

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


class Database:
    """A connected instance database. Threads may share it; a child process opens its own.

    `clock` stands in for the database's own clock (`now`) in simulations, where a year must pass in a second.
    """

    def __init__(self, url: str, *, root: Path | None = None, clock: Callable[[], datetime] | None = None) -> None:
        self.url = _resolve_url(url, root)
        self.engine = _make_engine(self.url)
        if clock is not None:
            self.engine.update_execution_options(simulated_clock=clock)

    @property
    def dialect(self) -> str:
        return self.engine.dialect.name

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A consistent snapshot of the database that cannot write."""
        with _clear_errors(self.url), self.engine.connect() as conn:
            if self.dialect == "postgresql":
                conn = conn.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
            with conn.begin() as transaction:
                yield conn
                transaction.rollback()

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """One write transaction: committed if the block ends, rolled back if it raises."""
        with _clear_errors(self.url), self.engine.connect() as conn:
            conn = conn.execution_options(begin_immediate=True)
            with conn.begin():
                yield conn

    def close(self) -> None:
        self.engine.dispose()

    # -- schema ------------------------------------------------------------------------------------------------------

    def head_revision(self) -> str:
        """The schema revision that this program was written for."""
        head = ScriptDirectory.from_config(_alembic_config()).get_current_head()
        assert head is not None
        return head

    def current_revision(self) -> str | None:
        """The schema revision of the database, None if it has no schema of ours."""
        with self.read() as conn:
            if not sa.inspect(conn).has_table("alembic_version"):
                return None
            return conn.execute(sa.text("SELECT version_num FROM alembic_version")).scalar()

    def require_head(self) -> None:
        """Raise ConfigurationError unless the database has exactly this program's schema revision (incident 2026-02-06)."""
        found, expected = self.current_revision(), self.head_revision()
        if found == expected:
            return
        shown = self.url.render_as_string(hide_password=True)
        if found is None:
            raise ConfigurationError(f"The database {shown} has no schema.", hint="Create it: healtharchive config migrate")
        raise ConfigurationError(
            f"The database {shown} has schema revision {found}, this program needs {expected}.",
            hint="Nothing was changed. If the program is newer: healtharchive config migrate; if older, upgrade it.",
        )

    def migrate(self) -> None:
        """Bring the schema to `head_revision()` in one transaction."""
        with self.write() as conn:
            config = _alembic_config()
            config.attributes["connection"] = conn
            command.upgrade(config, "head")


def now(conn: Connection) -> datetime:
    """The database's clock, aware UTC: leases of several hosts are compared by this one clock only."""
    simulated: Callable[[], datetime] | None = conn.get_execution_options().get("simulated_clock")
    if simulated is not None:
        return simulated()
    if conn.dialect.name == "postgresql":
        value = conn.execute(sa.text("SELECT clock_timestamp()")).scalar_one()
        assert isinstance(value, datetime)
        return value.astimezone(UTC)
    text = conn.execute(sa.text("SELECT strftime('%Y-%m-%dT%H:%M:%f', 'now')")).scalar_one()
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def guarded_update(conn: Connection, statement: Executable, *, what: str) -> None:
    """Execute an UPDATE or DELETE that must change exactly one row.

    Raises StaleFence otherwise; the caller's transaction is then rolled back by the exception, so nothing has changed.
    """
    changed = conn.execute(statement).rowcount
    if changed != 1:
        raise StaleFence(f"Not written: {what} is no longer held by this process ({changed} rows match).")


def _resolve_url(url: str, root: Path | None) -> URL:
    try:
        parsed = make_url(url)
    except ArgumentError as error:
        raise ConfigurationError(
            "database.url is not a database URL.", expected="sqlite:///archive.sqlite3 or postgresql://user@host/name"
        ) from error
    backend = parsed.get_backend_name()
    if backend == "postgresql":
        return parsed.set(drivername="postgresql+psycopg")
    if backend != "sqlite":
        raise ConfigurationError(f"Database '{backend}' is not supported.", expected="sqlite or postgresql")
    if not parsed.database or parsed.database == ":memory:":
        raise ConfigurationError("database.url names no SQLite file.", expected="sqlite:///archive.sqlite3")
    path = Path(parsed.database)
    if not path.is_absolute() and root is not None:
        path = root / path
    return parsed.set(drivername="sqlite", database=str(path))


def _make_engine(url: URL) -> Engine:
    serializer: dict[str, Any] = {"json_serializer": lambda value: json.dumps(value, ensure_ascii=False, sort_keys=True)}
    if url.get_backend_name() == "postgresql":
        return sa.create_engine(
            url, pool_pre_ping=True, pool_size=5, max_overflow=20, connect_args=_POSTGRES_LIMITS, **serializer
        )
    engine = sa.create_engine(url, connect_args={"timeout": _SQLITE_BUSY_SECONDS, "check_same_thread": False}, **serializer)

    @event.listens_for(engine, "connect")
    def _on_connect(dbapi_connection: Any, _record: object) -> None:
        dbapi_connection.isolation_level = None  # transactions are begun below, not guessed by the driver
        cursor = dbapi_connection.cursor()
        cursor.execute("PRAGMA journal_mode=WAL")
        cursor.execute("PRAGMA synchronous=FULL")
        cursor.execute("PRAGMA foreign_keys=ON")
        cursor.close()

    @event.listens_for(engine, "begin")
    def _on_begin(conn: Connection) -> None:
        immediate = conn.get_execution_options().get("begin_immediate", False)
        conn.exec_driver_sql("BEGIN IMMEDIATE" if immediate else "BEGIN")

    return engine


@contextmanager
def _clear_errors(url: URL) -> Iterator[None]:
    """Turn "the database cannot be reached or written" into one sentence; programming errors pass unchanged."""
    shown = url.render_as_string(hide_password=True)
    try:
        yield
    except OperationalError as error:
        reason = str(error.orig).strip().splitlines()[0] if error.orig else str(error)
        raise StorageUnavailable(f"The database {shown} cannot be used: {reason}.", hint="Nothing was changed.") from error
    except DBAPIError as error:
        if _is_damage(error.orig):
            hint = "Nothing was changed. Keep the file; restore a backup, or recover what can be read: sqlite3 FILE .recover"
            raise StorageUnavailable(f"The database {shown} is damaged: {error.orig}.", hint=hint) from error
        if not error.connection_invalidated:
            raise
        raise StorageUnavailable(f"The connection to {shown} was lost.", hint="The transaction was rolled back.") from error


def _is_damage(error: BaseException | None) -> bool:
    """Whether SQLite says that its file is not one, or not a sound one. The low byte is the code that extended ones refine."""
    return isinstance(error, sqlite3.Error) and error.sqlite_errorcode & 0xFF in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


def _alembic_config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS))
    return config
