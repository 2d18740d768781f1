"""What every response says to the browser, on each of the two origins. Pure, but for the ASGI middleware that adds it.

The main origin shows our own pages only: no scripts at all, nothing from elsewhere, no cookies. The replay origin shows other
people's pages, so nothing of value may ever live there, and whatever an archived page tries, its requests stay on that origin.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from starlette.datastructures import Headers as StarletteHeaders
from starlette.datastructures import MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_FEATURES: Final = (
    "accelerometer autoplay browsing-topics camera display-capture encrypted-media geolocation gyroscope hid"
    " idle-detection local-fonts magnetometer microphone midi payment publickey-credentials-get screen-wake-lock serial usb"
    " xr-spatial-tracking"
)
PERMISSIONS_POLICY: Final = ", ".join(f"{feature}=()" for feature in _FEATURES.split())

_EVERYWHERE: Final = {
    "Referrer-Policy": "same-origin",
    "Permissions-Policy": PERMISSIONS_POLICY,
    "Cross-Origin-Opener-Policy": "same-origin",
}

MAIN: Final[Mapping[str, str]] = _EVERYWHERE | {
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'self'; img-src 'self' data:; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Cross-Origin-Resource-Policy": "same-origin",
}

# A download from the main origin must not become a page there, whatever type a browser believes it to have.
DOWNLOAD: Final[Mapping[str, str]] = {
    "Content-Security-Policy": "sandbox; default-src 'none'",
    "X-Content-Type-Options": "nosniff",
}

REPLAY: Final[Mapping[str, str]] = _EVERYWHERE | {"X-Robots-Tag": "noindex"}
"""Every response of the replay origin. No nosniff here: an archived style sheet with a wrong type must work as it did."""

_PLAIN_SOURCES: Final = (
    "default-src 'self'; script-src 'none'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; font-src 'self' data:; "
    "media-src 'self' data:; object-src 'none'; connect-src 'none'; worker-src 'none'; base-uri 'none'; form-action 'self'"
)
PLAIN_SANDBOX: Final = "allow-top-navigation-by-user-activation allow-forms"
"""What a page without scripts may do: follow a link that the reader clicks."""

# No frame-ancestors: a frame inside a page in a sandbox has an ancestor without an origin, which no source expression matches.
PLAIN: Final[Mapping[str, str]] = {
    "Content-Security-Policy": f"{_PLAIN_SOURCES}; sandbox {PLAIN_SANDBOX}",
    "X-Content-Type-Options": "nosniff",
    # The sandbox gives the page an origin of its own; its fonts are fetched across that line.
    "Access-Control-Allow-Origin": "*",
    "Cache-Control": "no-cache",  # the nearest copy may be another one tomorrow
}

DOCUMENT: Final[Mapping[str, str]] = {
    # Only ever with application/pdf, or as a download: no sandbox, in which browsers refuse to start their viewer.
    "Content-Security-Policy": "default-src 'none'; object-src 'self'; style-src 'unsafe-inline'; frame-ancestors 'self'",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-cache",
}

RAW: Final[Mapping[str, str]] = {
    # For whoever opens a raw copy by itself. The player's worker does not pass it on: it puts its own policy on what it rewrites.
    "Content-Security-Policy": "sandbox; default-src 'none'; frame-ancestors 'none'",
    "Access-Control-Allow-Origin": "*",
    "Access-Control-Expose-Headers": "Memento-Datetime, Link, Content-Location",
    "Cache-Control": "no-cache",
}

# Styles inline, because in a frame the worker would look for a style sheet of ours on the archived site.
ABSENT_POLICY: Final = (
    "default-src 'none'; style-src 'self' 'unsafe-inline'; img-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'self'"
)

WORKER: Final[Mapping[str, str]] = {
    # A worker is bound by the policy it was served with: whatever a page makes it fetch, it cannot leave the origin.
    "Content-Security-Policy": "default-src 'none'; connect-src 'self'; script-src 'self' 'wasm-unsafe-eval'",
    "Service-Worker-Allowed": "/",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-cache",
}

_HOST: Final = re.compile(r"(?:[A-Za-z0-9_](?:[A-Za-z0-9._-]{0,252})|\[[0-9A-Fa-f:.]{2,45}\])(?::\d{1,5})?")


def is_host(value: str | None) -> bool:
    """Whether a Host header can be one, and so may be put into a policy or a link."""
    return value is not None and _HOST.fullmatch(value) is not None


def player_policy(origin: str, script: str) -> str:
    """The policy of the page around an archived page.

    The framed page has the same origin and can reach this one, so `'self'` would let it run its own archived scripts out here,
    where no sandbox holds them; only our script's exact address may run. `frame-src` keeps the frame from leaving the origin.
    """
    return (
        f"default-src 'none'; script-src {origin}{script}; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
        f"frame-src 'self'; worker-src 'self'; form-action 'none'; base-uri 'none'; frame-ancestors 'none'"
    )


class Headers:
    """Adds headers to every response that does not set them itself."""

    def __init__(self, app: ASGIApp, headers: Mapping[str, str]) -> None:
        self._app = app
        self._headers = headers

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in self._headers.items():
                    headers.setdefault(name, value)
            await send(message)

        await self._app(scope, receive, with_headers)


class HeadAsGet:
    """Answers HEAD as GET without its body, for every route at once."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "HEAD":
            await self._app(scope, receive, send)
            return

        async def without_body(message: Message) -> None:
            if message["type"] == "http.response.body":
                message = {**message, "body": b""}
            await send(message)

        await self._app({**scope, "method": "GET"}, receive, without_body)


class KnownHost:
    """Refuses a request whose Host header cannot be one: it goes into links and policies."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and not is_host(StarletteHeaders(scope=scope).get("host")):
            await PlainTextResponse("The Host header is not a host.\n", 400)(scope, receive, send)
            return
        await self._app(scope, receive, send)
