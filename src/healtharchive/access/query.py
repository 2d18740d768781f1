"""What a reader asks: the query language, parsed without ever failing.

    mot "an exact phrase" -without vacc* grippe~ covid-19 rougeole OR measles
    source:hc  lang:fr  type:pdf  year:2024  year:2020..2024  date:2024-03  date:2024-01-15..2024-06-30  status:404  status:4xx
    url:https://example.org/page   url:https://example.org/dir/*   url:vaccines   site:example.org   site:example.org/en

`-` before a filter excludes what it names; French names work too (langue:, annee:, statut:, ...). A filter whose value makes no
sense is left out and named in `notes`; a name that is none, as in `note:this`, is text. Deciding only: nothing here knows an
engine.
"""

from __future__ import annotations

import re
from calendar import monthrange
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta
from typing import Final, Literal

View = Literal["pages", "captures"]
Sort = Literal["relevance", "newest", "oldest"]
TermKind = Literal["word", "phrase", "prefix", "fuzzy"]

LENGTH_MAX: Final = 1_000
"""Characters of a query that are read; the rest is dropped and noted."""

CLAUSES_MAX: Final = 32
"""Words, phrases and groups of one query; further ones are dropped and noted. Bounds what one request may cost."""

FIELDS: Final = {
    "source": "source", "lang": "language", "language": "language", "langue": "language", "type": "type", "format": "type",
    "year": "year", "annee": "year", "année": "year", "date": "year", "status": "status", "statut": "status",
    "url": "url", "adresse": "url", "site": "site",
}  # fmt: skip

_DAY: Final = timedelta(days=1)
_LANGUAGES: Final = {
    "english": "en", "anglais": "en", "eng": "en", "french": "fr", "français": "fr", "francais": "fr", "fra": "fr", "fre": "fr",
}  # fmt: skip
_TOKEN: Final = re.compile(
    r"""\s*
    (?P<minus>[-−]?)
    (?:(?P<field>[^\W\d_]+):(?=[^\s]))?
    (?:"(?P<phrase>[^"]*)(?:"|$)|«\s*(?P<guillemets>[^»]*?)\s*(?:»|$)|“(?P<curly>[^”]*)(?:”|$)|(?P<word>[^\s"«“]+|["«“]))
    """,
    re.VERBOSE,
)


@dataclass(frozen=True)
class Term:
    """Something to look for in texts. `text` is as typed, without quotes and marks; what its words are is the engine's to say."""

    text: str
    kind: TermKind = "word"


@dataclass(frozen=True)
class Clause:
    """Any of `alternatives` must be there; or none may, where `excluded`."""

    alternatives: tuple[Term, ...]
    excluded: bool = False


@dataclass(frozen=True)
class Filter:
    """A condition on what a capture is. `field` is one of source, language, type, status, url, site."""

    field: str
    value: str
    excluded: bool = False


@dataclass(frozen=True)
class Query:
    """A parsed query. `date_from` is inclusive, `date_to` exclusive. Empty tuples do not restrict.

    `mimes` holds types such as `text/html` or their families (html, pdf, text); `statuses` holds codes; without any, only
    answers with a document (2xx) are found.
    """

    text: str = ""
    clauses: tuple[Clause, ...] = ()
    sources: tuple[str, ...] = ()
    languages: tuple[str, ...] = ()
    mimes: tuple[str, ...] = ()
    statuses: tuple[int, ...] = ()
    urls: tuple[str, ...] = ()
    sites: tuple[str, ...] = ()
    excluded: tuple[Filter, ...] = ()
    date_from: datetime | None = None
    date_to: datetime | None = None
    view: View = "pages"
    sort: Sort = "relevance"
    notes: tuple[str, ...] = ()

    @property
    def has_terms(self) -> bool:
        """Whether texts are searched at all; otherwise the filters list what is there."""
        return any(not clause.excluded for clause in self.clauses)


def parse(
    text: str,
    *,
    sources: Iterable[str] = (),
    languages: Iterable[str] = (),
    mimes: Iterable[str] = (),
    statuses: Iterable[int] = (),
    date_from: datetime | None = None,
    date_to: datetime | None = None,
    view: View = "pages",
    sort: Sort = "relevance",
) -> Query:
    """A query from what a reader typed, with filters chosen otherwise. Never raises on any text.

    Filters of one field widen each other, filters of different fields narrow; dates narrow.
    """
    builder = _Builder()
    if len(text) > LENGTH_MAX:
        builder.notes.append("…")
    for match in _TOKEN.finditer(text[:LENGTH_MAX].replace("\0", " ")):
        builder.take(match)
    found = builder.build(text)
    return replace(
        found,
        sources=_merged(found.sources, sources),
        languages=_merged(found.languages, (_language(value) for value in languages)),
        mimes=_merged(found.mimes, (value.lower() for value in mimes)),
        # What no server answers finds nothing, and must not be too large for the index's column.
        statuses=tuple(dict.fromkeys((*found.statuses, *(min(max(code, 0), 1000) for code in statuses)))),
        date_from=max((d for d in (found.date_from, date_from) if d), default=None),
        date_to=min((d for d in (found.date_to, date_to) if d), default=None),
        view=view,
        sort=sort,
    )


