from __future__ import annotations

import pytest

from healtharchive import journal
from healtharchive.campaigns import sources
from healtharchive.db import Database
from healtharchive.errors import NotFound, Refused, UsageError
from healtharchive.journal import Actor

ACTOR = Actor("person", "ana", "here")


def test_a_source_is_stored_with_its_seeds_in_normal_form_and_journaled(database: Database) -> None:
    with database.write() as conn:
        added = sources.add(
            conn,
            name="hc",
            seeds=["HTTPS://Example.ORG:443/a/../b#top", "https://example.org/b"],
            profile={"scope": "path", "exclude": [r"\.zip$"]},
            actor=ACTOR,
        )
    assert added.seeds == ("https://example.org/b",)
    assert added.title == "hc"
    with database.read() as conn:
        assert sources.get(conn, "hc") == added
        assert sources.all_sources(conn) == (added,)
        entry = journal.entries(conn, target="source:hc")[0]
    assert (entry.actor, entry.action, entry.outcome) == ("person:ana@here", "source.add", "done")


def test_a_name_is_taken_once(database: Database) -> None:
    with database.write() as conn:
        sources.add(conn, name="hc", seeds=["https://example.org/"], actor=ACTOR)
    with database.write() as conn, pytest.raises(Refused, match="nothing was changed"):
        sources.add(conn, name="hc", seeds=["https://example.net/"], actor=ACTOR)


@pytest.mark.parametrize("name", ["", "HC", "a b", "../x", "-a", "a-", ".a", "a..b", "é", "a/b", "x" * 64, "all", "imports"])
def test_names_that_cannot_be_a_directory_and_a_url_are_refused(name: str) -> None:
    with pytest.raises(UsageError):
        sources.check_name(name)


@pytest.mark.parametrize("name", ["hc", "a", "canada.ca", "127.0.0.1-8000", "phac_2", "x" * 63])
def test_ordinary_names_are_allowed(name: str) -> None:
    sources.check_name(name)


@pytest.mark.parametrize(
    "seed", ["ftp://example.org/", "javascript:alert(1)", "example", "http://", "mailto:a@b.c", "file:///etc"]
)
def test_a_seed_that_is_not_on_the_web_is_refused_by_name(seed: str) -> None:
    with pytest.raises(UsageError, match=r"is not a URL that can be crawled"):
        sources.check_seeds([seed])


def test_a_bare_host_is_not_guessed_but_suggested() -> None:
    with pytest.raises(UsageError, match=r"Did you mean https://example\.org\?"):
        sources.check_seeds(["example.org"])


@pytest.mark.parametrize(
    ("seed", "name"),
    [
        ("https://www.canada.ca/en/", "canada.ca"),
        ("http://127.0.0.1:8000/", "127.0.0.1-8000"),
        ("http://[::1]:8000/", "1-8000"),
        ("https://EXAMPLE.org:443/", "example.org"),
        ("https://bücher.example/", "xn--bcher-kva.example"),
        ("https://a_b.example.org/", "a_b.example.org"),
    ],
)
def test_a_source_made_by_itself_is_named_after_the_host(seed: str, name: str) -> None:
    assert sources.name_for(seed) == name


def test_an_unknown_source_is_answered_with_the_nearest(database: Database) -> None:
    with database.write() as conn:
        sources.add(conn, name="phac", seeds=["https://example.org/"], actor=ACTOR)
    with database.read() as conn, pytest.raises(NotFound, match=r"Did you mean phac\?"):
        sources.get(conn, "phca")
