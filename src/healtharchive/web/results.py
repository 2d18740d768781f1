"""View models of the search page: the question as it is in an address, the hits, the filters. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final, Literal

from healtharchive.access.model import Capture, FacetCount, Hit, Part, SearchPage
from healtharchive.access.query import Query, Sort, View, parse, period
from healtharchive.web.i18n import Words
from healtharchive.web.links import Links
from healtharchive.web.pages import kind, kind_name, shown_url
from healtharchive.web.reading import Overview

PAGE_HITS: Final = 10
PAGE_MAX: Final = 500
"""The last page of results that is served: nobody reads further, and each costs the engine all those before it."""
FACET_VALUES_MAX: Final = 12

FilterName = Literal["source", "language", "type"]


@dataclass(frozen=True)
class SearchForm:
    """What the reader asked, as in the address. Values that make no sense are kept, to be shown with what is wrong."""

    text: str = ""
    sources: tuple[str, ...] = ()
    languages: tuple[str, ...] = ()
    types: tuple[str, ...] = ()
    date_from: str = ""
    date_to: str = ""
    view: View = "pages"
    sort: Sort = "relevance"
    page: int = 1

    def parameters(self) -> list[tuple[str, str]]:
        """As in the address, defaults left out, so that one question has one address."""
        pairs = [("q", self.text)]
        pairs += [("source", value) for value in self.sources]
        pairs += [("language", value) for value in self.languages]
        pairs += [("type", value) for value in self.types]
        pairs += [("from", self.date_from), ("to", self.date_to)]
        pairs.append(("view", self.view if self.view != "pages" else ""))
        pairs.append(("sort", self.sort if self.sort != "relevance" else ""))
        pairs.append(("page", str(self.page) if self.page > 1 else ""))
        return [(name, value) for name, value in pairs if value]

    def hidden(self, *without: str) -> list[tuple[str, str]]:
        """What a form with fields of its own must carry along; a new question starts at its first page."""
        return [(name, value) for name, value in self.parameters() if name not in (*without, "page")]

    def bad_dates(self) -> tuple[str, ...]:
        return tuple(value for value in (self.date_from, self.date_to) if value and _period(value) is None)

    def query(self) -> Query:
        """Dates that are none are left out; the page says so."""
        start, end = _period(self.date_from), _period(self.date_to)
        return parse(
            self.text,
            sources=self.sources,
            languages=self.languages,
            mimes=self.types,
            date_from=start[0] if start else None,
            date_to=end[1] if end else None,
            view=self.view,
            sort=self.sort,
        )

    @property
    def is_asked(self) -> bool:
        """Whether there is anything to look for; an empty form shows no list of everything."""
        return bool(self.text.strip() or self.sources or self.languages or self.types or self.date_from or self.date_to)


def _period(text: str) -> tuple[datetime | None, datetime | None] | None:
    try:
        return period(text.strip())
    except (ValueError, OverflowError):
        return None


@dataclass(frozen=True)
class Choice:
    """A link that changes one filter; `count` is None for one that is not counted."""

    label: str
    url: str
    count: int | None = None
    chosen: bool = False


@dataclass(frozen=True)
class FacetGroup:
    name: str
    heading: str
    choices: tuple[Choice, ...]


@dataclass(frozen=True)
class HitView:
    """One result. `parts` are plain text; the template escapes and marks them."""

    capture: Capture
    title: tuple[Part, ...]
    snippet: tuple[Part, ...]
    url: str
    shown_url: str
    history_url: str
    details_url: str
    date: str
    captures: int
    source: str
    language: str
    kind: str


@dataclass(frozen=True)
class SearchView:
    form: SearchForm
    hits: tuple[HitView, ...]
    total: int
    summary: str
    notes: tuple[str, ...]
    corrected: bool
    facets: tuple[FacetGroup, ...]
    active: tuple[Choice, ...]
    views: tuple[Choice, ...]
    previous_url: str | None
    next_url: str | None
    position: str
    clear_url: str
    bad_dates: tuple[str, ...] = ()


def search_view(form: SearchForm, found: SearchPage, *, words: Words, links: Links, overview: Overview) -> SearchView:
    """A page of results with its filters."""
    code = words.code

    def url(changed: SearchForm) -> str:
        return links.search(code, changed.parameters())

    pages = min(PAGE_MAX, -(-found.total // PAGE_HITS))
    return SearchView(
        form=form,
        hits=tuple(_hit_view(hit, words=words, links=links, overview=overview) for hit in found.hits),
        total=found.total,
        summary=words.count("search.results", found.total),
        notes=found.notes,
        corrected=found.corrected,
        facets=_facets(form, found, words=words, links=links, overview=overview),
        active=_active(form, words=words, links=links, overview=overview),
        views=(
            Choice(words("search.view_pages"), url(replace(form, view="pages", page=1)), chosen=form.view == "pages"),
            Choice(words("search.view_captures"), url(replace(form, view="captures", page=1)), chosen=form.view == "captures"),
        ),
        previous_url=url(replace(form, page=form.page - 1)) if form.page > 1 else None,
        next_url=url(replace(form, page=form.page + 1)) if form.page < pages else None,
        position=words("search.page_of", page=form.page, pages=pages) if pages > 1 else "",
        clear_url=links.search(code, [("q", form.text)]),
        bad_dates=form.bad_dates(),
    )


def _hit_view(hit: Hit, *, words: Words, links: Links, overview: Overview) -> HitView:
    capture = hit.capture
    return HitView(
        capture=capture,
        title=hit.title or (Part(capture.title or words("search.untitled")),),
        snippet=hit.snippet,
        url=links.copy(words.code, capture),
        shown_url=shown_url(capture.url),
        history_url=links.history(words.code, capture.url),
        details_url=links.snapshot(words.code, capture.id),
        date=words.date(capture.captured_at),
        captures=hit.captures,
        source=overview.title(capture.source),
        language=words.language(capture.language) if capture.language else "",
        kind=kind(capture.mime, words),
    )


def _facets(form: SearchForm, found: SearchPage, *, words: Words, links: Links, overview: Overview) -> tuple[FacetGroup, ...]:
    groups = [
        _group("source", form, form.sources, found.facets.source, overview.title, words, links),
        _group("language", form, form.languages, found.facets.language, words.language, words, links),
        _group("type", form, form.types, found.facets.type, lambda value: kind_name(value, words), words, links),
        _years(form, found.facets.year, words, links),
    ]
    # One value that is not chosen narrows nothing.
    return tuple(g for g in groups if len(g.choices) > 1 or any(choice.chosen for choice in g.choices))


def _group(
    name: FilterName,
    form: SearchForm,
    chosen: Sequence[str],
    counts: Sequence[FacetCount],
    label: Callable[[str], str],
    words: Words,
    links: Links,
) -> FacetGroup:
    choices = []
    listed = list(counts[:FACET_VALUES_MAX])
    listed += [FacetCount(value, 0) for value in chosen if value not in {count.value for count in listed}]
    for count in listed:
        is_chosen = count.value in chosen
        values = tuple(v for v in chosen if v != count.value) if is_chosen else (*chosen, count.value)
        changed = _with(form, name, values)
        choices.append(Choice(label(count.value), links.search(words.code, changed.parameters()), count.count, is_chosen))
    return FacetGroup(name, words(f"search.filter_{name}"), tuple(choices))


def _with(form: SearchForm, name: FilterName, values: tuple[str, ...]) -> SearchForm:
    match name:
        case "source":
            return replace(form, sources=values, page=1)
        case "language":
            return replace(form, languages=values, page=1)
        case "type":
            return replace(form, types=values, page=1)


def _years(form: SearchForm, counts: Sequence[FacetCount], words: Words, links: Links) -> FacetGroup:
    choices = []
    for count in sorted(counts, key=lambda count: count.value, reverse=True)[:FACET_VALUES_MAX]:
        is_chosen = form.date_from == form.date_to == count.value
        year = "" if is_chosen else count.value
        changed = replace(form, date_from=year, date_to=year, page=1)
        choices.append(Choice(count.value, links.search(words.code, changed.parameters()), count.count, is_chosen))
    return FacetGroup("year", words("search.filter_year"), tuple(choices))


def _active(form: SearchForm, *, words: Words, links: Links, overview: Overview) -> tuple[Choice, ...]:
    """The filters in force, each as the link that removes it."""
    changes: list[tuple[str, SearchForm]] = []
    fields: tuple[tuple[FilterName, tuple[str, ...], Callable[[str], str]], ...] = (
        ("source", form.sources, overview.title),
        ("language", form.languages, words.language),
        ("type", form.types, lambda value: kind_name(value, words)),
    )
    for name, chosen, label in fields:
        changes += [(label(value), _with(form, name, tuple(v for v in chosen if v != value))) for value in chosen]
    if form.date_from and form.date_from == form.date_to:
        changes.append((form.date_from, replace(form, date_from="", date_to="")))
    else:
        if form.date_from:
            changes.append((f"{words('search.from')} {form.date_from}", replace(form, date_from="")))
        if form.date_to:
            changes.append((f"{words('search.to')} {form.date_to}", replace(form, date_to="")))
    return tuple(Choice(label, links.search(words.code, replace(changed, page=1).parameters())) for label, changed in changes)
