"""A web server of our own with archived sites in it, in a process of its own: `python -m tests.rigs.reading_room DIR`.

DIR becomes an instance with the exhibits; where both origins listen is written to DIR/serving.json. Ends on SIGTERM.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.rigs import exhibits

from healtharchive.instance import create_instance
from healtharchive.web.serve import Serving, serve

_ROOT = Path(__file__).parents[2]
_START_SECONDS = 60.0
_STOP_SECONDS = 20.0


@dataclass(frozen=True)
class ReadingRoom:
    """A running server. `public` and `replay` are its origins, `root` its instance."""

    public: str
    replay: str
    root: Path
    pid: int


@contextmanager
def reading_room(root: Path) -> Iterator[ReadingRoom]:
    """Start the server, wait until it listens, and at the end see it stop by itself."""
    log = root.parent / "web.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.rigs.reading_room", str(root)],
            cwd=_ROOT,
            env={**os.environ, "PYTHONPATH": f"{_ROOT / 'src'}{os.pathsep}{_ROOT}"},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        told = _wait(process, root / "serving.json", log)
        yield ReadingRoom(told["public_url"], told["replay_url"], root, process.pid)
        process.send_signal(signal.SIGTERM)
        code = process.wait(_STOP_SECONDS)
        assert code == 0, f"the server ended with {code}:\n{log.read_text()}"
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()


def _wait(process: subprocess.Popen[bytes], path: Path, log: Path) -> dict[str, str]:
    end = time.monotonic() + _START_SECONDS
    while time.monotonic() < end:
        if path.exists():
            told: dict[str, str] = json.loads(path.read_text())
            return told
        if process.poll() is not None:
            break
        time.sleep(0.05)
    raise AssertionError(f"the server did not start:\n{log.read_text()}")


def main(root: Path) -> None:
    instance = create_instance(root)
    exhibits.furnish(instance)

    def ready(serving: Serving) -> None:
        beside = root / "serving.json.new"
        beside.write_text(json.dumps({"public_url": serving.public_url, "replay_url": serving.replay_url}))
        beside.rename(root / "serving.json")

    serve(instance, host="127.0.0.1", port=0, replay_port=0, on_ready=ready)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
