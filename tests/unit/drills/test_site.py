from __future__ import annotations

import threading
import urllib.error
import urllib.request
import xml.etree.ElementTree as ElementTree
from http.client import HTTPConnection
from urllib.parse import urlsplit

import pypdfium2
import pytest

from healtharchive.drills.site.content import LANGUAGES, Edition, pages, site
from healtharchive.drills.site.server import DemoSite, serve

EDITIONS: tuple[Edition, Edition] = (1, 2)


def get(demo: DemoSite, path: str, **headers: str) -> tuple[int, dict[str, str], bytes]:
    connection = HTTPConnection(urlsplit(demo.url).netloc, timeout=10)
    try:
        connection.request("GET", path, headers=headers)
        answer = connection.getresponse()
        return answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read()
    finally:
        connection.close()


@pytest.mark.parametrize("edition", EDITIONS)
def test_every_page_answers_in_its_language_and_says_that_it_is_fictional(edition: Edition) -> None:
    assert 38 <= len(pages(edition)) <= 42
    for path in pages(edition):
        answer = site(edition)[path]
        language = path.split("/")[1] if path.count("/") > 1 else "en"
        text = answer.body.decode()
        assert (answer.status, answer.mime) == (200, "text/html; charset=utf-8")
        assert f'<html lang="{language}">' in text
        assert "fictional" in text or "fictif" in text


def test_the_editions_differ_in_what_the_demo_claims() -> None:
    first, second = set(pages(1)), set(pages(2))
    assert second - first == {"/en/measles", "/fr/rougeole"}
    assert first - second == {"/en/hearing", "/fr/audition"}
    changed = {path for path in first & second if site(1)[path].body != site(2)[path].body}
    assert changed == {f"/{language}/" for language in LANGUAGES} | {
        "/en/influenza", "/fr/grippe", "/en/extreme-heat", "/fr/chaleur-extreme", "/en/reports", "/fr/rapports",
    }  # fmt: skip


def test_the_log_counts_every_visit_of_each_edition() -> None:
    with serve() as demo:
        assert get(demo, "/en/ticks?x=1")[0] == 200
        demo.edition = 2
        get(demo, "/en/ticks?x=1")
        get(demo, "/en/ticks?x=1")
        assert (demo.counts(1)["/en/ticks?x=1"], demo.counts(2)["/en/ticks?x=1"]) == (1, 2)
        assert demo.wait_for(2, 2, timeout_seconds=1)
        assert not demo.wait_for(2, 3, timeout_seconds=0.01)


def test_an_unchanged_page_is_told_by_either_validator() -> None:
    with serve() as demo:
        _, headers, _ = get(demo, "/en/sleep")
        assert get(demo, "/en/sleep", **{"If-None-Match": headers["etag"]})[0] == 304
        assert get(demo, "/en/sleep", **{"If-Modified-Since": headers["last-modified"]})[0] == 304
        demo.edition = 2
        assert get(demo, "/en/sleep", **{"If-None-Match": headers["etag"]})[0] == 304
        assert get(demo, "/en/influenza", **{"If-None-Match": headers["etag"]})[0] == 200
        assert get(demo, "/en/hearing", **{"If-None-Match": headers["etag"]})[0] == 404


def test_redirect_missing_page_and_trap_behave_as_such() -> None:
    with serve() as demo:
        status, headers, _ = get(demo, "/en/flu")
        assert (status, headers["location"]) == (301, "/en/influenza")
        assert get(demo, "/en/newsletter-1998")[0] == 404
        assert b"/en/tides?year=2041" in get(demo, "/en/tides?year=2040")[2]


def test_robots_and_sitemap_name_the_host_as_the_visitor_does() -> None:
    with serve() as demo:
        robots = get(demo, "/robots.txt")[2].decode()
        assert "Disallow: /private/" in robots
        assert f"Sitemap: {demo.url}sitemap.xml" in robots
        tree = ElementTree.fromstring(get(demo, "/sitemap.xml")[2])
        found = {element.text for element in tree.iter("{http://www.sitemaps.org/schemas/sitemap/0.9}loc")}
        assert found == {demo.url.rstrip("/") + path for path in pages(1)}


@pytest.mark.parametrize(("language", "word"), [("en", "bandstand"), ("fr", "Convenez d'un lieu de rencontre : le kiosque")])
def test_the_booklet_is_a_pdf_with_text(language: str, word: str) -> None:
    document = pypdfium2.PdfDocument(site(1)[f"/files/booklet-{language}.pdf"].body)
    assert word in document[0].get_textpage().get_text_range()


def test_an_address_that_nobody_knows_is_answered_in_its_language() -> None:
    with serve() as demo, pytest.raises(urllib.error.HTTPError) as raised:
        urllib.request.urlopen(demo.url + "fr/rien", timeout=10)
    assert raised.value.code == 404
    assert "Cette page n’existe pas" in raised.value.read().decode()


def test_it_stops_when_the_block_ends() -> None:
    before = threading.active_count()
    with serve() as demo:
        url = demo.url
    with pytest.raises(urllib.error.URLError):
        urllib.request.urlopen(url, timeout=2)
    assert threading.active_count() <= before + 1
