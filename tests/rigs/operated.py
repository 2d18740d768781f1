"""An archive driven as its operator drives it: by the command line, in processes of their own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.rigs.require import require

from healtharchive.instance import Instance, open_instance

COMMAND_SECONDS = 240


@dataclass(frozen=True)
class Operated:
    """An instance directory and its command line."""

    root: Path

    @classmethod
    def create(cls, root: Path) -> Operated:
        archive = cls(root)
        archive._command("init", str(root))
        return archive

    def run(self, *arguments: str) -> str:
        """What a command prints on standard output. An exit code but 0 fails the test with all that was printed and logged."""
        return self._command("--instance", str(self.root), *arguments)

    def capture(self, url: str, source: str) -> None:
        """Crawl a loopback site as fast as it answers, and index it."""
        fast = ("--delay-ms", "0", "--connections", "8")
        self.run("archive", url, "--source", source, "--allow-private", "--ignore-robots", *fast)

    @contextmanager
    def opened(self) -> Iterator[Instance]:
        instance = open_instance(self.root)
        try:
            yield instance
        finally:
            instance.close()

    def warcs(self) -> list[Path]:
        """Every WARC that is in some job's directory of sealed WARCs, in the order of their names."""
        return sorted((self.root / "jobs").rglob("warcs/*.warc.gz"))

    def _command(self, *arguments: str) -> str:
        program = require(Path(sys.executable).with_name("healtharchive"), "the package itself: make setup")
        done = subprocess.run(
            [program, *arguments],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=COMMAND_SECONDS,
            env={name: value for name, value in os.environ.items() if not name.startswith("HEALTHARCHIVE_")},
            check=False,
        )
        printed = f"{done.stdout[-3000:]}\n{done.stderr[-3000:]}\n{self._logs()}"
        assert done.returncode == 0, f"{arguments} ended with {done.returncode}\n{printed}"
        return done.stdout

    def _logs(self) -> str:
        logs = sorted((self.root / "jobs").rglob("engine.log"))
        return "\n".join(f"{log.relative_to(self.root)}:\n{log.read_text(errors='replace')[-3000:]}" for log in logs)
