"""`search WORDS...`: the texts of everything archived."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Annotated

import typer

from healtharchive.access import query
from healtharchive.access.model import Hit, Part, SearchPage
from healtharchive.access.query import Sort, View
from healtharchive.cli.context import opened
from healtharchive.cli.parsing import NUMBER_MAX
from healtharchive.cli.render import printable
from healtharchive.errors import UsageError

_BOLD, _PLAIN = "\x1b[1m", "\x1b[0m"


def search(
    ctx: typer.Context,
    words: Annotated[list[str], typer.Argument(help='Words, "a phrase", prefix*, -without; filters such as lang:fr work too.')],
    source: Annotated[list[str] | None, typer.Option(help="Only this source; may be given many times.")] = None,
    lang: Annotated[list[str] | None, typer.Option(help="Only this language: en, fr.")] = None,
    mime: Annotated[list[str] | None, typer.Option("--type", help="Only this type: html, pdf, or a media type.")] = None,
    status: Annotated[list[int] | None, typer.Option(help="Only this HTTP status.")] = None,
    date: Annotated[str, typer.Option(help="Only captures of 2026, 2026-03, 2026-03-15 or 2024..2026.")] = "",
    view: Annotated[View, typer.Option(help="One hit a page, or one a capture.")] = "pages",
    sort: Annotated[Sort, typer.Option(help="What comes first.")] = "relevance",
    limit: Annotated[int, typer.Option(min=1, max=1000, help="At most so many hits.")] = 10,
    offset: Annotated[int, typer.Option(min=0, max=NUMBER_MAX, help="Hits to leave out at the beginning.")] = 0,
) -> None:
    """Search in English and French; accents and word forms do not matter."""
    from healtharchive.access.search import open_search

    date_from, date_to = _period(date)
    asked = query.parse(
        " ".join(words),
        sources=source or (),
        languages=lang or (),
        mimes=mime or (),
        statuses=status or (),
        date_from=date_from,
        date_to=date_to,
        view=view,
        sort=sort,
    )
    with opened(ctx) as (instance, out):
        page = open_search(instance).search(asked, limit=limit, offset=offset)
        out.answer(_json(page), _lines(page, offset, highlight=out.to_terminal))


def _period(text: str) -> tuple[datetime | None, datetime | None]:
    if not text:
        return None, None
    try:
        return query.period(text)
    except (ValueError, OverflowError) as error:
        raise UsageError(f"--date {text} is not a date.", expected="2026, 2026-03, 2026-03-15 or 2024..2026") from error


def _json(page: SearchPage) -> dict[str, object]:
    return {
        "total": page.total,
        "total_is_exact": page.total_is_exact,
        "corrected": page.corrected,
        "notes": page.notes,
        "pending": page.pending,
        "facets": page.facets,
        "hits": [
            {
                "capture_id": hit.capture.id,
                "url": hit.capture.url,
                "captured_at": hit.capture.captured_at,
                "timestamp": hit.capture.timestamp,
                "source": hit.capture.source,
                "language": hit.capture.language,
                "status": hit.capture.status,
                "mime": hit.capture.mime,
                "title": hit.capture.title,
                "snippet": "".join(part.text for part in hit.snippet),
                "score": hit.score,
                "captures": hit.captures,
            }
            for hit in page.hits
        ],
    }


def _lines(page: SearchPage, offset: int, *, highlight: bool) -> Iterator[str]:
    if page.corrected:
        yield "Few pages match as written; near spellings are shown too."
    for note in page.notes:
        yield f"Not understood and left out: {printable(note)}"
    for number, hit in enumerate(page.hits, start=offset + 1):
        yield from _hit(number, hit, highlight)
    shown = f"{offset + 1} to {offset + len(page.hits)} of " if page.hits else ""
    yield f"{shown}{'' if page.total_is_exact else 'about '}{page.total:,} found."


def _hit(number: int, hit: Hit, highlight: bool) -> Iterator[str]:
    found = hit.capture
    yield f"{number}. {_text(hit.title, highlight) or printable(found.url)}"
    captures = f", {hit.captures} captures" if hit.captures > 1 else ""
    yield f"   {printable(found.url)}  ({found.captured_at:%Y-%m-%d}, {found.source}, {found.language or '?'}{captures})"
    if hit.snippet:
        yield f"   {_text(hit.snippet, highlight)}"
    yield ""


def _text(parts: Sequence[Part], highlight: bool) -> str:
    """Escapes of ours around text without any: what comes out of the archive cannot steer the terminal."""
    return "".join(
        f"{_BOLD}{printable(part.text)}{_PLAIN}" if part.highlighted and highlight else printable(part.text) for part in parts
    ).strip()
