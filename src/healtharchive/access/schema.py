"""The fields of the search index, and how a capture becomes a document of it."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Final

import tantivy

from healtharchive.access import analysis
from healtharchive.access.search import Position, SearchDocument
from healtharchive.warc import urls

SCHEMA_VERSION: Final = 1
"""Version of everything in this module; part of the name of an index."""

POSITION_KEY: Final = "@position"
UNDETERMINED: Final = "und"  # BCP 47's word for a language nobody can tell

PARTS: Final = {"title": 3.0, "main": 1.0, "rest": 0.3}
"""Where a word may stand in a page, and what it weighs there."""

FACETS: Final = ("source", "language", "year", "type")

# The bindings raise ValueError and OSError, and panics of the engine as a BaseException of its own.
ENGINE_ERRORS: Final = (BaseException,)

_TYPES: Final = {
    "text/html": "html",
    "application/xhtml+xml": "html",
    "application/vnd.wap.xhtml+xml": "html",
    "application/pdf": "pdf",
    "application/x-pdf": "pdf",
}
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_URL_PREFIX: Final = re.compile(r"https?://")
_URL_CHARACTERS_MAX: Final = 8_000  # a term holds 65,530 bytes


def is_engine_error(error: BaseException) -> bool:
    """Whether an exception came out of the engine."""
    return isinstance(error, (ValueError, OSError)) or type(error).__name__ == "PanicException"


def total_of(found: tantivy.SearchResult) -> int:
    """All hits, shown or not; the bindings' stubs leave the attribute out."""
    return int(found.count)  # type: ignore[attr-defined]


def stem_field(part: str, analyzer: str) -> str:
    return f"{part}_{analyzer}"


def _schema() -> tantivy.Schema:
    builder = tantivy.SchemaBuilder()
    builder.add_text_field("key", stored=True, tokenizer_name="raw", index_option="basic")
    builder.add_integer_field("seq", stored=True)
    builder.add_integer_field("row", stored=True)
    for name in ("kind", "edition", "mime", "site", "url", "code"):
        builder.add_text_field(name, tokenizer_name="raw", index_option="basic")
    for name in FACETS:
        builder.add_text_field(name, tokenizer_name="raw", index_option="basic", fast=True)
    builder.add_integer_field("id", fast=True)
    for name in ("page", "at", "status"):
        builder.add_integer_field(name, fast=True, indexed=True)
    builder.add_text_field("address", tokenizer_name="exact", index_option="position")
    for part in PARTS:
        builder.add_text_field(stem_field(part, "exact"), tokenizer_name="exact", index_option="position")
        for analyzers in analysis.STEMS.values():
            for analyzer in analyzers:
                builder.add_text_field(stem_field(part, analyzer), tokenizer_name=analyzer, index_option="freq")
    return builder.build()


SCHEMA: Final = _schema()


def key_of(capture_id: int) -> str:
    return str(capture_id)


def page_number(url_key: bytes) -> int:
    """A URL's number for grouping: 64 bits of its key. Two of a million URLs share one with a chance of 3 in 100,000,000."""
    return int.from_bytes(url_key[:8], "big", signed=True)


def microseconds(moment: datetime) -> int:
    delta = moment - _EPOCH
    return (delta.days * 86_400 + delta.seconds) * 1_000_000 + delta.microseconds


def type_of(mime: str) -> str:
    """The family that a reader knows a type by."""
    return _TYPES.get(mime, "text" if mime.startswith("text/") or not mime else mime)


def bare(url: str) -> str:
    """A URL without its scheme: http and https are one address to a reader."""
    return _URL_PREFIX.sub("", url, count=1)[:_URL_CHARACTERS_MAX]


def document(item: SearchDocument) -> tantivy.Document:
    out = tantivy.Document()
    out.add_text("key", key_of(item.capture_id))
    out.add_text("kind", "capture")
    out.add_text("edition", item.edition)
    out.add_integer("id", item.capture_id)
    out.add_integer("page", page_number(item.url_key))
    out.add_integer("at", microseconds(item.captured_at))
    out.add_integer("status", item.status)
    out.add_text("source", item.source)
    out.add_text("language", item.text.language or UNDETERMINED)
    out.add_text("year", f"{item.captured_at.year:04d}")
    out.add_text("type", type_of(item.mime))
    out.add_text("mime", item.mime)
    href = urls.normalize(item.url) or item.url
    out.add_text("url", bare(href))
    out.add_text("address", bare(href))
    for site in _sites(href):
        out.add_text("site", site)
    _add_texts(out, item)
    return out


def position_document(position: Position) -> tantivy.Document:
    out = tantivy.Document()
    out.add_text("key", POSITION_KEY)
    out.add_integer("seq", position.seq)
    out.add_integer("row", position.capture_id)
    return out


def _add_texts(out: tantivy.Document, item: SearchDocument) -> None:
    # A page in two languages is stemmed in both; one that is too short to tell, in all.
    languages = [name for name in item.text.languages if name in analysis.STEMS] or list(analysis.STEMS)
    texts = {"title": item.text.title, "main": item.text.main, "rest": item.text.rest}
    for part, text in texts.items():
        if not text:
            continue
        prepared = analysis.prepared(text)
        out.add_text(stem_field(part, "exact"), prepared)
        for language in languages:
            for analyzer in analysis.STEMS[language]:
                out.add_text(stem_field(part, analyzer), prepared)
    for code in analysis.distinct_codes(texts.values()):
        out.add_text("code", code)


def _sites(href: str) -> list[str]:
    """The host and every domain above it."""
    try:
        labels = urls.split(href).host.split(".")
    except ValueError:
        return []
    return [".".join(labels[index:]) for index in range(len(labels))]
