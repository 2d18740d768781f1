from __future__ import annotations

import re

import pytest
from starlette.testclient import TestClient
from tests.rigs import exhibits

from healtharchive.access.replay import Address, complete_url
from healtharchive.instance import Instance
from healtharchive.web import serving
from healtharchive.web.asked import read_path

HOME = f"{exhibits.SITE}/en/vaccination"


# -- addresses ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("hc/2025/https://a.example/", ("page", None, "hc", "2025", "", "https://a.example/")),
        ("en/hc/20250103150405/https://a.example/x?q=1&r=%2F", ("page", "en", "hc", "20250103150405", "", "https://a.example/x?q=1&r=%2F")),
        ("fr/all/2025nj_/a.example", ("page", "fr", "all", "2025", "nj_", "https://a.example/")),
        ("hc/2025ir_/http:/a.example/merged", ("raw", None, "hc", "2025", "ir_", "http://a.example/merged")),
        ("hc/ir_/https://a.example/", ("raw", None, "hc", "", "ir_", "https://a.example/")),
        ("hc/2025mp_/https://a.example/", ("frame", None, "hc", "2025", "mp_", "https://a.example/")),
        ("-/plain/fr/hc/2025/https://a.example/", ("plain", "fr", "hc", "2025", "", "https://a.example/")),
        ("-/copy/en/hc/2025/https://a.example/", ("facts", "en", "hc", "2025", "", "https://a.example/")),
        ("-/worker/hc/2025ir_/https://a.example/", ("worker", None, "hc", "2025", "ir_", "https://a.example/")),
        ("hc/2025/https://a.example/hc/2024/https://b.example/",
         ("page", None, "hc", "2025", "", "https://a.example/hc/2024/https://b.example/")),
    ],
)  # fmt: skip
def test_paths_are_read(path: str, expected: tuple[object, ...]) -> None:
    asked = read_path(path)
    assert asked is not None
    address = asked.address
    assert (asked.form, asked.code, address.collection, address.timestamp, address.modifier, address.url) == expected


@pytest.mark.parametrize(
    "path",
    ["", "hc", "hc/2025/", "hc/20251399/https://a.example/", "hc/2025xx_/https://a.example/", "HC/2025/https://a.example/",
     "hc/2025/javascript:alert(1)", "hc/2025/file:///etc/passwd", "../2025/https://a.example/", "hc/2025/ftp://a.example/",
     "-/plain/hc/2025/https://a.example/", "-/other/en/hc/2025/https://a.example/", "en/hc/2025ir_/https://a.example/",
     "hc/2025/https://", "hc/123456789012345/https://a.example/"],
)  # fmt: skip
def test_what_is_no_address_is_none(path: str) -> None:
    assert read_path(path) is None


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("a.example", "https://a.example/"),
        ("a.example:8080/x", "https://a.example:8080/x"),
        ("HTTP://A.example", "http://a.example/"),
        ("https:/a.example/x", "https://a.example/x"),
        ("https://user:secret@a.example/x#y", "https://a.example/x"),
        ("localhost/x", None),
        ("", None),
        ("data:text/html,x", None),
    ],
)
def test_web_addresses_are_completed(text: str, url: str | None) -> None:
    assert complete_url(text) == url


def test_a_path_and_its_address_are_one_thing() -> None:
    address = Address.parse("hc/2025ir_/https://a.example/?x=%20")
    assert address is not None
    assert Address.parse(address.path()) == address


# -- raw ---------------------------------------------------------------------------------------------------------------


def test_raw_is_the_nearest_copy_with_its_type_status_and_date(replayed: TestClient) -> None:
    answer = replayed.get(f"/hc/20231201ir_/{HOME}")
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert answer.headers["memento-datetime"] == "Thu, 02 Nov 2023 14:05:09 GMT"
    assert answer.headers["link"] == f'<{HOME}>; rel="original"'
    assert answer.headers["content-location"] == f"https://replay.example/hc/20231102140509ir_/{HOME}"
    assert "Ask your clinic about the routine" in answer.text
    assert answer.headers["content-security-policy"].startswith("sandbox; default-src 'none'")
    assert replayed.get(f"/all/20240616ir_/{HOME}").status_code == 503, "the archived answer was 503"
    assert replayed.get(f"/hc/ir_/{HOME}").headers["memento-datetime"] == "Tue, 30 Sep 2025 14:05:09 GMT"


def test_a_revisit_reads_like_what_it_refers_to(replayed: TestClient) -> None:
    answer = replayed.get(f"/hc/20240115140509ir_/{HOME}")
    assert answer.headers["memento-datetime"] == "Mon, 15 Jan 2024 14:05:09 GMT"
    assert "Ask your clinic about the routine" in answer.text


