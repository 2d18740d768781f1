"""Real Chromium whose every host but loopback leads into a trap, so that "nothing was fetched from elsewhere" can be seen."""

from __future__ import annotations

import shutil
import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Browser, sync_playwright
from tests.rigs.require import require

_FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-features=NetworkTimeServiceQuerying,OptimizationHints,MediaRouter",
)
# The browser's own errands (updates, sign-in) are no page's doing; no archived page of ours names these hosts.
_OWN_HOSTS = ("*.google.com", "*.googleapis.com", "*.gstatic.com", "*.gvt1.com")
_AXE = Path(__file__).parent / "axe"
_ROOT = Path(__file__).parents[2]


class Trap:
    """A TCP and UDP port that answers nothing and remembers who came."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._stun = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._stun.bind(("127.0.0.1", self.port))
        self.caught: list[bytes] = []
        for target in (self._accept, self._receive):
            threading.Thread(target=target, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            with connection:
                connection.settimeout(0.5)
                try:
                    first = connection.recv(4096)
                except OSError:
                    first = b"(connected and said nothing)"
                self.caught.append(first)

    def _receive(self) -> None:
        while True:
            try:
                data = self._stun.recv(4096)
            except OSError:
                return
            self.caught.append(b"UDP " + data)

    def close(self) -> None:
        self._listener.close()
        self._stun.close()


@contextmanager
def chromium() -> Iterator[tuple[Browser, Trap]]:
    """A browser and the trap that all of its foreign hosts lead to."""
    program = require("chromium", "chromium")
    trap = Trap()
    own = "".join(f"MAP {host} ~NOTFOUND, " for host in _OWN_HOSTS)
    rules = f"--host-resolver-rules={own}MAP * 127.0.0.1:{trap.port}, EXCLUDE 127.0.0.1"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=str(program), args=[*_FLAGS, rules])
        try:
            yield browser, trap
        finally:
            browser.close()
            trap.close()


def axe_source() -> str:
    """The text of axe-core, by npm, kept in `.cache` of the repository."""
    npm = require("npm", "npm")
    directory = _ROOT / ".cache" / "axe"
    script = directory / "node_modules" / "axe-core" / "axe.min.js"
    if not script.exists():
        directory.mkdir(parents=True, exist_ok=True)
        for name in ("package.json", "package-lock.json", ".npmrc"):
            shutil.copyfile(_AXE / name, directory / name)
        subprocess.run([npm, "ci", "--ignore-scripts"], cwd=directory, check=True, capture_output=True, timeout=300)
    return script.read_text(encoding="utf-8")
