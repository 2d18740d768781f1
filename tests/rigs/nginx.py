"""A real nginx on loopback, as a child of the test that ends with it.

It runs as one process (`master_process off`), needs no privilege, and keeps everything it writes in the directory it is given.
The kernel ends it when the test dies, so that no server outlives its test, not even after SIGKILL.
"""

from __future__ import annotations

import ctypes
import json
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.rigs.require import require

START_SECONDS = 10.0
STOP_SECONDS = 5.0
_PORT_TRIES = 5
_PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None)

_TEXT_TYPES = "text/css text/plain text/xml application/javascript application/json application/xml image/svg+xml"


@dataclass(frozen=True)
class Site:
    """One server: the files below `root` at `http://ADDRESS:PORT/`.

    `extra` is nginx configuration for inside the server block (locations, redirects, limits); the rig adds nothing to it.
    """

    name: str
    root: Path
    gzip: bool = True  # compressed on the fly, hence chunked, when the client accepts it
    index: str = "index.html"
    address: str = "127.0.0.1"
    extra: str = ""


@dataclass(frozen=True)
class Access:
    """One line of the access log: a response that nginx has finished, or whose client went away."""

    at: float  # epoch seconds, to the millisecond, when the response ended
    site: str
    method: str
    uri: str
    status: int
    sent_bytes: int
    agent: str
    complete: bool


class Nginx:
    """A running server; see `nginx()`."""

    def __init__(self, process: subprocess.Popen[bytes], directory: Path, ports: dict[str, int], sites: Sequence[Site]) -> None:
        self._process = process
        self.directory = directory
        self._ports = ports
        self._addresses = {site.name: site.address for site in sites}

    @property
    def pid(self) -> int:
        return self._process.pid

    def host(self, name: str) -> str:
        """`ADDRESS:PORT` of a site."""
        return f"{self._addresses[name]}:{self._ports[name]}"

    def url(self, name: str, path: str = "/") -> str:
        return f"http://{self.host(name)}{path}"

    def accesses(self, name: str | None = None) -> list[Access]:
        """What was asked so far, in the order in which it was answered."""
        entries = []
        for line in (self.directory / "access.log").read_bytes().splitlines(keepends=True):
            if not line.endswith(b"\n"):
                break  # being written
            data = json.loads(line)
            data["complete"] = data["complete"] == "OK"
            entry = Access(**data)
            if name is None or entry.site == name:
                entries.append(entry)
        return entries

    def errors(self) -> str:
        return (self.directory / "error.log").read_text(errors="replace")


@contextmanager
def nginx(directory: Path, *sites: Site) -> Iterator[Nginx]:
    """Serve `sites` until the block ends. `directory` is created; configuration, logs and temporary files go there."""
    program = require("nginx", "nginx")
    directory.mkdir(parents=True, exist_ok=True)
    server = _start(program, directory, sites)
    try:
        yield server
    finally:
        _stop(server._process)


def _start(program: Path, directory: Path, sites: Sequence[Site]) -> Nginx:
    for _ in range(_PORT_TRIES):
        ports = _free_ports(sites)
        config = directory / "nginx.conf"
        config.write_text(_config(directory, sites, ports))
        process = subprocess.Popen(
            [str(program), "-p", str(directory), "-c", str(config), "-e", str(directory / "error.log")],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            preexec_fn=die_with_parent,
        )
        server = Nginx(process, directory, ports, sites)
        if _is_answering(server, sites):
            return server
        _stop(process)  # somebody took a port between our look and nginx's bind: try others
    raise RuntimeError(f"nginx did not start:\n{server.errors()}")


def die_with_parent() -> None:
    """For `preexec_fn`: let the kernel end this child when its parent ends, however that ends."""
    _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


def _free_ports(sites: Sequence[Site]) -> dict[str, int]:
    held = {site.name: socket.create_server((site.address, 0)) for site in sites}
    ports = {name: server.getsockname()[1] for name, server in held.items()}
    for server in held.values():
        server.close()
    return ports


def _is_answering(server: Nginx, sites: Sequence[Site]) -> bool:
    deadline = time.monotonic() + START_SECONDS
    for site in sites:
        host, _, port = server.host(site.name).rpartition(":")
        while True:
            if server._process.poll() is not None:
                return False
            try:
                socket.create_connection((host, int(port)), timeout=1).close()
                break
            except OSError:
                if time.monotonic() > deadline:
                    return False
                time.sleep(0.02)
    return True


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _config(directory: Path, sites: Sequence[Site], ports: dict[str, int]) -> str:
    temporary = "\n".join(
        f'    {kind}_temp_path "{directory}/temp-{kind}";' for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    servers = "\n".join(_server(site, ports[site.name]) for site in sites)
    return f"""daemon off;
master_process off;
pid "{directory}/nginx.pid";
error_log "{directory}/error.log" warn;
events {{ worker_connections 512; }}
http {{
    include /etc/nginx/mime.types;
    default_type application/octet-stream;
    log_format rig escape=json '{{"at":$msec,"site":"$server_name","method":"$request_method","uri":"$request_uri",'
        '"status":$status,"sent_bytes":$bytes_sent,"agent":"$http_user_agent","complete":"$request_completion"}}';
    access_log "{directory}/access.log" rig;
{temporary}
    gzip_types {_TEXT_TYPES};
    keepalive_requests 100000;
{servers}
}}
"""


def _server(site: Site, port: int) -> str:
    return f"""    server {{
        listen {site.address}:{port};
        server_name {site.name};
        root "{site.root}";
        index {site.index};
        gzip {"on" if site.gzip else "off"};
        {site.extra}
    }}"""
