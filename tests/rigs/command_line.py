"""Runs commands: in this process for their answers, as a process where the process itself is what matters."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from healtharchive.cli.main import main


@dataclass(frozen=True)
class Ended:
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """The one object on standard output."""
        return json.loads(self.out)

    @property
    def error(self) -> Any:
        """The one object on standard error."""
        return json.loads(self.err)


def command(*words: str | Path) -> Ended:
    """Run a command in this process."""
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        code = main([str(word) for word in words])
    return Ended(code, out.getvalue(), err.getvalue())


def process(*words: str | Path, timeout: float = 60, cwd: Path | None = None, **environ: str) -> Ended:
    """Run a command as a process of its own, without an instance in its environment unless one is named."""
    env = {name: value for name, value in os.environ.items() if not name.startswith("HEALTHARCHIVE_")} | environ
    done = subprocess.run(
        [sys.executable, "-m", "healtharchive.cli", *(str(word) for word in words)],
        capture_output=True,
        text=True,
        timeout=timeout,
        cwd=cwd,
        env=env,
        check=False,
    )
    return Ended(done.returncode, done.stdout, done.stderr)
