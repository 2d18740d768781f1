"""The store of extracted texts: one row a payload, compressed, however often it was captured."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import sqlalchemy as sa
import zstandard
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import Connection

from healtharchive.access.tables import capture, page_text
from healtharchive.access.text import EXTRACTOR, Text

# Nine in ten bytes of web text go at this level; higher ones cost more time than the search index itself.
_LEVEL: Final = 6
_BYTES_MAX: Final = 64 << 20
_UNREAD: Final = 0  # before every version of the extractor


@dataclass(frozen=True)
class About:
    """What captures copy of their text, so that lists need not read it."""

    title: str
    language: str | None
    language_declared: str | None


def known(conn: Connection, digests: Sequence[str]) -> dict[str, tuple[About, bool]]:
    """Of `digests` those that have a text, each with whether the present extractor made it."""
    c = page_text.c
    query = sa.select(c.payload_digest, c.title, c.language, c.language_declared, c.extractor).where(
        c.payload_digest.in_(digests)
    )
    return {
        row.payload_digest: (About(row.title, row.language, row.language_declared), row.extractor == EXTRACTOR)
        for row in conn.execute(query)
    }


def store(conn: Connection, texts: Mapping[str, Text], *, is_final: bool = True) -> None:
    """Add texts by payload digest. One that another process has stored meanwhile stays; one of an older extractor is replaced.

    What is not final counts as of an older one: a document that took too long on a busy day is read again when it is next met.
    """
    if not texts:
        return
    insert: Any = postgresql.insert(page_text) if conn.dialect.name == "postgresql" else sqlite.insert(page_text)
    replaced = {name: insert.excluded[name] for name in page_text.c.keys() if name != "payload_digest"}  # noqa: SIM118
    statement = insert.on_conflict_do_update(
        index_elements=["payload_digest"], set_=replaced, where=page_text.c.extractor < insert.excluded.extractor
    )
    conn.execute(statement, [_row(digest, text, EXTRACTOR if is_final else _UNREAD) for digest, text in sorted(texts.items())])


def load(conn: Connection, digests: Sequence[str]) -> dict[str, Text]:
    """The texts of those payloads that have one."""
    rows = conn.execute(sa.select(page_text).where(page_text.c.payload_digest.in_(digests)))
    return {row.payload_digest: _text(row) for row in rows}


def of_captures(conn: Connection, ids: Sequence[int]) -> dict[int, Text]:
    """The texts of those captures that have one, by capture id."""
    c = capture.c
    digest = sa.func.coalesce(c.text_digest, c.payload_digest)
    query = sa.select(c.id, page_text).join_from(capture, page_text, page_text.c.payload_digest == digest)
    return {row.id: _text(row) for row in conn.execute(query.where(c.id.in_(ids), c.is_page))}


def _row(digest: str, text: Text, extractor: int) -> dict[str, object]:
    return {
        "payload_digest": digest,
        "extractor": extractor,
        "title": text.title,
        "language": text.language,
        "languages": " ".join(text.languages),
        "language_declared": text.declared,
        "text": _pack(text.main),
        "rest": _pack(text.rest),
        "length": len(text.main),
    }


def _text(row: Any) -> Text:
    return Text(
        title=row.title,
        main=_unpack(row.text),
        rest=_unpack(row.rest),
        language=row.language,
        languages=tuple(row.languages.split()),
        declared=row.language_declared,
    )


def _pack(text: str) -> bytes:
    # Texts may hold lone surrogates (a damaged escape, an odd character reference); UTF-8 does not.
    return zstandard.compress(text.encode("utf-8", "replace"), _LEVEL)


def _unpack(data: bytes) -> str:
    return zstandard.ZstdDecompressor().decompress(bytes(data), max_output_size=_BYTES_MAX).decode("utf-8", "replace")
