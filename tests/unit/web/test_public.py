from __future__ import annotations

import re

import pytest
from starlette.testclient import TestClient
from tests.rigs import exhibits

from healtharchive.instance import Instance

PAGES = ("", "search?q=vaccination", "history?url=health.example/en/vaccination", "snapshot/1", "sources", "about", "data")


def test_the_start_asks_the_browser_for_its_language(public: TestClient) -> None:
    answer = public.get("/", headers={"Accept-Language": "fr-CA"})
    assert (answer.status_code, answer.headers["location"], answer.headers["vary"]) == (302, "/fr/", "Accept-Language")


@pytest.mark.parametrize("path", PAGES)
@pytest.mark.parametrize("code", ["en", "fr"])
def test_every_page_says_its_language_and_offers_the_other(public: TestClient, code: str, path: str) -> None:
    answer = public.get(f"/{code}/{path}")
    other = "fr" if code == "en" else "en"
    assert answer.status_code == 200
    assert f'<html lang="{code}">' in answer.text
    assert answer.headers["content-language"] == code
    assert f'hreflang="{other}" href="/{other}/{path}"' in answer.text


@pytest.mark.parametrize("path", PAGES)
def test_no_page_has_scripts_inline_styles_cookies_or_foreign_parts(public: TestClient, path: str) -> None:
    answer = public.get(f"/en/{path}")
    assert "<script" not in answer.text
    assert "style=" not in answer.text
    assert not re.search(r"\son\w+=", answer.text)
    assert "set-cookie" not in answer.headers
    loaded = re.findall(r"""(?:src|<link[^>]*stylesheet[^>]*href)=["']([^"']+)""", answer.text)
    assert all(address.startswith("/") for address in loaded)
    assert answer.headers["content-security-policy"].startswith("default-src 'none'")


def test_what_a_reader_types_is_shown_as_text(public: TestClient) -> None:
    hostile = "\"><img src=x onerror=alert(1)>'"
    for path in ("search", "history"):
        shown = public.get(f"/en/{path}", params={"q": hostile, "url": hostile, "from": hostile}).text
        assert "<img src=x" not in shown


def test_an_address_is_found_without_its_scheme_and_under_the_other(public: TestClient) -> None:
    for typed in (
        "health.example/en/vaccination",
        "http://health.example/en/vaccination",
        " https://health.example/en/vaccination#x ",
    ):
        answer = public.get("/en/history", params={"url": typed})
        assert answer.status_code == 200
        assert "7 captures" in answer.text


@pytest.mark.parametrize(
    ("url", "status", "text"),
    [
        ("https://health.example/never", 404, "never captured"),
        ("javascript:alert(1)", 400, "not a web address"),
        ("nonsense", 400, "not a web address"),
        ("", 200, "Show history"),
    ],
)
def test_a_history_that_is_not_there_says_why(public: TestClient, url: str, status: int, text: str) -> None:
    answer = public.get("/en/history", params={"url": url})
    assert answer.status_code == status
    assert text in answer.text


def test_a_copy_can_be_cited(public: TestClient) -> None:
    shown = public.get("/fr/snapshot/1").text
    assert "Copie du 2 novembre 2023, 14:05:09 UTC" in shown
    assert f"https://replay.example/fr/hc/20231102140509/{exhibits.SITE}/en/vaccination" in shown


@pytest.mark.parametrize(
    "path",
    ["/de/", "/en/nothing", "/en/snapshot/0", "/en/snapshot/99999999999999999999999", "/en/snapshot/x", "/static/../app.py",
     "/static/%2e%2e/app.py", "/static/vendor/sw.js", "/static/..%2fapp.py", "/etc/passwd"],
)  # fmt: skip
def test_what_is_not_there_is_a_page_that_says_so(public: TestClient, path: str) -> None:
    answer = public.get(path, headers={"Accept-Language": "fr"})
    assert answer.status_code == 404
    assert "<html lang=" in answer.text
    assert "Traceback" not in answer.text


def test_head_is_answered_like_get(public: TestClient) -> None:
    answer = public.head("/en/")
    assert (answer.status_code, answer.content) == (200, b"")


def test_a_host_that_is_none_is_refused(public: TestClient) -> None:
    assert public.get("/en/", headers={"Host": "x; script-src *"}).status_code == 400


def test_static_files_are_checked_again_by_their_tag(public: TestClient) -> None:
    first = public.get("/static/archive.css")
    assert first.headers["content-type"].startswith("text/css")
    assert public.get("/static/archive.css", headers={"If-None-Match": first.headers["etag"]}).status_code == 304


def test_a_database_that_is_away_is_a_page_with_503(furnished: Instance, public: TestClient) -> None:
    path = furnished.root / "archive.sqlite3"
    furnished.db.close()
    hidden = path.rename(path.with_name("hidden"))
    path.mkdir()
    try:
        answer = public.get("/fr/snapshot/1")
        assert answer.status_code == 503
        assert answer.headers["retry-after"]
        assert str(furnished.root) not in answer.text
        assert "ne peuvent pas être lues" in answer.text
    finally:
        path.rmdir()
        hidden.rename(path)
