"""Captures whose text lies elsewhere: revisits know it by digest, or by the URL and date of what they refer to.

WARCs are indexed in any order, so that a revisit may be met before what it refers to. It is then a capture without text, until
the other record comes: whoever comes second tells the one that was first.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from healtharchive.access.captures import key_of
from healtharchive.access.tables import capture
from healtharchive.access.texts import About


def tell_earlier(conn: Connection, about: Mapping[str, About], seq: int) -> None:
    """Captures that were indexed before their text: revisits of a record met only now, and those of an older extractor."""
    if not about:
        return
    c = capture.c
    query = sa.select(c.id, c.payload_digest).where(
        c.payload_digest.in_(list(about)), c.search_seq < seq, sa.or_(c.is_page, c.record_type == "revisit")
    )
    for row in conn.execute(query).all():
        known = about[row.payload_digest]
        conn.execute(
            sa.update(capture)
            .where(c.id == row.id)
            .values(
                title=known.title,
                language=known.language,
                language_declared=known.language_declared,
                is_page=True,
                search_seq=seq,
            )
        )


_COPIED: Final = ("title", "language", "language_declared", "is_page")


def follow_references(conn: Connection, rows: Sequence[dict[str, Any]]) -> None:
    """Give revisits what they do not say themselves: the type, and the text where only URL and date lead to it."""
    mimes = {row["payload_digest"]: row["mime"] for row in rows if row["record_type"] != "revisit"}
    beside = {(row["url_key"], row["captured_at"]): row for row in rows if row["record_type"] != "revisit"}
    for row in rows:
        if row["record_type"] != "revisit":
            continue
        if not row["mime"] and row["payload_digest"]:
            row["mime"] = mimes.get(row["payload_digest"]) or _mime_of(conn, row["payload_digest"])
        if row["is_page"] or row["refers_to_at"] is None:
            continue
        key = key_of(row["refers_to_url"]) if row["refers_to_url"] else row["url_key"]
        if key is None:
            continue
        holder = beside.get((key, row["refers_to_at"]))
        if holder is None:
            c = capture.c
            query = sa.select(capture).where(
                c.url_key == key, c.captured_at == row["refers_to_at"], c.record_type != "revisit", c.is_page
            )
            found = conn.execute(query.order_by(c.id).limit(1)).mappings().first()
            holder = dict(found) if found is not None else None
        if holder is not None and holder["is_page"]:
            row.update({name: holder[name] for name in _COPIED})
            row["text_digest"] = holder["payload_digest"]
            row["mime"] = row["mime"] or holder["mime"]


def _mime_of(conn: Connection, digest: str) -> str:
    query = sa.select(capture.c.mime).where(capture.c.payload_digest == digest, capture.c.record_type != "revisit")
    return conn.execute(query.order_by(capture.c.id).limit(1)).scalar() or ""


def tell_referring(conn: Connection, rows: Sequence[dict[str, Any]], seq: int) -> None:
    """Revisits of the same URL, by date, that were indexed before what they refer to."""
    pages = {(row["url_key"], row["captured_at"]): row for row in rows if row["is_page"] and row["record_type"] != "revisit"}
    if not pages:
        return
    c = capture.c
    query = sa.select(c.id, c.url_key, c.refers_to_at).where(
        c.url_key.in_([key for key, _ in pages]), c.record_type == "revisit", c.is_page.is_(False), c.refers_to_at.is_not(None)
    )
    for row in conn.execute(query).all():
        holder = pages.get((bytes(row.url_key), row.refers_to_at))
        if holder is not None:
            copied = {name: holder[name] for name in _COPIED}
            change = sa.update(capture).where(c.id == row.id)
            conn.execute(change.values(**copied, text_digest=holder["payload_digest"], search_seq=seq))
