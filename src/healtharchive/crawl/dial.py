"""From a host name to an open connection: resolve, judge the address, connect, TLS.

The guard stands at the last moment: the very address that the socket is given is judged, so no answer of a resolver, and no
second answer that differs from the first, leads a crawl into a private network.
"""

from __future__ import annotations

import asyncio
import errno
import os
import socket
import ssl
from collections import OrderedDict
from dataclasses import dataclass
from functools import cached_property
from ipaddress import ip_address
from itertools import chain, zip_longest
from typing import Final

from healtharchive.crawl.address import refusal
from healtharchive.crawl.connection import Http1Connection
from healtharchive.crawl.exchange import FailureKind, FetchError
from healtharchive.crawl.http2 import Http2Connection

_NAME_SECONDS: Final = 60.0
_NAMES_MAX: Final = 4096
_ADDRESSES_MAX: Final = 8  # a name may have hundreds; trying each for a minute would take hours
_OP_LEGACY_SERVER_CONNECT: Final = 0x4  # ssl has the name from Python 3.12 on
_OURS: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM, errno.ENETDOWN, errno.EADDRNOTAVAIL})


@dataclass(frozen=True, eq=False)
class Dialled:
    """An open connection, the address it leads to and its TLS version (such as 'tls/1.3')."""

    connection: Http1Connection | Http2Connection
    ip: str
    tls: str | None


class Dialler:
    """Opens connections for one crawl. Names are remembered for a minute, so that a page's images do not each ask again."""

    def __init__(self, *, allow_private: bool, timeout_seconds: float) -> None:
        self._allow_private = allow_private
        self._timeout = timeout_seconds
        self._names: OrderedDict[str, tuple[float, tuple[str, ...]]] = OrderedDict()

    async def dial(self, scheme: str, host: str, port: int, *, http2: bool) -> Dialled:
        """Connect to the first address of `host` that answers. Raises FetchError."""
        addresses = await self._resolve(host)
        allowed = [ip for ip in addresses if self._allow_private or refusal(ip) is None]
        if not allowed:
            where = f"{addresses[0]} ({refusal(addresses[0])})"
            raise FetchError("private", f"{host} is at {where}, no public address; allow_private lets a crawl go there")
        failures: list[FetchError] = []
        for ip in allowed[:_ADDRESSES_MAX]:
            try:
                sock = await self._connect(ip, port)
            except FetchError as error:
                failures.append(error)
                continue
            return await self._shake_hands(sock, ip, scheme, host, port, http2=http2)
        raise _telling(failures)

    async def _resolve(self, host: str) -> tuple[str, ...]:
        try:
            return (str(ip_address(host)),)
        except ValueError:
            pass
        loop = asyncio.get_running_loop()
        known = self._names.get(host)
        if known and known[0] > loop.time():
            return known[1]
        try:
            async with asyncio.timeout(self._timeout):
                # As bytes, past Python's own IDNA codec, which refuses names that are in use.
                found = await loop.getaddrinfo(host.encode("ascii"), None, type=socket.SOCK_STREAM)
        except TimeoutError:
            message = f"no answer about {host} from the resolver within {self._timeout:g} s"
            raise FetchError("dns", message, is_temporary=True) from None
        except socket.gaierror as error:
            is_local = error.errno in (socket.EAI_SYSTEM, socket.EAI_MEMORY)
            is_temporary = error.errno in (socket.EAI_AGAIN, socket.EAI_SYSTEM)
            message = f"{host} cannot be resolved: {error.strerror}"
            raise FetchError("dns", message, is_local=is_local, is_temporary=is_temporary) from None
        except (UnicodeError, OSError) as error:
            raise FetchError("dns", f"{host} cannot be resolved: {error}") from None
        addresses = _alternating([str(entry[4][0]) for entry in found])
        if not addresses:
            raise FetchError("dns", f"{host} has no address")
        self._names[host] = (loop.time() + _NAME_SECONDS, addresses)
        self._names.move_to_end(host)
        while len(self._names) > _NAMES_MAX:
            self._names.popitem(last=False)
        return addresses

    # Made when they are first needed: reading the machine's certificates takes 15 ms.
    @cached_property
    def _http1_context(self) -> ssl.SSLContext:
        return _tls_context("http/1.1")

    @cached_property
    def _http2_context(self) -> ssl.SSLContext:
        return _tls_context("h2", "http/1.1")

    async def _connect(self, ip: str, port: int) -> socket.socket:
        loop = asyncio.get_running_loop()
        is_v6 = ":" in ip
        try:
            sock = socket.socket(socket.AF_INET6 if is_v6 else socket.AF_INET, socket.SOCK_STREAM)
        except OSError as error:
            raise _not_connected(error, ip, port) from None
        try:
            sock.setblocking(False)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            async with asyncio.timeout(self._timeout):
                await loop.sock_connect(sock, (ip, port))
        except TimeoutError:
            sock.close()
            raise FetchError("timeout", f"no connection to {ip} port {port} within {self._timeout:g} s") from None
        except OSError as error:
            sock.close()
            raise _not_connected(error, ip, port) from None
        except BaseException:
            sock.close()
            raise
        return sock

    async def _shake_hands(self, sock: socket.socket, ip: str, scheme: str, host: str, port: int, *, http2: bool) -> Dialled:
        loop = asyncio.get_running_loop()
        if scheme == "http":
            _, plain = await loop.create_connection(Http1Connection, sock=sock)
            return Dialled(plain, ip, None)
        try:
            transport, connection = await loop.create_connection(
                _Negotiated,
                sock=sock,
                ssl=self._http2_context if http2 else self._http1_context,
                server_hostname=host.rstrip("."),
                ssl_handshake_timeout=self._timeout,
            )
        except (ssl.SSLError, UnicodeError, ValueError) as error:
            raise FetchError("tls", f"no TLS with {host}: {_tls_reason(error)}", is_local=not _has_authorities()) from None
        except ConnectionAbortedError:
            raise FetchError("timeout", f"{host} did not complete the TLS handshake within {self._timeout:g} s") from None
        except (ConnectionError, EOFError) as error:
            raise FetchError("reset", f"{host} closed the connection during the TLS handshake ({error})") from None
        except OSError as error:
            raise _not_connected(error, ip, port) from None
        version = transport.get_extra_info("ssl_object").version()
        return Dialled(connection.chosen, ip, version.lower().replace("v", "/", 1) if version else None)


