"""Sources: names, seeds and profiles, checked before they are stored. The only writer of the `source` table."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from healtharchive import db, journal
from healtharchive.campaigns import profiles
from healtharchive.campaigns.model import Source
from healtharchive.campaigns.tables import source as table
from healtharchive.crawl.engine import CrawlProfile
from healtharchive.errors import NotFound, Refused, UsageError
from healtharchive.jobs.model import Job
from healtharchive.journal import Actor
from healtharchive.settings import Settings
from healtharchive.warc import urls

NAME_LENGTH_MAX = 63
SEED_SHOWN_MAX = 200  # characters of one that is no URL, in the sentence that says so
_NAME = re.compile(r"[a-z0-9](?:[a-z0-9._-]*[a-z0-9])?")
# `imports` is the directory of foreign WARCs beside those of the sources; `all` means every source in requests; the others are
# first segments of addresses on the replay origin (the player's worker keeps `static` and `api` for itself).
_RESERVED = frozenset({"all", "imports", "static", "api", "en", "fr"})


def add(
    conn: Connection,
    *,
    name: str,
    seeds: Iterable[str],
    actor: Actor,
    title: str = "",
    profile: Mapping[str, Any] | None = None,
    reason: str = "asked for",
) -> Source:
    """Store a new source and journal it. Raises UsageError on a bad name, seed or profile, Refused if the name is taken."""
    check_name(name)
    normal = check_seeds(seeds)
    chosen = profiles.check_overrides(profile or {})
    if _row(conn, name) is not None:
        raise Refused(
            f"There is a source '{name}' already; nothing was changed.", hint=f"Look at it: healtharchive source show {name}"
        )
    now = db.now(conn)
    conn.execute(
        table.insert().values(
            name=name,
            title=title.strip() or name,
            seeds=list(normal),
            profile=chosen,
            revision=1,
            created_at=now,
            updated_at=now,
        )
    )
    journal.record(
        conn,
        actor,
        action="source.add",
        target=f"source:{name}",
        reason=reason,
        evidence={"seeds": list(normal), "profile": chosen},
    )
    return get(conn, name)


def get(conn: Connection, name: str) -> Source:
    """The source of that name. Raises NotFound with the nearest name."""
    row = _row(conn, name)
    if row is None:
        names = list(conn.execute(sa.select(table.c.name).order_by(table.c.name)).scalars())
        near = profiles.nearest(name, names)
        hint = f"Did you mean {near}?" if near else "All of them: healtharchive source list"
        raise NotFound(f"No source '{name}'.", hint=hint)
    return _source(row)


def find(conn: Connection, name: str) -> Source | None:
    """The source of that name, None if there is none."""
    row = _row(conn, name)
    return None if row is None else _source(row)


def all_sources(conn: Connection) -> tuple[Source, ...]:
    """Every source, by name."""
    return tuple(_source(row) for row in conn.execute(sa.select(table).order_by(table.c.name)))


def profile_resolver(settings: Settings) -> Callable[[Connection, Job], CrawlProfile]:
    """The function that a worker asks for the profile of a job it is about to run."""

    def resolve(conn: Connection, job: Job) -> CrawlProfile:
        return profiles.resolve(settings, get(conn, job.source), job.config.get(profiles.JOB_PROFILE, {}))

    return resolve


def check_name(name: str) -> None:
    """Raise UsageError unless `name` may stand in a directory, a WARC's name and a URL alike."""
    if len(name) > NAME_LENGTH_MAX or not _NAME.fullmatch(name) or ".." in name:
        raise UsageError(
            f"'{name}' cannot name a source.",
            expected=f"up to {NAME_LENGTH_MAX} of a-z, 0-9, dot, dash and underscore, a letter or digit first and last",
        )
    if name in _RESERVED:
        raise UsageError(f"'{name}' cannot name a source: the word has a meaning of its own.")


def check_seeds(seeds: Iterable[str]) -> tuple[str, ...]:
    """The seeds as URLs in normal form, each once, in order. Raises UsageError naming the first that cannot be crawled."""
    normal: dict[str, None] = {}
    for seed in seeds:
        # A scheme is never guessed: http and https may be two different sites.
        href = urls.normalize(seed.strip())
        if href is None:
            hint = f"Did you mean https://{seed.strip()}?" if _looks_like_host(seed.strip()) else ""
            shown = seed if len(seed) <= SEED_SHOWN_MAX else seed[:SEED_SHOWN_MAX] + "…"
            expected = "http:// or https:// with a host"
            raise UsageError(f"'{shown}' is not a URL that can be crawled.", expected=expected, hint=hint)
        normal[href] = None
    if not normal:
        raise UsageError("A source needs at least one seed URL.")
    return tuple(normal)


def name_for(seed: str) -> str:
    """The name that a source gets from its first seed: the host without `www.`, and the port if it is not the scheme's own."""
    parts = urls.split(check_seeds([seed])[0])
    host = parts.host.removeprefix("www.").replace(":", "-")
    port = "" if parts.port in (None, 80, 443) else f"-{parts.port}"
    name = re.sub(r"[^a-z0-9._-]", "-", host)[: NAME_LENGTH_MAX - len(port)].strip("-._") + port
    check_name(name)
    return name


def _looks_like_host(text: str) -> bool:
    return "://" not in text and re.fullmatch(r"[\w-]+(\.[\w-]+)+(:\d+)?(/.*)?", text) is not None


def _row(conn: Connection, name: str) -> sa.Row[Any] | None:
    return conn.execute(sa.select(table).where(table.c.name == name)).one_or_none()


def _source(row: sa.Row[Any]) -> Source:
    data = dict(row._mapping)
    data["seeds"] = tuple(data["seeds"])
    return Source(**data)