def test_a_redirect_leads_to_the_copy_and_nowhere_else(replayed: TestClient) -> None:
    answer = replayed.get(f"/hc/20240115ir_/{exhibits.SITE}/en/old-schedule")
    assert (answer.status_code, answer.headers["location"]) == (301, f"/hc/20240115ir_/{HOME}")


def test_the_worker_is_told_what_the_site_answered(replayed: TestClient) -> None:
    answer = replayed.get(f"/-/worker/hc/20240115ir_/{exhibits.SITE}/en/old-schedule")
    assert (answer.status_code, answer.headers["x-redirect-status"], answer.headers["x-orig-location"]) == (200, "301", HOME)
    answer = replayed.get(f"/-/worker/hc/2024ir_/{exhibits.SITE}/en/forbidden")
    assert (answer.status_code, answer.headers["x-redirect-status"]) == (200, "403")
    answer = replayed.get(f"/-/worker/hc/2024ir_/{exhibits.SITE}/never")
    assert (answer.status_code, answer.headers["x-redirect-status"]) == (200, "404")
    assert "never captured" in answer.text


def test_the_worker_itself_cannot_leave_the_origin(replayed: TestClient) -> None:
    answer = replayed.get("/sw.js")
    if answer.status_code == 404:
        assert "web.assets" in answer.text
        return
    assert answer.headers["service-worker-allowed"] == "/"
    assert "connect-src 'self'" in answer.headers["content-security-policy"]


@pytest.mark.parametrize("form", ["hc/2025ir_", "-/worker/hc/2025ir_", "-/plain/en/hc/2025", "en/hc/2025"])
def test_no_copy_becomes_a_worker_of_this_origin(replayed: TestClient, form: str) -> None:
    answer = replayed.get(f"/{form}/{exhibits.SITE}/js/site.js", headers={"Service-Worker": "script"})
    assert answer.status_code == 400


def test_a_person_who_opens_a_raw_page_reads_its_source(replayed: TestClient) -> None:
    raw = f"/hc/20250203140509ir_/{HOME}"
    assert replayed.get(raw).headers["content-type"].startswith("text/html")
    opened = replayed.get(raw, headers={"Sec-Fetch-Mode": "navigate"})
    assert (opened.headers["content-type"], opened.headers["x-content-type-options"]) == ("text/plain", "nosniff")
    picture = replayed.get(f"/hc/2025ir_/{exhibits.SITE}/img/clinic.png", headers={"Sec-Fetch-Mode": "navigate"})
    assert picture.headers["content-type"] == "image/png"


def test_the_warden_listens_before_the_player(replayed: TestClient) -> None:
    answer = replayed.get("/sw.js")
    if answer.status_code == 404:
        pytest.skip("the player is not installed")
    warden = (serving.STATIC / "warden.js").read_bytes()
    assert answer.content.startswith(warden)
    assert len(answer.content) > 10 * len(warden)


# -- pages -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "date", "unofficial"),
    [("en", "February 3, 2025", "Not an official site"), ("fr", "3 février 2025", "Pas un site officiel")],
)
def test_the_bar_says_when_whose_and_that_it_is_not_official(replayed: TestClient, code: str, date: str, unofficial: str) -> None:
    answer = replayed.get(f"/{code}/hc/20250203140509/{HOME}")
    assert answer.status_code == 200
    for text in (f'<html lang="{code}">', date, "Health Example", unofficial, f"https://archive.example/{code}/history?url="):
        assert text in answer.text
    assert f"/{code}/hc/20250203140509nj_/{HOME}" in answer.text, "a link to the view without scripts"
    policy = answer.headers["content-security-policy"]
    assert "script-src http://testserver/-/static/player.js;" in policy
    assert "frame-src 'self'" in policy
    assert "'unsafe" not in policy


def test_without_a_language_the_browser_is_asked(replayed: TestClient) -> None:
    answer = replayed.get(f"/hc/2025/{HOME}", headers={"Accept-Language": "fr"})
    assert '<html lang="fr">' in answer.text
    assert "Accept-Language" in answer.headers["vary"]


def test_a_frame_without_the_worker_gets_the_view_without_scripts(replayed: TestClient) -> None:
    answer = replayed.get(f"/hc/2025mp_/{HOME}?a=b", headers={"Accept-Language": "fr"})
    assert (answer.status_code, answer.headers["location"]) == (302, f"/-/plain/fr/hc/2025/{HOME}?a=b")


def test_the_view_without_scripts_is_sealed(replayed: TestClient) -> None:
    answer = replayed.get(f"/-/plain/en/hc/20250203140509/{HOME}")
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    policy = answer.headers["content-security-policy"]
    assert "default-src 'self'" in policy
    assert "script-src 'none'" in policy
    assert "sandbox" in policy
    assert "<script" not in answer.text
    addresses = re.findall(r"""(?:href|src)=["']([^"'#]+)""", answer.text)
    assert addresses
    assert all(address.startswith(("/-/plain/en/hc/", "/en/hc/20250203140509nj_/")) for address in addresses)
    assert "outside.example" not in answer.text