class _Negotiated(asyncio.Protocol):
    """Becomes the protocol that both sides agreed on in the TLS handshake."""

    chosen: Http1Connection | Http2Connection

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        agreed = transport.get_extra_info("ssl_object").selected_alpn_protocol()
        self.chosen = Http2Connection() if agreed == "h2" else Http1Connection()
        transport.set_protocol(self.chosen)
        self.chosen.connection_made(transport)


def _tls_context(*protocols: str) -> ssl.SSLContext:
    """Verifies: a page from whoever holds the wire is no evidence of what its site said."""
    context = ssl.create_default_context()
    context.set_alpn_protocols(protocols)
    # Python 3.13 began to refuse certificates with formal faults that every browser accepts.
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    # Many old servers end the stream without a closing alert; the framing tells whether anything is missing.
    context.options |= getattr(ssl, "OP_IGNORE_UNEXPECTED_EOF", 0)
    # Servers without RFC 5746 (old load balancers of public bodies): browsers connect to them, and we never renegotiate.
    context.options |= _OP_LEGACY_SERVER_CONNECT
    return context


def _has_authorities() -> bool:
    """Whether this machine trusts anybody at all: without certificates of authorities no server could ever be verified."""
    paths = ssl.get_default_verify_paths()
    return bool(paths.cafile) or bool(paths.capath and any(os.scandir(paths.capath)))


def _tls_reason(error: Exception) -> str:
    if not _has_authorities():
        return "this machine has no certificates of authorities; install them: apt-get install ca-certificates"
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate was not accepted ({error.verify_message})"
    return str(getattr(error, "reason", None) or error)


def _alternating(addresses: list[str]) -> tuple[str, ...]:
    """The resolver's order, but families take turns (RFC 8305): one that is broken here costs a single attempt."""
    unique = list(dict.fromkeys(addresses))
    first = [ip for ip in unique if (":" in ip) == (":" in unique[0])]
    second = [ip for ip in unique if ip not in first]
    return tuple(ip for ip in chain.from_iterable(zip_longest(first, second)) if ip is not None)


def _not_connected(error: OSError, ip: str, port: int) -> FetchError:
    kind: FailureKind = "unreachable"
    if isinstance(error, ConnectionRefusedError):
        kind = "refused"
    elif isinstance(error, ConnectionError):
        kind = "reset"
    # Without IPv6 here every IPv6 address is unreachable: that is the URL's trouble. Without IPv4 there is no network at all.
    is_local = error.errno in _OURS or (error.errno == errno.ENETUNREACH and ":" not in ip)
    # asyncio puts "Connect call failed" and a tuple where the system's words were.
    reason = os.strerror(error.errno) if error.errno else str(error)
    return FetchError(kind, f"no connection to {ip} port {port}: {reason}", is_local=is_local)


def _telling(failures: list[FetchError]) -> FetchError:
    """The failure that says most: what an address answered, before what never left this machine."""
    return next((failure for failure in failures if failure.kind != "unreachable"), failures[0])
