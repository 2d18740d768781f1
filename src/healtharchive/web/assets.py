"""Fetch what replay needs from npm: `python -m healtharchive.web.assets`, run once at set-up.

One file is wanted: `sw.js` of the package replaywebpage, unmodified, with its licence and a note where its source is. It is never
committed; `make`, the wheel build and a person run this module. The lock file names that one package with its digest and leaves
out what only its desktop window needs, so that npm fetches one file (docs/decisions/0060-one-file-from-npm.md).
Without npm nothing fails: replay then offers the view without scripts, and `missing()` says what to install.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from healtharchive.errors import ConfigurationError, HealthArchiveError, StorageUnavailable

PACKAGE = "replaywebpage"
VERSION = "2.5.3"
SW_SHA256 = "29a833e871e2f9b7f135f5b86bba0476b69ad975c129c2473ff5055f73f5a2d0"
NPM_SECONDS = 300

_HERE = Path(__file__).parent
FRONTEND = _HERE / "frontend"
VENDOR = _HERE / "static" / "vendor"

_SOURCE_NOTE = f"""sw.js is part of {PACKAGE} {VERSION} (wabac.js 2.27.2), copyright Webrecorder Software, unmodified.
Licence: GNU Affero General Public License, version 3 or later; its text is in LICENSE beside this file.
Source: https://github.com/webrecorder/replayweb.page (tag v{VERSION}) and https://github.com/webrecorder/wabac.js
SHA-256: {SW_SHA256}
"""


class AssetsMissing(HealthArchiveError):
    """The player could not be fetched. Everything else works; replay shows pages without their scripts."""


def player(directory: Path = VENDOR) -> Path | None:
    """The service worker if it is there and is exactly the pinned one, else None."""
    path = directory / "sw.js"
    try:
        return path if _sha256(path) == SW_SHA256 else None
    except OSError:
        return None


def missing() -> str | None:
    """What is missing for replay with scripts and how to get it, None if nothing is."""
    if player() is not None:
        return None
    install = "python -m healtharchive.web.assets"
    if shutil.which("npm") is None:
        return f"Replay shows pages without their scripts: npm is missing. Install it (apt install nodejs npm), then: {install}"
    return f"Replay shows pages without their scripts: the player is not installed. Install it: {install}"


def install(directory: Path = VENDOR, *, npm: str | None = None) -> Path:
    """Let npm fetch the locked package into a temporary directory, check the digest, and put the player in place.

    Does nothing if the pinned file is there already. Raises AssetsMissing if npm is absent or fails, ConfigurationError if what
    it brought is not the pinned file (nothing is installed then), StorageUnavailable if `directory` cannot be written.
    """
    present = player(directory)
    if present is not None:
        return present
    program = npm or shutil.which("npm")
    if program is None:
        raise AssetsMissing("npm is missing.", hint="Install it: apt install nodejs npm. Replay works without scripts meanwhile.")
    with tempfile.TemporaryDirectory(prefix="healtharchive-npm-") as temporary:
        work = Path(temporary)
        for name in ("package.json", "package-lock.json", ".npmrc"):
            shutil.copyfile(FRONTEND / name, work / name)
        _npm_ci(program, work)
        package = work / "node_modules" / PACKAGE
        found = _sha256(package / "sw.js")
        if found != SW_SHA256:
            raise ConfigurationError(
                f"sw.js of {PACKAGE} {VERSION} is not the pinned file; nothing was installed.", found=found, expected=SW_SHA256
            )
        try:
            return _publish(package, directory)
        except OSError as error:
            raise StorageUnavailable(
                f"{directory} cannot be written: {error.strerror}.", hint="Nothing was installed."
            ) from error


def _npm_ci(program: str, work: Path) -> None:
    # Here and not through host.processes: a tool of the set-up, awaited with its output, that no running instance ever starts.
    command = [program, "ci", "--ignore-scripts", "--no-audit", "--no-fund"]
    try:
        done = subprocess.run(command, cwd=work, capture_output=True, text=True, timeout=NPM_SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise AssetsMissing(f"npm did not finish: {error}.", hint="Replay works without scripts meanwhile.") from error
    if done.returncode != 0:
        lines = (done.stderr or done.stdout).strip().splitlines()
        raise AssetsMissing(
            f"npm ended with {done.returncode}: {lines[-1] if lines else 'no message'}.",
            hint="Replay works without scripts meanwhile.",
        )


def _publish(package: Path, directory: Path) -> Path:
    directory.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(package / "LICENSE", directory / "LICENSE")
    (directory / "SOURCE.txt").write_text(_SOURCE_NOTE, encoding="utf-8")
    # The worker itself comes last and by rename: where it is, its licence is, and a server never reads half of it.
    beside = directory / f".sw.js.{os.getpid()}"
    shutil.copyfile(package / "sw.js", beside)
    os.replace(beside, directory / "sw.js")
    return directory / "sw.js"


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def main() -> int:
    """Exit 0 also without npm: set-up goes on, and says what is missing. Anything wrong with the file itself is an error."""
    try:
        path = install()
    except AssetsMissing as error:
        sys.stderr.write(f"note: the replay player was not installed. {error}\n")
        return 0
    except HealthArchiveError as error:
        sys.stderr.write(f"{error}\n")
        return int(error.exit_code)
    sys.stdout.write(f"{path} ({PACKAGE} {VERSION}, AGPL-3.0-or-later)\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
