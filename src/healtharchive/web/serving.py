"""What both applications share: where readers reach each of them, templates, and the few static files."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.requests import Request
from starlette.responses import Response

from healtharchive.settings import WebSettings
from healtharchive.web import pages
from healtharchive.web.i18n import Code, negotiate
from healtharchive.web.links import Links

_HERE: Final = Path(__file__).parent
STATIC: Final = _HERE / "static"
STATIC_SECONDS: Final = 3600

# Everything that is served from `static/` by name: an address is looked up here and never joined to a path.
TYPES: Final = {
    "archive.css": "text/css; charset=utf-8",
    "replay.css": "text/css; charset=utf-8",
    "player.js": "text/javascript; charset=utf-8",
    "guard.js": "text/javascript; charset=utf-8",
    "mark.svg": "image/svg+xml",
}


@dataclass(frozen=True)
class Origins:
    """Where readers reach search and replay. An empty URL means: this host's name as the reader wrote it, and the port."""

    public_url: str
    replay_url: str
    port: int
    replay_port: int

    @classmethod
    def of(cls, settings: WebSettings) -> Origins:
        return cls(settings.public_url.rstrip("/"), settings.replay_url.rstrip("/"), settings.port, settings.replay_port)

    def links(self, request: Request) -> Links:
        """Absolute addresses as this reader can use them. The Host header was checked before (security.is_host)."""
        host = request.url.hostname or "localhost"
        host = f"[{host}]" if ":" in host else host
        scheme = request.url.scheme
        return Links(
            self.public_url or f"{scheme}://{host}:{self.port}",
            self.replay_url or f"{scheme}://{host}:{self.replay_port}",
        )


@cache
def templates() -> Environment:
    """Autoescaping everywhere; a name that a template misspells is an error."""
    environment = Environment(
        loader=FileSystemLoader(_HERE / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["shown_url"] = pages.shown_url
    return environment


def render(name: str, context: dict[str, Any]) -> str:
    return templates().get_template(name).render(context)


def language_of(request: Request) -> Code:
    """The language of an address that begins with one, else what the browser prefers."""
    first = request.url.path.split("/", 2)[1] if request.url.path.startswith("/") else ""
    if first == "fr":
        return "fr"
    return "en" if first == "en" else negotiate(request.headers.get("accept-language"))


def static(request: Request, name: str) -> Response | None:
    """A static file, or 304; None if there is none of that name."""
    kind = TYPES.get(name)
    if kind is None:
        return None
    body = (STATIC / name).read_bytes()
    tag = f'"{hashlib.sha256(body).hexdigest()[:16]}"'
    headers = {"ETag": tag, "Cache-Control": f"public, max-age={STATIC_SECONDS}", "X-Content-Type-Options": "nosniff"}
    if request.headers.get("if-none-match") == tag:
        return Response(status_code=304, headers=headers)
    return Response(body, media_type=kind, headers=headers)
