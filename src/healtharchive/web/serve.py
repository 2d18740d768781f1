"""Both applications in one process: search on one port, replay on the other."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import signal
import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import uvicorn
from starlette.types import ASGIApp

from healtharchive.errors import ConfigurationError
from healtharchive.instance import Instance
from healtharchive.web.app import create_app
from healtharchive.web.replay_origin import create_replay_app
from healtharchive.web.serving import Origins

STOP_SECONDS = 10
_BACKLOG = 256


@dataclass(frozen=True)
class Serving:
    """Where both answer, once they do."""

    public_url: str
    replay_url: str


def serve(
    instance: Instance,
    *,
    host: str | None = None,
    port: int | None = None,
    replay_port: int | None = None,
    on_ready: Callable[[Serving], None] | None = None,
) -> None:
    """Serve until SIGTERM or SIGINT, then finish what is being answered, for at most STOP_SECONDS.

    Host and ports are those of the settings unless given; port 0 picks a free one. `on_ready` is told the real addresses when
    both listen. Prints nothing. Raises ConfigurationError if an address cannot be listened on, before anything is served.
    """
    settings = instance.settings.web
    where = host if host is not None else settings.host
    with contextlib.ExitStack() as open_sockets:
        public = open_sockets.enter_context(_listen(where, settings.port if port is None else port))
        replay = open_sockets.enter_context(_listen(where, settings.replay_port if replay_port is None else replay_port))
        origins = Origins(
            settings.public_url.rstrip("/"), settings.replay_url.rstrip("/"), public.getsockname()[1], replay.getsockname()[1]
        )
        shown = _shown_host(where)
        serving = Serving(
            origins.public_url or f"http://{shown}:{origins.port}", origins.replay_url or f"http://{shown}:{origins.replay_port}"
        )
        servers = [
            _Server(_config(app)) for app in (create_app(instance, origins=origins), create_replay_app(instance, origins=origins))
        ]
        asyncio.run(_run(servers, [public, replay], (lambda: on_ready(serving)) if on_ready else None))


class _Server(uvicorn.Server):
    """Says when it listens. Signals are handled once, for both servers, below."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.listens = asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.listens.set()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


async def _both_listen(servers: list[_Server]) -> None:
    for server in servers:
        await server.listens.wait()


def _config(app: ASGIApp) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        log_config=None,
        access_log=False,  # who reads what is the reader's own affair
        server_header=False,
        lifespan="off",
        timeout_graceful_shutdown=STOP_SECONDS,
        h11_max_incomplete_event_size=64 * 1024,  # a URL inside a URL is long
        http="h11",
    )


async def _run(servers: list[_Server], sockets: list[socket.socket], on_ready: Callable[[], None] | None) -> None:
    loop = asyncio.get_running_loop()

    def stop() -> None:
        for server in servers:
            # Asked twice: do not wait for slow readers.
            server.force_exit = server.should_exit
            server.should_exit = True

    handled: list[signal.Signals] = []
    for number in (signal.SIGTERM, signal.SIGINT):
        # In another thread than the main one (tests, a program that embeds us) there are no signals to handle.
        with contextlib.suppress(ValueError, RuntimeError):
            loop.add_signal_handler(number, stop)
            handled.append(number)
    tasks = [asyncio.create_task(server.serve([sock])) for server, sock in zip(servers, sockets, strict=True)]
    try:
        listening = asyncio.create_task(_both_listen(servers))
        await asyncio.wait([*tasks, listening], return_when=asyncio.FIRST_COMPLETED)
        if listening.done() and on_ready is not None:
            on_ready()
        listening.cancel()
        # One that ends by itself takes the other with it: half an archive is a fault that somebody should see.
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for server in servers:
            server.should_exit = True
        for number in handled:
            loop.remove_signal_handler(number)
        await asyncio.gather(*tasks)


def _listen(host: str, port: int) -> socket.socket:
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        listening = socket.socket(family, kind, protocol)
    except OSError as error:
        raise ConfigurationError(f"web.host {host!r} is not an address that can be listened on: {error}.") from error
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(address)
        listening.listen(_BACKLOG)
    except OSError as error:
        listening.close()
        hint = "Name other ports: healtharchive web --port N --replay-port M"
        raise ConfigurationError(f"Cannot listen on {host} port {port}: {error.strerror}.", hint=hint) from error
    return listening


def _shown_host(host: str) -> str:
    """A host that a reader on this machine can type: browsers run service workers on localhost, and on https, only."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host
    if address.is_unspecified:
        return "127.0.0.1"
    return f"[{address}]" if address.version == 6 else str(address)
