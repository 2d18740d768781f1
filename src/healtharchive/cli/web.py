"""`web`: search, page histories, API and replay, on two ports."""

from __future__ import annotations

from typing import Annotated

import typer

from healtharchive.cli import log_events
from healtharchive.cli.context import opened


def web(
    ctx: typer.Context,
    host: Annotated[str | None, typer.Option(help="Address to listen on; web.host if not given.")] = None,
    port: Annotated[int | None, typer.Option(min=0, max=65535, help="Port of search and API; 0 picks one.")] = None,
    replay_port: Annotated[int | None, typer.Option(min=0, max=65535, help="Port of replay; 0 picks one.")] = None,
) -> None:
    """Serve until Ctrl-C. Archived pages run on a port of their own, where they cannot reach the rest."""
    from healtharchive.web import assets
    from healtharchive.web.serve import Serving, serve

    with opened(ctx) as (instance, out):
        log_events.follow(as_json=out.as_json)
        without_player = assets.missing()
        if without_player is not None:
            out.note(without_player)

        def ready(serving: Serving) -> None:
            lines = [f"Search and API: {serving.public_url}/", f"Replay:         {serving.replay_url}/", "Ctrl-C ends it."]
            out.answer({"search": serving.public_url, "replay": serving.replay_url}, lines)
            out.flush()

        serve(instance, host=host, port=port, replay_port=replay_port, on_ready=ready)
