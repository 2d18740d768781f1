from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from starlette.datastructures import QueryParams

from healtharchive.access.model import Capture
from healtharchive.web import pages
from healtharchive.web.i18n import words
from healtharchive.web.links import Links
from healtharchive.web.public import form_of

LINKS = Links("https://archive.example", "https://replay.example")
CAPTURE = Capture(
    id=1, warc_id=1, warc_name="a.warc.gz", warc_path="hc/a.warc.gz", offset=0, length=10, record_type="response", source="hc",
    job_id=1, url="https://site.example/", url_key=b"k" * 16, surt="example,site)/", captured_at=datetime(2025, 1, 3, tzinfo=UTC),
    status=200, mime="text/html", payload_digest="sha256:a", truncated=None, redirect_url=None, etag=None, last_modified=None,
    refers_to_url=None, refers_to_at=None, title="A page", language="en", language_declared=None, is_page=True,
)  # fmt: skip


def test_a_history_tells_content_from_visits() -> None:
    captures = [
        CAPTURE,
        replace(CAPTURE, payload_digest="sha256:a"),
        replace(CAPTURE, record_type="revisit", status=304, payload_digest=""),
        replace(CAPTURE, status=302, payload_digest="sha256:r"),
        replace(CAPTURE, status=500, payload_digest="sha256:e"),
        replace(CAPTURE, payload_digest="sha256:a"),
        replace(CAPTURE, payload_digest="sha256:b"),
        replace(CAPTURE, record_type="revisit", payload_digest="sha256:b"),
        replace(CAPTURE, payload_digest="sha256:a"),
    ]
    assert pages.changes_of(captures) == [
        "first", "unchanged", "unchanged", "redirect", "error", "unchanged", "changed", "unchanged", "changed",
    ]  # fmt: skip


def test_a_history_shows_the_newest_year_first_and_counts_changes() -> None:
    captures = [
        replace(CAPTURE, captured_at=datetime(2023, 5, 1, tzinfo=UTC)),
        replace(CAPTURE, captured_at=datetime(2025, 2, 1, tzinfo=UTC), payload_digest="sha256:b"),
        replace(CAPTURE, captured_at=datetime(2025, 2, 2, tzinfo=UTC), payload_digest="sha256:b"),
    ]
    view = pages.history_view(CAPTURE.url, captures, total=3, words=words("en"), links=LINKS)
    assert [year.year for year in view.years] == [2025, 2023]
    assert [visit.day for visit in view.years[0].visits] == ["February 2", "February 1"]
    assert view.years[0].months[1].count == 2
    assert view.years[0].months[1].has_change
    assert view.changes == "The content changed once."


def test_links_carry_what_an_address_needs() -> None:
    capture = replace(CAPTURE, url="https://site.example/a?b=c&d=%26")
    assert LINKS.copy("fr", capture) == "https://replay.example/fr/hc/20250103000000/https://site.example/a?b=c&d=%26"
    assert LINKS.history("en", capture.url) == (
        "https://archive.example/en/history?url=https%3A%2F%2Fsite.example%2Fa%3Fb%3Dc%26d%3D%2526"
    )


@pytest.mark.parametrize(
    ("path", "query", "code", "expected"),
    [
        ("/en/search", "q=x&from=2025", "en", "/fr/search?q=x&from=2025"),
        ("/fr/", "", "fr", "/en/"),
        ("/nothing", "", "en", "/fr/"),
    ],
)
def test_the_switch_leads_to_the_same_page(path: str, query: str, code: str, expected: str) -> None:
    assert pages.other_language(path, query, "fr" if code == "fr" else "en") == expected


def test_a_search_form_survives_any_address() -> None:
    form = form_of(QueryParams("q=a%00b&page=99999999999&view=x&sort=y&source=&from=31.12.2025&to=2025"))
    assert (form.text, form.page, form.view, form.sort, form.sources) == ("a b", 1, "pages", "relevance", ())
    assert form.bad_dates() == ("31.12.2025",)
    query = form.query()
    assert query.date_from is None
    assert query.date_to == datetime(2026, 1, 1, tzinfo=UTC)
    assert form_of(QueryParams(form.parameters())).parameters() == form.parameters()
