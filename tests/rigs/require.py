"""What a drill needs from the machine: present, or a skip that names the Debian package; in CI a failure.

A drill that quietly does not run proves nothing, so that `CI=true` forbids skipping (design.md, section 12).
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import NoReturn

import pytest


def require(component: str | Path, package: str) -> Path:
    """The path of a program (looked up in PATH and in /usr/sbin) or of a file or directory.

    `package` is what to install, as a person would say it: a Debian package, or a command of this repository. If the component is
    missing, the test fails where `CI=true` and is skipped elsewhere.
    """
    path = _find(component)
    return path if path is not None else missing(str(component), package)


def missing(component: str, package: str) -> NoReturn:
    """Skip, or fail in CI, because `component` is not there."""
    how = package if " " in package else f"apt-get install {package}"
    message = f"{component} is missing: {how}"
    if os.environ.get("CI", "").lower() == "true":
        pytest.fail(f"{message} (CI=true: no drill may be skipped)", pytrace=False)
    pytest.skip(f"NOT RUN, {message}")


def _find(component: str | Path) -> Path | None:
    if isinstance(component, Path) or os.sep in component:
        path = Path(component)
        return path if path.exists() else None
    # An ordinary user's PATH lacks the directory of servers.
    found = shutil.which(component) or shutil.which(component, path="/usr/sbin:/sbin")
    return Path(found) if found else None


def peer(program: str) -> Path:
    """A program of the judges' virtual environment (requirements/peers.txt).

    It lies where HEALTHARCHIVE_TEST_PEERS says, else in `.cache/peers` of this repository, where `make peers` makes it.
    """
    named = os.environ.get("HEALTHARCHIVE_TEST_PEERS")
    directory = Path(named) if named else Path(__file__).parents[2] / ".cache" / "peers"
    return require(directory / "bin" / program, "make peers")


def require_root(what: str) -> None:
    """Skip where the drill has to make namespaces or file systems and may not."""
    if os.geteuid() != 0:
        pytest.skip(f"NOT RUN, {what} need root")
