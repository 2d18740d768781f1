"""The engine's own rules: pages beyond what is counted one by one, order, typed bounds."""

from __future__ import annotations

from datetime import timedelta
from itertools import pairwise

import pytest
from tests.rigs.archive import BEGIN, Answer, Archive, page

from healtharchive.access import captures
from healtharchive.access.query import parse
from healtharchive.access.search import Search
from healtharchive.access.tantivy import TantivyBackend
from healtharchive.instance import Instance

pytestmark = pytest.mark.parametrize("database_kind", ["sqlite"], indirect=True)

URLS, EDITIONS = 60, 7


@pytest.fixture
def archive(instance: Instance) -> Archive:
    made = Archive(instance)
    for edition in range(EDITIONS):
        made.add(
            [
                Answer(
                    f"https://example.org/{n}",
                    page(f"Page {n}", f"measles edition {edition}" + " and other words" * (n % 5)),
                    at=BEGIN + timedelta(days=edition, minutes=n),
                )
                for n in range(URLS)
            ],
            job=f"edition{edition}",
        )
    made.index()
    made.engine.catch_up()
    return made


@pytest.mark.parametrize("sort", ["relevance", "newest", "oldest"])
@pytest.mark.parametrize("text", ["measles", "", "measles edition"])
def test_estimated_pages_are_the_same_as_counted_ones(archive: Archive, text: str, sort: str) -> None:
    instance = archive.instance
    counted = TantivyBackend(instance.search_root, heap_mb=16, clock=instance.host.clock)
    estimated = TantivyBackend(instance.search_root, heap_mb=16, clock=instance.host.clock, exact_hits_max=0)
    query = parse(text, sort=sort)  # type: ignore[arg-type]
    exact, near = (backend.search(query, limit=20, offset=0) for backend in (counted, estimated))
    assert exact.is_exact
    assert exact.total == URLS
    assert near.total == pytest.approx(URLS, rel=0.02)
    with instance.db.read() as conn:
        shown = [captures.by_ids(conn, [match.capture_id])[match.capture_id] for match in near.matches]
    assert len({item.url for item in shown}) == 20
    day = 0 if sort == "oldest" else EDITIONS - 1
    assert {(item.captured_at - BEGIN).days for item in shown} == {day}
    if sort != "relevance":
        assert [match.capture_id for match in near.matches] == [match.capture_id for match in exact.matches]


def test_every_page_is_reached_once_by_paging(archive: Archive) -> None:
    instance = archive.instance
    backend = TantivyBackend(instance.search_root, heap_mb=16, clock=instance.host.clock, exact_hits_max=0)
    engine = Search(instance.db, backend)
    found = [
        hit.capture.url for start in range(0, URLS, 7) for hit in engine.search(parse("measles"), limit=7, offset=start).hits
    ]
    assert sorted(found) == sorted({f"https://example.org/{n}" for n in range(URLS)})


@pytest.mark.parametrize("view", ["pages", "captures"])
def test_a_page_beyond_all_reach_is_empty_and_cheap(archive: Archive, view: str) -> None:
    query = parse("measles", view=view)  # type: ignore[arg-type]
    for offset in (1_000, 10**6, 2**40):
        answer = archive.engine.search(query, offset=offset)
        assert answer.hits == ()
        assert answer.total > 0
    assert archive.engine.search(query, limit=0).hits == ()
    assert len(archive.engine.search(query, limit=10**9).hits) == answer.total


def test_the_order_of_equal_hits_is_newest_first(archive: Archive) -> None:
    hits = archive.engine.search(parse("measles"), limit=100).hits
    for before, after in pairwise(hits):
        assert before.score > after.score or before.capture.captured_at >= after.capture.captured_at
