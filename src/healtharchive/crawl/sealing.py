"""From an open WARC to a sealed one, in steps of which each may be the last before a crash.

    1  everything synced        a crash leaves an open file: recovery adopts, cuts and seals it
    2  linked to its name       both names, one file: the open one is removed
    3  open name removed        sealed but not listed: its line is written
    4  listed in the manifest   done; sealing again changes nothing

A name in the target directory is never overwritten: an open file whose final name is taken by another file is refused.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from healtharchive.crawl.engine import MANIFEST_FILE
from healtharchive.errors import Refused
from healtharchive.host.files import sync_directory
from healtharchive.storage.model import SealedWarc
from healtharchive.warc.writer import WarcFile, walk

__all__ = ["OPEN_SUFFIX", "SealedWarc", "publish", "read_manifest", "repair_manifest", "seal_file"]

OPEN_SUFFIX: Final = ".open"

Now = Callable[[], datetime]


def _utc_now() -> datetime:
    return datetime.now(UTC)


def publish(open_path: Path, target_dir: Path, sealed: SealedWarc) -> SealedWarc:
    """Steps 2 to 4 for a file whose content is complete and synced. Returns the manifest's line, an earlier one if there is one.

    Raises Refused if another file has the name, OSError.
    """
    target_dir.mkdir(parents=True, exist_ok=True)
    target = target_dir / sealed.name
    if open_path.exists():
        try:
            os.link(open_path, target)
        except FileExistsError:
            if not open_path.samefile(target):
                raise Refused(
                    f"Another {target.name} exists already: {open_path.name} was left as it is, nothing was overwritten.",
                    hint="Two attempts used one name and fence: look at both files before anything else.",
                ) from None
        sync_directory(target_dir)
        open_path.unlink()
        sync_directory(open_path.parent)
    elif not target.exists():
        raise FileNotFoundError(f"neither {open_path} nor {target} exists")
    listed = {line.name: line for line in read_manifest(target_dir)}
    if sealed.name in listed:
        return listed[sealed.name]
    _list(target_dir, [sealed])
    return sealed


def seal_file(
    open_path: Path, target_dir: Path, *, fence: int, record_count: int | None = None, now: Now = _utc_now
) -> SealedWarc:
    """Seal what a process that is no more left open, under a newer `fence`. Continues where a crash ended an earlier sealing.

    The file must have been cut behind its last complete record. Its records are counted unless the caller did. Raises Locked if
    its writer lives, Refused, OSError.
    """
    name = open_path.name.removesuffix(OPEN_SUFFIX)
    if open_path.exists():
        file = WarcFile.adopt(open_path)
        try:
            count = sum(1 for _ in walk(open_path)) if record_count is None else record_count
            file.sync()
            return publish(open_path, target_dir, SealedWarc(name, file.size_bytes, file.sha256, count, fence, now()))
        finally:
            file.close()
    repair_manifest(target_dir, fence=fence, now=now)
    for line in read_manifest(target_dir):
        if line.name == name:
            return line
    raise FileNotFoundError(f"neither {open_path} nor {target_dir / name} exists")


def read_manifest(target_dir: Path) -> list[SealedWarc]:
    """The complete lines of the manifest, in order; none if there is no manifest. A half-written last line does not count."""
    try:
        data = (target_dir / MANIFEST_FILE).read_bytes()
    except FileNotFoundError:
        return []
    return [_sealed(json.loads(line)) for line in data[: data.rfind(b"\n") + 1].splitlines()]


def repair_manifest(target_dir: Path, *, fence: int, now: Now = _utc_now) -> list[SealedWarc]:
    """Write the lines that a crash between renaming and listing left out; returns them. Idempotent."""
    listed = {line.name for line in read_manifest(target_dir)}
    missing = []
    for path in sorted(target_dir.glob("*.warc.gz")):
        if path.name not in listed:
            file = WarcFile.adopt(path)
            try:
                count = sum(1 for _ in walk(path))
                missing.append(SealedWarc(path.name, file.size_bytes, file.sha256, count, fence, now()))
            finally:
                file.close()
    if missing:
        _list(target_dir, missing)
    return missing


def _list(target_dir: Path, lines: list[SealedWarc]) -> None:
    """Append to the manifest, durably, over a line that a crash left half-written."""
    path = target_dir / MANIFEST_FILE
    is_new = not path.exists()
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    with os.fdopen(descriptor, "r+b") as file:
        file.seek(file.read().rfind(b"\n") + 1)
        file.truncate()
        file.write(b"".join(_line(sealed) for sealed in lines))
        file.flush()
        os.fsync(file.fileno())
    if is_new:
        sync_directory(target_dir)


def _line(sealed: SealedWarc) -> bytes:
    return json.dumps({**asdict(sealed), "sealed_at": sealed.sealed_at.isoformat()}, ensure_ascii=False).encode() + b"\n"


def _sealed(data: dict[str, Any]) -> SealedWarc:
    return SealedWarc(**{**data, "sealed_at": datetime.fromisoformat(data["sealed_at"])})
