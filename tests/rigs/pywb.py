"""A real pywb over WARCs and a CDXJ of ours, as a child of the test that ends with it."""

from __future__ import annotations

import os
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.rigs.nginx import die_with_parent
from tests.rigs.require import peer

START_SECONDS = 30.0
STOP_SECONDS = 5.0
COLLECTION = "ours"


@contextmanager
def pywb(directory: Path, warcs: Sequence[Path], cdxj: str) -> Iterator[str]:
    """Serve a collection; the address of its replay, `http://127.0.0.1:PORT/ours`."""
    program = peer("wayback")
    collection = directory / "collections" / COLLECTION
    for part in ("archive", "indexes"):
        (collection / part).mkdir(parents=True)
    for warc in warcs:
        (collection / "archive" / warc.name).symlink_to(warc)
    (collection / "indexes" / "index.cdxj").write_text(cdxj)
    with socket.create_server(("127.0.0.1", 0)) as held:
        port = held.getsockname()[1]
    with open(directory / "pywb.log", "wb") as log:
        process = subprocess.Popen(
            [program, "--bind", "127.0.0.1", "--port", str(port)],
            cwd=directory,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env={"PATH": os.defpath, "HOME": str(directory)},
            preexec_fn=die_with_parent,
        )
    try:
        _await(process, port, directory / "pywb.log")
        yield f"http://127.0.0.1:{port}/{COLLECTION}"
    finally:
        process.terminate()
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _await(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while process.poll() is None and time.monotonic() < deadline:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            time.sleep(0.1)
        else:
            return
    raise RuntimeError(f"pywb did not start:\n{log.read_text(errors='replace')[-3000:]}")
