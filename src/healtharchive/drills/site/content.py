"""The bundled site as values: every address of an edition with what it answers. Nothing here serves or crawls."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from html import escape
from pathlib import Path
from typing import Any, Final, Literal
from urllib.parse import urlsplit

from healtharchive.drills.site.files import bars, pdf, png

Language = Literal["en", "fr"]
Edition = Literal[1, 2]

LANGUAGES: Final[tuple[Language, Language]] = ("en", "fr")
_HERE = Path(__file__).parent
_TIDES_FROM: Final = 2034  # no real site plans much further ahead: a crawler should become suspicious soon
_EDITED: Final = {1: "Mon, 05 Jan 2026 08:00:00 GMT", 2: "Mon, 02 Nov 2026 08:00:00 GMT"}
_OTHER: Final[dict[Language, Language]] = {"en": "fr", "fr": "en"}

_WORDS: Final[dict[Language, dict[str, str]]] = {
    "en": {
        "office": "Port Laurier Health Office",
        "notice": "Demonstration site of HealthArchive: the office is fictional, and nothing here is medical advice.",
        "welcome": "Plain advice for a small harbour town, in English and French.",
        "all": "All topics",
        "other": "Français",
        "tides": "Tide table",
        "letter": "The newsletter of 1998",
        "flu": "The flu page that old posters name",
        "staff": "For staff",
        "print": "Booklet to print (PDF)",
        "booklet": "Emergency preparedness booklet",
        "chart": "Visits a year, as bars",
        "missing": "There is no such page.",
        "next": "The year after",
    },
    "fr": {
        "office": "Bureau de santé de Port-Laurier",
        "notice": "Site de démonstration de HealthArchive : le bureau est fictif et rien ici n’est un avis médical.",
        "welcome": "Des conseils simples pour une petite ville portuaire, en français et en anglais.",
        "all": "Tous les sujets",
        "other": "English",
        "tides": "Table des marées",
        "letter": "Le bulletin de 1998",
        "flu": "La page sur la grippe que citent les vieilles affiches",
        "staff": "Pour le personnel",
        "print": "Livret à imprimer (PDF)",
        "booklet": "Livret de préparation aux urgences",
        "chart": "Visites par année, en barres",
        "missing": "Cette page n’existe pas.",
        "next": "L’année suivante",
    },
}
_BOOKLET: Final[dict[Language, tuple[str, ...]]] = {
    "en": (
        "Keep three days of drinking water: four litres for each person and day.",
        "A crank radio needs no batteries when the storm takes the power lines.",
        "Agree on a meeting place: the bandstand, or the school if the quay floods.",
    ),
    "fr": (
        "Gardez trois jours d’eau potable : quatre litres par personne et par jour.",
        "Une radio à manivelle se passe de piles quand la tempête emporte les lignes électriques.",
        "Convenez d’un lieu de rencontre : le kiosque, ou l’école si le quai est inondé.",
    ),
}


@dataclass(frozen=True)
class Answer:
    """What the site says at one address. `validators` are the headers by which an unchanged page can be told."""

    status: int
    mime: str
    body: bytes
    location: str | None = None
    delay_seconds: float = 0.0
    edited: str | None = None

    @property
    def etag(self) -> str:
        return f'"{sha256(self.body).hexdigest()[:16]}"'


@dataclass(frozen=True)
class Topic:
    """One page in two languages, as it stands in one edition."""

    slug: Mapping[Language, str]
    title: Mapping[Language, str]
    text: Mapping[Language, tuple[str, ...]]
    changed: bool
    table: str | None
    document: bool
    slow_seconds: float
    sitemap_only: bool


@cache
def topics(edition: Edition) -> tuple[Topic, ...]:
    """The topics of an edition, in the order of the file."""
    return tuple(_topic(raw, edition) for raw in _data()["topic"] if raw.get("since", 1) <= edition <= raw.get("until", 2))


def pages(edition: Edition) -> tuple[str, ...]:
    """Every page that a complete crawl must have: its path. No image, no trap, no redirect, nothing forbidden."""
    return ("/", *(f"/{language}/" for language in LANGUAGES), *(path for path, _, _ in _topic_pages(edition)))


@cache
def site(edition: Edition) -> Mapping[str, Answer]:
    """Every fixed address of an edition. What names the origin, and the endless tide tables, are made by `answer`."""
    found: dict[str, Answer] = {
        "/": _page("en", "/", _choice(), title="Port Laurier", edition=1),
        "/private/roster": _page("en", "/private/roster", "<p>Nobody should read this.</p>", title="Roster", edition=1),
        "/style/site.css": _file("site.css", "text/css"),
        "/style/print.css": _file("print.css", "text/css"),
        "/images/logo.svg": _file("logo.svg", "image/svg+xml"),
        "/images/wave.png": Answer(200, "image/png", png(24, 8, _wave)),
        "/images/visits.png": Answer(200, "image/png", bars(_visits(edition))),
        "/en/flu": Answer(301, "text/html", b"", location="/en/influenza"),
        "/fr/grippe-saisonniere": Answer(302, "text/html", b"", location="/fr/grippe"),
    }
    for language in LANGUAGES:
        found[f"/{language}/"] = _page(language, f"/{_OTHER[language]}/", _home(language, edition), edition=edition)
        found[f"/files/booklet-{language}.pdf"] = Answer(
            200, "application/pdf", pdf(_WORDS[language]["booklet"], _BOOKLET[language]), edited=_EDITED[1]
        )
    for path, language, topic in _topic_pages(edition):
        other = f"/{_OTHER[language]}/{topic.slug[_OTHER[language]]}"
        since: Edition = edition if topic.changed else 1
        body = _topic_body(topic, language, edition)
        found[path] = _page(language, other, body, title=topic.title[language], edition=since, delay=topic.slow_seconds)
    return found


def answer(edition: Edition, path: str, query: str, origin: str) -> Answer:
    """What the site says to GET `path`?`query`; `origin` is how the visitor calls it (`http://127.0.0.1:8000`)."""
    language: Language = "fr" if path.startswith("/fr/") else "en"
    if path == "/sitemap.xml":
        return Answer(200, "application/xml", _sitemap(edition, origin))
    if path == "/robots.txt":
        rules = f"User-agent: *\nDisallow: /private/\n\nSitemap: {origin}/sitemap.xml\n"
        return Answer(200, "text/plain; charset=utf-8", rules.encode())
    if path == urlsplit(_tides_path(language, 0)).path:
        return _tides(language, query.rpartition("=")[2])
    fixed = site(edition).get(path)
    if fixed is not None:
        return fixed
    missing = _page(language, f"/{_OTHER[language]}/", f"<p>{_WORDS[language]['missing']}</p>", title="404", edition=1)
    return Answer(404, missing.mime, missing.body)


def _data() -> dict[str, Any]:
    return tomllib.loads((_HERE / "pages.toml").read_text(encoding="utf-8"))


def _topic(raw: Mapping[str, Any], edition: Edition) -> Topic:
    changed = edition == 2 and ("en2" in raw or raw.get("since") == 2 or raw.get("table") == "visits")
    return Topic(
        slug=raw["slug"],
        title=raw["title"],
        text={language: tuple(raw.get(f"{language}2" if edition == 2 else language, raw[language])) for language in LANGUAGES},
        changed=changed,
        table=raw.get("table"),
        document=raw.get("document", False),
        slow_seconds=raw.get("slow_seconds", 0.0),
        sitemap_only=raw.get("sitemap_only", False),
    )


def _topic_pages(edition: Edition) -> Iterator[tuple[str, Language, Topic]]:
    for topic in topics(edition):
        for language in LANGUAGES:
            yield f"/{language}/{topic.slug[language]}", language, topic


def _page(language: Language, other: str, body: str, *, title: str = "", edition: Edition, delay: float = 0.0) -> Answer:
    words = _WORDS[language]
    heading = escape(title or words["office"])
    html = f"""<!DOCTYPE html>