def period(text: str) -> tuple[datetime | None, datetime | None]:
    """`2024`, `2024-03`, `2024-03-15`, or two of them around `..` (either may be missing), as [from, to). Raises ValueError."""
    first, dots, last = text.partition("..")
    if not dots:
        last = first
    start = _span(first)[0] if first else None
    end = _span(last)[1] if last else None
    if start is None and end is None:
        raise ValueError("an empty period")
    return start, end


class _Builder:
    """Clauses and filters in the order they were typed."""

    def __init__(self) -> None:
        self.clauses: list[Clause] = []
        self.filters: list[Filter] = []
        self.statuses: list[int] = []
        self.date_from: datetime | None = None
        self.date_to: datetime | None = None
        self.notes: list[str] = []
        self._or = False

    def take(self, match: re.Match[str]) -> None:
        typed = match[0].strip()
        excluded = bool(match["minus"])
        quoted = next((match[name] for name in ("phrase", "guillemets", "curly") if match[name] is not None), None)
        value = quoted if quoted is not None else match["word"]
        name = match["field"]
        if name is None and quoted is None and value in ("OR", "OU", "|", "||") and not excluded:
            self._or = bool(self.clauses)
            return
        if name is not None and (field := FIELDS.get(name.lower())) is not None:
            if not self._filter(field, value.strip(), excluded):
                self.notes.append(typed)
            return
        if name is not None and value.startswith("//"):
            self._filter("url", f"{name}:{value}", excluded)
            return
        if name is not None:
            value = f"{name}:{value}"
        self._term(value, quoted is not None and name is None, excluded, typed)

    def _term(self, value: str, is_phrase: bool, excluded: bool, typed: str) -> None:
        kind: TermKind = "phrase" if is_phrase else "word"
        if not is_phrase and len(value) > 1 and value.endswith("*"):
            kind = "prefix"
        elif not is_phrase and len(value) > 1 and value.endswith("~"):
            kind = "fuzzy"
        term = Term(value if is_phrase else value.strip("*~"), kind)
        if not any(char.isalnum() for char in term.text):
            return
        if self._or and not excluded and not self.clauses[-1].excluded and len(self.clauses[-1].alternatives) < CLAUSES_MAX:
            self.clauses[-1] = Clause((*self.clauses[-1].alternatives, term))
        elif len(self.clauses) < CLAUSES_MAX:
            self.clauses.append(Clause((term,), excluded))
        else:
            self.notes.append(typed)
        self._or = False

    def _filter(self, field: str, value: str, excluded: bool) -> bool:
        """Whether the value made sense."""
        if not value or len(self.filters) >= CLAUSES_MAX:
            return False
        if field == "year":
            return not excluded and self._period(value)
        if field == "status":
            codes = _statuses(value)
            if excluded:
                self.filters.extend(Filter("status", str(code), True) for code in codes)
            else:
                self.statuses.extend(codes)
            return bool(codes)
        if field == "language":
            value = _language(value)
        elif field in ("type", "site"):
            value = value.lower()
        self.filters.append(Filter(field, value, excluded))
        return True

    def _period(self, value: str) -> bool:
        try:
            start, end = period(value)
        except (ValueError, OverflowError):
            return False
        self.date_from = max((d for d in (self.date_from, start) if d), default=None)
        self.date_to = min((d for d in (self.date_to, end) if d), default=None)
        return True

    def _of(self, field: str) -> tuple[str, ...]:
        return tuple(dict.fromkeys(f.value for f in self.filters if f.field == field and not f.excluded))

    def build(self, text: str) -> Query:
        return Query(
            text=text,
            clauses=tuple(self.clauses),
            sources=self._of("source"),
            languages=self._of("language"),
            mimes=self._of("type"),
            statuses=tuple(dict.fromkeys(self.statuses)),
            urls=self._of("url"),
            sites=self._of("site"),
            excluded=tuple(f for f in self.filters if f.excluded),
            date_from=self.date_from,
            date_to=self.date_to,
            notes=tuple(dict.fromkeys(self.notes)),
        )


def _merged(first: Sequence[str], second: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys((*first, *second)))


def _language(value: str) -> str:
    value = value.lower()
    return _LANGUAGES.get(value, value.partition("-")[0])


def _statuses(value: str) -> list[int]:
    if re.fullmatch(r"[1-5][xX]{2}", value):
        first = int(value[0]) * 100
        return list(range(first, first + 100))
    return [int(value)] if re.fullmatch(r"[1-9][0-9]{2}", value) else []


def _span(text: str) -> tuple[datetime, datetime]:
    """The first instant of a year, month or day, and the first after it. Raises ValueError, OverflowError."""
    if not re.fullmatch(r"[0-9]{4}(-[0-9]{1,2}){0,2}", text):
        raise ValueError(f"{text!r} is not a date")
    numbers = [int(part) for part in text.split("-")]
    year, month, day = [*numbers, 1, 1][:3]
    first = date(year, month, day)
    if len(numbers) == 1:
        last = date(year, 12, 31)
    elif len(numbers) == 2:
        last = date(year, month, monthrange(year, month)[1])
    else:
        last = first
    return datetime.combine(first, time(), UTC), datetime.combine(last + _DAY, time(), UTC)
