"""An instance: one archive's directory, with its settings, its database and its machine.

It is found by `--instance DIR`, else `HEALTHARCHIVE_INSTANCE`, else the working directory and its parents, else
`/etc/healtharchive`. If there is none, every command says so; nothing is ever used in its place.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from healtharchive.db import Database
from healtharchive.errors import ConfigurationError, NotInitialised, StorageUnavailable
from healtharchive.host import Host, this_host
from healtharchive.host.files import create_exclusively
from healtharchive.settings import CONFIG_NAME, Origin, Settings, load

SYSTEM_INSTANCE = Path("/etc/healtharchive")
DEFAULT_DATABASE = "sqlite:///archive.sqlite3"


@dataclass(frozen=True)
class Instance:
    """What every command works on."""

    root: Path
    settings: Settings
    origins: tuple[Origin, ...]
    db: Database
    host: Host

    @property
    def jobs_root(self) -> Path:
        return self.root / self.settings.paths.jobs

    @property
    def search_root(self) -> Path:
        return self.root / self.settings.paths.search

    def close(self) -> None:
        self.db.close()


def find_instance(explicit: Path | None = None, environ: Mapping[str, str] | None = None, cwd: Path | None = None) -> Path:
    """The directory of the instance, by the order of this module's docstring. Raises NotInitialised (exit 10)."""
    env = os.environ if environ is None else environ
    named = explicit or (Path(env["HEALTHARCHIVE_INSTANCE"]) if env.get("HEALTHARCHIVE_INSTANCE") else None)
    if named is not None:
        root = named.absolute()
        if _has_config(root):
            return root
        raise NotInitialised(f"No instance in {root}: {CONFIG_NAME} is missing.", hint=f"Create one: healtharchive init {root}")
    here = (cwd or Path.cwd()).absolute()
    for candidate in (here, *here.parents, SYSTEM_INSTANCE):
        if os.path.isfile(candidate / CONFIG_NAME):  # unlike Path.is_file, a directory we may not enter is just not one
            return candidate
    raise NotInitialised(
        f"No instance found: no {CONFIG_NAME} in {here}, its parents or {SYSTEM_INSTANCE}.",
        hint="Create one: healtharchive init DIR, or name one: --instance DIR",
    )


def open_instance(explicit: Path | None = None, *, check_revision: bool = True) -> Instance:
    """Find, load and connect. Refuses another schema revision in one sentence (exit 13)."""
    root = find_instance(explicit)
    settings, origins = load(root)
    database = Database(settings.database.url, root=root)
    if check_revision:
        _require_present(database)
        database.require_head()
    return Instance(root, settings, tuple(origins), database, this_host())


def create_instance(root: Path, database_url: str = DEFAULT_DATABASE) -> Instance:
    """Make the directory, the configuration and the schema. Refuses to touch an existing instance.

    Raises ConfigurationError if there is one already, StorageUnavailable if the directory cannot be written.
    """
    root = root.absolute()
    if _has_config(root):
        raise ConfigurationError(f"There is an instance in {root} already.", hint="Nothing was changed.")
    database = Database(database_url, root=root)  # an unusable URL must fail before anything is written
    try:
        root.mkdir(parents=True, exist_ok=True)
        (root / "jobs").mkdir(exist_ok=True)
        (root / "search").mkdir(exist_ok=True)
        probe = root / f".{CONFIG_NAME}.new"
        probe.unlink(missing_ok=True)
        create_exclusively(probe, _config_text(database_url).encode())
    except OSError as error:
        raise StorageUnavailable(f"{root} cannot be written: {error.strerror}.", hint="Nothing was created.") from error
    try:
        database.migrate()
        probe.rename(root / CONFIG_NAME)  # last, so that a half-made instance is not an instance
    finally:
        probe.unlink(missing_ok=True)
        database.close()
    return open_instance(root)


def _has_config(root: Path) -> bool:
    """Whether the named directory holds an instance. Raises StorageUnavailable if that cannot be seen."""
    try:
        (root / CONFIG_NAME).lstat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError as error:
        raise StorageUnavailable(f"{root} cannot be read: {error.strerror}.", hint="Nothing was changed.") from error
    return True


def _require_present(database: Database) -> None:
    """A SQLite file that is gone must not come back empty by being opened."""
    path = database.url.database
    if database.dialect == "sqlite" and path is not None and not Path(path).exists():
        raise StorageUnavailable(
            f"The database {path} is missing.", hint="Restore it from a backup; nothing was created in its place."
        )


def _config_text(database_url: str) -> str:
    escaped = database_url.replace("\\", "\\\\").replace('"', '\\"')
    return f"""# HealthArchive instance. Every setting, its value and where it comes from: healtharchive config show --origin
[database]
url = "{escaped}"
"""