<html lang="{language}">
<head><meta charset="utf-8"><title>{heading} | {escape(words["office"])}</title>
<link rel="stylesheet" href="/style/site.css"><link rel="icon" type="image/svg+xml" href="/images/logo.svg">
<link rel="alternate" hreflang="{_OTHER[language]}" href="{other}"></head>
<body><p class="notice">{escape(words["notice"])}</p>
<header><img src="/images/logo.svg" alt="">
<p><a href="/{language}/">{escape(words["office"])}</a> · <a href="{other}">{words["other"]}</a></p></header>
<main><h1>{heading}</h1>
{body}
</main></body></html>
"""
    return Answer(200, "text/html; charset=utf-8", html.encode(), delay_seconds=delay, edited=_EDITED[edition])


def _choice() -> str:
    return '<p lang="en"><a href="/en/">Continue in English</a></p><p lang="fr"><a href="/fr/">Continuer en français</a></p>'


def _home(language: Language, edition: Edition) -> str:
    words = _WORDS[language]
    items = "\n".join(
        f'<li><a href="/{language}/{topic.slug[language]}">{escape(topic.title[language])}</a></li>'
        for topic in topics(edition)
        if not topic.sitemap_only
    )
    old = {"en": "/en/flu", "fr": "/fr/grippe-saisonniere"}[language]
    return f"""<p>{escape(words["welcome"])}</p><nav><h2>{words["all"]}</h2><ul>
{items}
</ul></nav>
<p><a href="{_tides_path(language, _TIDES_FROM)}">{words["tides"]}</a> ·
<a href="/{language}/newsletter-1998">{words["letter"]}</a> ·
<a href="{old}">{words["flu"]}</a> · <a href="/private/roster">{words["staff"]}</a></p>"""


def _topic_body(topic: Topic, language: Language, edition: Edition) -> str:
    words = _WORDS[language]
    parts = [f"<p>{escape(paragraph)}</p>" for paragraph in topic.text[language]]
    if topic.table:
        parts.append(_table(topic.table, language, edition))
    if topic.table == "visits":
        parts.append(f'<p><img src="/images/visits.png" alt="{escape(words["chart"])}"></p>')
    if topic.document:
        parts.append(f'<p><a href="/files/booklet-{language}.pdf">{words["print"]}</a></p>')
    return "\n".join(parts)


def _table(name: str, language: Language, edition: Edition) -> str:
    data = _data()["table"][name]
    rows = [*data["rows"], *(data.get("rows2", []) if edition == 2 else [])]
    head = "".join(f'<th scope="col">{escape(text)}</th>' for text in data["head"][language])
    body = "\n".join("<tr>" + "".join(f"<td>{escape(text)}</td>" for text in row[language]) + "</tr>" for row in rows)
    return f"<table><thead><tr>{head}</tr></thead><tbody>\n{body}\n</tbody></table>"


def _visits(edition: Edition) -> list[int]:
    data = _data()["table"]["visits"]
    rows = [*data["rows"], *(data["rows2"] if edition == 2 else [])]
    return [int(row["en"][1].replace(",", "")) for row in rows]


def _tides(language: Language, year: str) -> Answer:
    """The tide table of a year, which is computed and therefore links to the next one, for ever: the trap."""
    words = _WORDS[language]
    at = int(year) if year.isdecimal() and 1900 <= int(year) <= 9000 else _TIDES_FROM
    times = ((month, (at * 7 + month * 13) % 24, at * month % 60) for month in range(1, 13))
    rows = "".join(f"<tr><td>{month}</td><td>{hour:02d}:{minute:02d}</td></tr>" for month, hour, minute in times)
    body = f'<table>{rows}</table><p><a href="{_tides_path(language, at + 1)}">{words["next"]}</a></p>'
    return _page(language, _tides_path(_OTHER[language], at), body, title=f"{words['tides']} {at}", edition=1)


def _tides_path(language: Language, year: int) -> str:
    return {"en": f"/en/tides?year={year}", "fr": f"/fr/marees?annee={year}"}[language]


def _sitemap(edition: Edition, origin: str) -> bytes:
    # As sitemaps are: it still names what is gone.
    paths = dict.fromkeys((*pages(1), *pages(edition)))
    entries = "".join(f"<url><loc>{escape(origin + path)}</loc></url>\n" for path in paths)
    return f'<?xml version="1.0" encoding="UTF-8"?>\n<urlset xmlns="http://www.sitemaps.org/schemas/sitemap/0.9">\n{entries}</urlset>\n'.encode()


def _wave(x: int, y: int) -> tuple[int, int, int]:
    return (11, 83, 148) if (x + y) % 12 < 6 else (214, 230, 244)


def _file(name: str, mime: str) -> Answer:
    return Answer(200, mime, (_HERE / name).read_bytes(), edited=_EDITED[1])