@pytest.mark.parametrize(
    ("path", "kind"),
    [("css/site.css", "text/css; charset=utf-8"), ("js/site.js", "text/plain; charset=utf-8"), ("img/wave.png", "image/png")],
)
def test_parts_without_scripts_have_a_type_that_runs_nothing(replayed: TestClient, path: str, kind: str) -> None:
    answer = replayed.get(f"/-/plain/en/hc/2024/{exhibits.SITE}/{path}")
    assert answer.headers["content-type"] == kind
    assert answer.headers["x-content-type-options"] == "nosniff"
    if path.endswith("css"):
        assert 'url("/-/plain/en/hc/2024/https://health.example/img/wave.png")' in answer.text


def test_documents_are_for_the_viewer_and_files_to_download(replayed: TestClient) -> None:
    answer = replayed.get(f"/-/document/en/hc/2024/{exhibits.SITE}/files/leaflet.pdf")
    assert answer.headers["content-type"] == "application/pdf"
    assert answer.content.startswith(b"%PDF")
    for path in ("files/data.zip", "en/vaccination"):
        answer = replayed.get(f"/-/document/en/hc/2024/{exhibits.SITE}/{path}")
        assert answer.headers["content-type"] == "application/octet-stream"
        assert answer.headers["content-disposition"].startswith("attachment")
        assert answer.headers["x-content-type-options"] == "nosniff"


def test_a_frame_that_cannot_show_a_document_is_told_so(replayed: TestClient) -> None:
    path = f"/-/worker/hc/2024ir_/{exhibits.SITE}/files/leaflet.pdf"
    assert "This is a document" in replayed.get(path, headers={"Accept": "text/html,*/*;q=0.8"}).text
    assert replayed.get(path, headers={"Accept": "*/*"}).content.startswith(b"%PDF")


def test_facts_for_the_bar(replayed: TestClient) -> None:
    facts = replayed.get(f"/-/copy/fr/hc/20240101/{exhibits.SITE}/en/measles").json()
    assert (facts["state"], facts["date"]) == ("here", "15 janvier 2024")
    facts = replayed.get(f"/-/copy/fr/hc/20240101/{exhibits.SITE}/never").json()
    assert facts["state"] == "never"


# -- absence -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "path", [f"/en/hc/2025/{exhibits.SITE}/never", f"/hc/2025ir_/{exhibits.SITE}/never", f"/all/2025/{exhibits.OUTSIDE}/"]
)
def test_never_captured_is_404_in_both_languages(replayed: TestClient, path: str) -> None:
    answer = replayed.get(path)
    assert answer.status_code == 404
    assert "never captured" in answer.text
    assert "jamais été capturée" in answer.text
    assert '<section lang="fr">' in answer.text


@pytest.mark.parametrize("form", ["/en/hc/2025/", "/hc/2025ir_/", "/-/plain/en/hc/2025/"])
def test_captured_but_away_is_503_in_both_languages(furnished: Instance, replayed: TestClient, form: str) -> None:
    warcs = furnished.jobs_root / "hc"
    away = warcs.rename(warcs.with_name("away"))
    try:
        answer = replayed.get(f"{form}{HOME}")
        assert answer.status_code == 503
        assert int(answer.headers["retry-after"]) > 0
        assert "its storage is away" in answer.text
        assert "son stockage est absent" in answer.text
        assert str(furnished.root) not in answer.text
    finally:
        away.rename(warcs)


def test_a_damaged_record_is_neither_never_captured_nor_away(furnished: Instance, replayed: TestClient) -> None:
    (path,) = (furnished.jobs_root / "hc" / "first").glob("*.warc.gz")
    whole = path.read_bytes()
    try:
        path.write_bytes(whole[:300] + b"\0" * (len(whole) - 300))
        answer = replayed.get(f"/en/hc/20250203140509/{HOME}")
        assert answer.status_code == 502
        assert "the copy is damaged" in answer.text
    finally:
        path.write_bytes(whole)


@pytest.mark.parametrize("path", ["/nothing", "/hc/2025/nonsense", "/-/static/../../app.py", "/-/static/%2e%2e%2fapp.py", "/-/x"])
def test_what_is_no_address_is_400(replayed: TestClient, path: str) -> None:
    answer = replayed.get(path)
    assert answer.status_code == 400
    assert "location" not in answer.headers


def test_the_origin_says_what_it_is_not(replayed: TestClient) -> None:
    answer = replayed.get(f"/en/hc/2025/{HOME}")
    assert answer.headers["x-robots-tag"] == "noindex"
    assert "set-cookie" not in answer.headers
    assert "camera=()" in answer.headers["permissions-policy"]
    assert "Disallow: /" in replayed.get("/robots.txt").text
    assert replayed.get("/").headers["location"] == "https://archive.example/en/"
