"""Search gives the same answers whichever database the instance uses: golden queries in English and French, on both."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import pytest
from tests.rigs.archive import BEGIN, Answer, Archive, days, page

from healtharchive.access import indexer
from healtharchive.access.query import parse
from healtharchive.access.search import open_search
from healtharchive.instance import Instance

EN = "https://www.canada.example/en"
FR = "https://www.canada.example/fr"

MEASLES = Answer(
    f"{EN}/measles",
    page(
        "Measles vaccines",
        "Vaccination protects children. Every vaccine was tested. COVID-19 is another disease.",
        lang="en",
        around="Home Contact",
    ),
)
FLU = Answer(
    f"{EN}/flu-season",
    page("The flu season", "Influenza spreads in winter. Public health agencies publish a weekly report about influenza."),
)
OLD = Answer(
    f"{EN}/covid-19",
    page("COVID-19: outbreak", "This archived statement mentions quarantine rules for travellers in 19 provinces."),
)
NEW = Answer(
    f"{EN}/covid-19",
    page("COVID-19 today", "The statement was replaced; masks are optional for travellers everywhere."),
    at=BEGIN + days(400),
)
ROUGEOLE = Answer(
    f"{FR}/rougeole",
    page(
        "Vaccins contre la rougeole",
        "Les personnes vaccinées sont protégées. L’hôpital d'Ottawa reçoit les élèves malades.",
        lang="fr",
    ),
)
GRIPPE = Answer(
    f"{FR}/grippe",
    page("La grippe saisonnière", "La santé publique surveille l'épidémie de grippe dans les hôpitaux et les écoles du pays."),
)
GONE = Answer(f"{EN}/gone", page("Page not found", "The page about smallpox you are looking for is no longer here."), status=404)
PLAIN = Answer(f"{EN}/data.txt", "Wastewater surveillance dataset, weekly samples from seven cities.", mime="text/plain")
IMAGE = Answer(f"{EN}/logo.png", b"\x89PNG....", mime="image/png")
ROBOTS = Answer("https://www.canada.example/robots.txt", "User-agent: *\nDisallow: /private surveillance", mime="text/plain")
MOVED = Answer(f"{EN}/old-flu", page("Moved", "moved to flu"), status=301, headers=(("Location", "/en/flu-season"),))
AGAIN = Answer(f"{EN}/flu-season", at=BEGIN + days(500), revisit_of=FLU)
OTHER = Answer(
    "https://other.example/bulletin", page("Bulletin", "Influenza bulletin of another agency, in English for everybody.")
)

FIRST = (MEASLES, FLU, OLD, ROUGEOLE, GRIPPE, GONE, PLAIN, IMAGE, ROBOTS, MOVED)
SECOND = (NEW, AGAIN)


@pytest.fixture
def archive(instance: Instance) -> Archive:
    made = Archive(instance)
    made.add(FIRST, source="hc", job="first")
    made.add(SECOND, source="hc", job="second")
    made.add((OTHER,), source="phac")
    made.index()
    made.engine.catch_up()
    return made


GOLDEN = [
    # English: inflection, both ways
    ("vaccine", [MEASLES, ROUGEOLE]),
    ("vaccines lang:en", [MEASLES]),
    ("vaccinate children", [MEASLES]),
    ("agency", [FLU, OTHER]),
    ("travellers", [NEW]),
    # French: accents typed or not, inflection, elision
    ("vaccinées", [ROUGEOLE, MEASLES]),
    ("vaccinees rougeole", [ROUGEOLE]),
    ("hopital", [ROUGEOLE, GRIPPE]),
    ("hôpitaux", [ROUGEOLE, GRIPPE]),
    ("l'hôpital", [ROUGEOLE, GRIPPE]),
    ("épidémies", [GRIPPE]),
    ("epidemie ecole", [GRIPPE]),
    ("Ottawa", [ROUGEOLE]),
    ("sante publique", [GRIPPE]),
    ("eleve protege", [ROUGEOLE]),
    # phrases
    ('"public health"', [FLU]),
    ('"health public"', []),
    ('"santé publique"', [GRIPPE]),
    ('"l’hôpital d’Ottawa"', [ROUGEOLE]),
    ("« santé publique »", [GRIPPE]),
    ('"vaccine was"', [MEASLES]),
    ('"vaccines was"', []),
    # codes
    ("COVID-19", [NEW, MEASLES]),
    ("covid19", [NEW, MEASLES]),
    ("covid-19 quarantine", [NEW]),
    # prefix, typo, exclusion, alternatives
    ("vacc*", [MEASLES, ROUGEOLE]),
    ("influ*", [FLU, OTHER]),
    ("influenzq", [FLU, OTHER]),
    ("rougole", [ROUGEOLE]),
    ("influenca~ bulletin", [OTHER]),
    ("influenza -bulletin", [FLU]),
    ('influenza -"public health"', [OTHER]),
    ("rougeole OR measles", [MEASLES, ROUGEOLE]),
    ("grippe OU measles", [MEASLES, GRIPPE]),
    # filters
    ("influenza source:phac", [OTHER]),
    ("influenza -source:phac", [FLU]),
    ("vaccine lang:fr", [ROUGEOLE]),
    ("langue:fr", [ROUGEOLE, GRIPPE]),
    ("type:text", [PLAIN]),
    ("surveillance", [PLAIN, GRIPPE]),
    ("smallpox", []),
    ("smallpox status:404", [GONE]),
    ("status:4xx", [GONE]),
    ("travellers year:2024", [OLD]),
    ("travellers year:2025", [NEW]),
    ("travellers date:2024-03", [OLD]),
    ("travellers date:2024-03-01..2024-03-02", [OLD]),
    ("travellers date:..2023", []),
    ("année:2025", [AGAIN, NEW]),
    ("influenza year:2025", [AGAIN]),
    ("site:other.example", [OTHER]),
    ("influenza site:canada.example", [FLU]),
    ("site:canada.example/fr", [ROUGEOLE, GRIPPE]),
    (f"url:{EN}/flu-season", [FLU]),
    (f"url:{FR}/*", [ROUGEOLE, GRIPPE]),
    ("url:covid", [NEW]),
    (f"{EN}/measles", [MEASLES]),
    # words around the page's own text are found, too
    ("contact", [MEASLES]),
    # words that only an older version had
    ("quarantine", [OLD]),
]


@pytest.mark.parametrize(("text", "expected"), GOLDEN, ids=[text for text, _ in GOLDEN])
@pytest.mark.parametrize("database_kind", ["sqlite"], indirect=True)
def test_a_golden_query_finds_exactly_its_pages(archive: Archive, text: str, expected: list[Answer]) -> None:
    assert sorted(archive.found(text)) == sorted({answer.url for answer in expected}), text


def test_both_databases_give_the_golden_answers(archive: Archive) -> None:
    wrong = {
        text: archive.found(text) for text, expected in GOLDEN if sorted(archive.found(text)) != sorted({a.url for a in expected})
    }
    assert wrong == {}


def test_the_pages_view_shows_the_latest_capture_that_matches_and_how_many_there_are(archive: Archive) -> None:
    (hit,) = archive.search("travellers").hits
    assert (hit.capture.captured_at, hit.captures) == (NEW.at, 2)
    (hit,) = archive.search("quarantine").hits
    assert (hit.capture.captured_at, hit.captures) == (OLD.at, 2)


def test_the_captures_view_shows_each_capture(archive: Archive) -> None:
    found = archive.search("travellers", view="captures")
    assert sorted(hit.capture.captured_at for hit in found.hits) == [OLD.at, NEW.at]
    assert found.total == 2


def test_a_revisit_is_found_by_the_text_it_refers_to(archive: Archive) -> None:
    (hit,) = archive.search("winter year:2025").hits
    assert hit.capture.record_type == "revisit"
    assert hit.capture.title == "The flu season"
    assert any(part.highlighted and part.text == "winter" for part in hit.snippet)


def test_facets_count_pages_and_leave_their_own_filter_out(archive: Archive) -> None:
    facets = archive.search("influenza OR grippe").facets
    assert {f.value: f.count for f in facets.source} == {"hc": 2, "phac": 1}
    assert {f.value: f.count for f in facets.language} == {"en": 2, "fr": 1}
    assert {f.value: f.count for f in facets.year} == {"2024": 3, "2025": 1}
    narrowed = archive.search("influenza OR grippe source:phac")
    assert narrowed.total == 1
    assert {f.value: f.count for f in narrowed.facets.source} == {"hc": 2, "phac": 1}
    assert {f.value: f.count for f in narrowed.facets.language} == {"en": 1}


def test_highlighted_parts_are_plain_text_with_the_words_found(archive: Archive) -> None:
    (hit,) = archive.search("hopitaux lang:fr ecole").hits
    assert [part.text for part in hit.snippet if part.highlighted] == ["hôpitaux", "écoles"]
    assert "".join(part.text for part in hit.snippet).startswith("…La santé publique")


def test_markup_in_a_page_stays_text(instance: Instance) -> None:
    archive = Archive(instance)
    archive.add([Answer("https://x.example/", page("t", "see &lt;script&gt;alert(1)&lt;/script&gt; zebra"))])
    archive.index()
    (hit,) = archive.search("zebra").hits
    assert "<script>alert(1)</script>" in "".join(part.text for part in hit.snippet if not part.highlighted)


def test_explain_says_how_the_score_came_about(archive: Archive) -> None:
    page_found = archive.engine.search(parse("influenza"), explain=True)
    explanation = json.loads(page_found.hits[0].explanation or "")
    assert explanation["value"] == pytest.approx(page_found.hits[0].score, rel=1e-3)
    assert archive.engine.explain(parse("zebra"), page_found.hits[0].capture.id) is None


def test_a_misspelt_word_says_that_it_was_widened(archive: Archive) -> None:
    assert archive.search("influenzq").corrected
    assert not archive.search("influenza").corrected


def test_sorting_by_date(archive: Archive) -> None:
    newest = [hit.capture.captured_at for hit in archive.search("", view="captures", sort="newest").hits]
    assert newest == sorted(newest, reverse=True)
    oldest = archive.search("travellers", sort="oldest").hits
    assert [hit.capture.captured_at for hit in oldest] == [OLD.at]


def test_pages_go_on_where_the_last_one_ended(archive: Archive) -> None:
    whole = archive.found("", limit=100)
    assert [url for start in range(0, 9, 3) for url in archive.found("", limit=3, offset=start)] == whole
    assert len(set(whole)) == len(whole) == archive.search("").total


def test_filters_chosen_beside_the_text_count_as_typed(archive: Archive) -> None:
    assert archive.found("influenza", sources=["phac"]) == [OTHER.url]
    assert archive.found("travellers", date_to=datetime(2024, 12, 31, tzinfo=UTC)) == [OLD.url]
    assert archive.found("", statuses=[404]) == [GONE.url]
    assert archive.found("", mimes=["text/plain"]) == [PLAIN.url]


HOSTILE = [
    "*", "~", "-", '"', '""', "(", ")", "AND OR NOT", "OR OR", "a:b:c:", "source:", "year:abc", "year:2024..1999",
    "date:9999-12-31",
    "status:999999", "url:*", "url:http://[", "site:://", "site:*", "url:" + "a" * 900, "[a TO z]", "x^9999", "\\",
    "\0\0", "\ud800",
    "é" * 500, "a* b* c* d*", "a~ " * 200, '"' + "a " * 400 + '"', "()[]{}+-!^~*?:\\/&|", "ﷺ", "🦠 virus", "-influenza",
    "-source:hc",
    "https://", "url:https://www.canada.example/(.*)", "lang:../..", "%s%s%n", "' OR 1=1 --", "year:0000",
    "x" * 2000, "« »", "١٢٣",
    "source:" + "x" * 700, "type:image/*", "w" * 70 + "*", "l'", "qu'", "a-b-c-d-e-f-1", "status:" + "9" * 300,
]  # fmt: skip


@pytest.mark.parametrize("view", ["pages", "captures"])
def test_no_query_raises(archive: Archive, view: str) -> None:
    for text in HOSTILE:
        for sort in ("relevance", "newest"):
            answer = archive.search(text, view=view, sort=sort)
            assert answer.total >= 0, text


def test_a_filter_without_sense_is_left_out_and_named(archive: Archive) -> None:
    answer = archive.search("influenza year:soon")
    assert answer.notes == ("year:soon",)
    assert answer.total == 2


def test_a_reindexed_warc_leaves_no_trace_and_keeps_its_ids(archive: Archive) -> None:
    before = {hit.capture.url: hit.capture.id for hit in archive.search("", limit=100).hits}
    for _ in range(2):
        archive.index(rebuild=True)
        archive.engine.catch_up()
        assert {hit.capture.url: hit.capture.id for hit in archive.search("", limit=100).hits} == before
        assert archive.engine.agrees()


def test_nothing_is_missed_while_several_processes_index(archive: Archive) -> None:
    """Rows become visible in the order of the search clock: a follower that saw number 7 has seen everything up to 7."""
    for n in range(4):
        archive.add(
            [Answer(f"https://many{n}.example/{k}", page(f"{n} {k}", "pandemic plan")) for k in range(12)], job=f"many{n}"
        )
    database, jobs_root = archive.instance.db, archive.instance.jobs_root

    def index(n: int) -> int:
        stored, source = archive.warcs[3 + n]
        return indexer.index_warc(database, jobs_root, stored, source=source, segment_records=1).captures

    engine = archive.engine
    with ThreadPoolExecutor(4) as pool:
        running = [pool.submit(index, n) for n in range(4)]
        while not all(future.done() for future in running):
            engine.catch_up()
        assert [future.result() for future in running] == [12] * 4
    engine.catch_up()
    assert engine.agrees()
    assert archive.search("pandemic", limit=100).total == 48


def test_a_forgotten_warc_leaves_the_index(archive: Archive) -> None:
    stored, _ = archive.warcs[2]
    with archive.instance.db.write() as conn:
        assert indexer.forget_warc(conn, stored.id) == 1
    archive.engine.catch_up()
    assert archive.found("bulletin") == []
    assert archive.engine.agrees()


def test_rows_are_searched_as_soon_as_somebody_searches(instance: Instance) -> None:
    archive = Archive(instance)
    archive.add(FIRST)
    archive.index()
    assert archive.found("influenza") == [FLU.url]
    assert open_search(instance).agrees()
