"""Small files written so that a reader sees the old or the new one whole, and a crash loses neither."""

from __future__ import annotations

import os
from pathlib import Path


def create_exclusively(path: Path, data: bytes, *, mode: int = 0o644) -> None:
    """Write a new file and sync it. Raises FileExistsError rather than overwrite."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    sync_directory(path.parent)


def replace_atomically(path: Path, data: bytes, *, mode: int = 0o644) -> None:
    """Write a file beside `path`, sync it and rename it over `path`."""
    beside = path.with_name(f".{path.name}.{os.getpid()}.new")
    beside.unlink(missing_ok=True)
    try:
        create_exclusively(beside, data, mode=mode)
        os.replace(beside, path)
    finally:
        beside.unlink(missing_ok=True)
    sync_directory(path.parent)


def rename_exclusively(source: Path, target: Path) -> None:
    """Publish `source` under a name that must not exist yet. Raises FileExistsError.

    A hard link refuses an existing name in one step, which rename(2) does not.
    """
    os.link(source, target)
    os.unlink(source)
    sync_directory(target.parent)


def sync_directory(path: Path) -> None:
    """Make creations, renames and deletions in a directory durable."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
