"""View models: what a page shows, worked out from what was read. Pure, so that it is tested without a server."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal

from healtharchive.access.model import Capture
from healtharchive.web.i18n import Code, Words
from healtharchive.web.links import Links
from healtharchive.web.reading import Overview

# -- history -----------------------------------------------------------------------------------------------------------

Change = Literal["first", "changed", "unchanged", "redirect", "error"]


@dataclass(frozen=True)
class Visit:
    """One capture in a history, and what it says against the ones before it."""

    capture: Capture
    change: Change
    label: str
    day: str
    minute: str
    date: str
    url: str
    details_url: str


@dataclass(frozen=True)
class Month:
    """One of the twelve cells of a year's strip."""

    name: str
    count: int
    has_change: bool
    level: int  # 0 none to 3 many, for the shade


@dataclass(frozen=True)
class Year:
    year: int
    visits: tuple[Visit, ...]
    months: tuple[Month, ...]


@dataclass(frozen=True)
class HistoryView:
    url: str
    title: str
    language: str | None
    summary: str
    changes: str
    years: tuple[Year, ...]
    total: int
    shown: int


def changes_of(captures: Iterable[Capture]) -> list[Change]:
    """What each capture of one URL says, oldest first: the content is the same if its digest is that of the copy before it.

    Redirects and errors are not content: the copy after one is compared with the copy before it.
    """
    told: list[Change] = []
    digest: str | None = None
    for capture in captures:
        status = capture.status or 200
        unmodified = capture.is_revisit and status == 304
        if not unmodified and 300 <= status < 400:
            told.append("redirect")
        elif status >= 400:
            told.append("error")
        elif digest is None:
            told.append("first")
        else:
            told.append("unchanged" if unmodified or capture.payload_digest == digest else "changed")
        if told[-1] in ("first", "changed"):
            digest = capture.payload_digest
    return told


def history_view(url: str, captures: Sequence[Capture], *, total: int, words: Words, links: Links) -> HistoryView:
    """The history of a URL that has captures, the newest year first and the oldest capture last."""
    told = changes_of(captures)
    visits = [_visit(capture, change, words=words, links=links) for capture, change in zip(captures, told, strict=True)]
    by_year: dict[int, list[Visit]] = {}
    for visit in visits:
        by_year.setdefault(visit.capture.captured_at.year, []).append(visit)
    changed = told.count("changed")
    titled = next((capture for capture in reversed(captures) if capture.title), captures[-1])
    return HistoryView(
        url=url,
        title=titled.title,
        language=titled.language or titled.language_declared,
        summary=words.count(
            "history.summary", total, first=words.date(captures[0].captured_at), last=words.date(captures[-1].captured_at)
        ),
        changes=words.count("history.changes", changed) if changed else words("history.same") if len(captures) > 1 else "",
        years=tuple(
            Year(year, tuple(reversed(of_year)), _months(of_year, words))
            for year, of_year in sorted(by_year.items(), reverse=True)
        ),
        total=total,
        shown=len(captures),
    )


def _visit(capture: Capture, change: Change, *, words: Words, links: Links) -> Visit:
    at = capture.captured_at
    return Visit(
        capture=capture,
        change=change,
        label=words(f"history.{change}", status=str(capture.status))
        if change in ("redirect", "error")
        else words(f"history.{change}"),
        day=words.day(at),
        minute=words.minute(at),
        date=words.date(at),
        url=links.copy(words.code, capture),
        details_url=links.snapshot(words.code, capture.id),
    )


def _months(visits: Sequence[Visit], words: Words) -> tuple[Month, ...]:
    months = []
    for number, name in enumerate(words.months(), start=1):
        of_month = [visit for visit in visits if visit.capture.captured_at.month == number]
        level = 0 if not of_month else 1 if len(of_month) == 1 else 2 if len(of_month) < 5 else 3
        months.append(Month(name, len(of_month), any(visit.change in ("first", "changed") for visit in of_month), level))
    return tuple(months)


# -- one capture -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Fact:
    """A line of the details. `code` for what is read letter by letter."""

    name: str
    value: str
    url: str = ""
    code: bool = False


@dataclass(frozen=True)
class SnapshotView:
    capture: Capture
    title: str
    date: str
    citation: str
    facts: tuple[Fact, ...] = field(default=())
    copy_url: str = ""
    plain_url: str = ""
    history_url: str = ""
    record_url: str = ""


def snapshot_view(capture: Capture, *, words: Words, links: Links, overview: Overview, archive: str) -> SnapshotView:
    """Everything that is known of a capture, and how to cite it."""
    title = capture.title or words("search.untitled")
    copy_url = links.copy(words.code, capture)
    facts = [
        Fact(words("snapshot.address"), capture.url, code=True),
        Fact(words("snapshot.source"), overview.title(capture.source), links.search(words.code, [("source", capture.source)])),
        Fact(words("snapshot.captured"), words.instant(capture.captured_at)),
        Fact(words("snapshot.status"), str(capture.status or "")),
        Fact(words("snapshot.redirect"), capture.redirect_url or "", code=True),
        Fact(words("snapshot.kind"), f"{kind(capture.mime, words)} ({capture.mime})" if capture.mime else ""),
        Fact(words("snapshot.language"), words.language(capture.language) if capture.language else ""),
        Fact(
            words("snapshot.type"), words(f"snapshot.type_{capture.record_type}") if capture.record_type in RECORD_TYPES else ""
        ),
        Fact(words("snapshot.truncated"), capture.truncated or ""),
        Fact(words("snapshot.digest"), capture.payload_digest, code=True),
        Fact(
            words("snapshot.record"),
            words("snapshot.record_at", length=words.size(capture.length), offset=capture.offset, warc=capture.warc_name),
        ),
    ]
    return SnapshotView(
        capture=capture,
        title=title,
        date=words.date(capture.captured_at),
        citation=words(
            "snapshot.cite",
            title=title,
            url=capture.url,
            instant=words.instant(capture.captured_at),
            archive=archive,
            link=copy_url,
        ),
        facts=tuple(fact for fact in facts if fact.value),
        copy_url=copy_url,
        plain_url=links.copy(words.code, capture, plain=True),
        history_url=links.history(words.code, capture.url),
        record_url=links.record(capture.id),
    )


RECORD_TYPES: Final = frozenset({"response", "revisit", "resource"})


# -- small things ------------------------------------------------------------------------------------------------------

_KINDS: Final[Mapping[str, str]] = {
    "text/html": "html",
    "application/xhtml+xml": "html",
    "application/pdf": "pdf",
    "text/plain": "text",
    "text/css": "css",
    "application/json": "data",
    "text/csv": "data",
    "text/xml": "data",
    "application/xml": "data",
}


def kind(mime: str, words: Words) -> str:
    """What sort of document a media type is, in words."""
    family = _KINDS.get(mime) or mime.partition("/")[0]
    return kind_name(family, words)


def kind_name(family: str, words: Words) -> str:
    """The name of a family of types, as the search engine counts them; an unknown one is shown as it is."""
    key = f"kind.{_KINDS.get(family, family)}"
    return words(key) if key in words.messages else family


def shown_url(url: str) -> str:
    """A URL as people read it: without what every address begins with."""
    return url.removeprefix("https://").removeprefix("http://").removesuffix("/")


def other_language(path: str, query: str, code: Code) -> str:
    """The same page in the other language, as a path: `/en/search?q=x` for `/fr/search?q=x`."""
    other = "fr" if code == "en" else "en"
    rest = path[len(code) + 1 :] if path.startswith(f"/{code}/") else "/"
    return f"/{other}{rest}{'?' + query if query else ''}"
