from __future__ import annotations

import gzip

import pytest
from starlette.testclient import TestClient
from tests.rigs import exhibits

from healtharchive.instance import Instance

HOME = f"{exhibits.SITE}/en/vaccination"


def test_health_and_sources(public: TestClient) -> None:
    health = public.get("/api/v1/health").json()
    assert (health["status"], health["captures"]) == ("ok", 50)
    sources = public.get("/api/v1/sources").json()["sources"]
    told = [(source["name"], source["title"], source["captures"]) for source in sources]
    assert told == [("hc", "Health Example", 35), ("torture", "Awkward Pages", 15)]
    assert sources[0]["editions"][0]["captures"] == 35


def test_search_answers_hits_facets_and_plain_text(public: TestClient) -> None:
    found = public.get("/api/v1/search", params={"q": "rougeole", "language": "fr", "limit": 1}).json()
    assert (found["total"], len(found["hits"]), found["limit"]) == (2, 1, 1)
    hit = found["hits"][0]
    assert hit["capture"]["url"] == f"{exhibits.SITE}/fr/rougeole"
    assert "<" not in hit["snippet"]
    assert hit["highlights"]
    assert {"source", "language", "year", "type"} == found["facets"].keys()
    none = public.get("/api/v1/search", params={"q": "rougeole", "to": "2022"}).json()
    assert none["total"] == 0


def test_captures_of_an_address_oldest_first_and_paged(public: TestClient) -> None:
    found = public.get("/api/v1/captures", params={"url": HOME, "limit": 2, "offset": 1}).json()
    assert (found["url"], found["total"]) == (HOME, 7)
    assert [c["timestamp"] for c in found["captures"]] == ["20240115140509", "20240615140509"]
    assert found["captures"][0]["record_type"] == "revisit"
    assert public.get("/api/v1/captures", params={"url": f"{HOME}/never"}).json()["total"] == 0


def test_the_record_is_the_bytes_of_the_file(furnished: Instance, public: TestClient) -> None:
    capture = public.get("/api/v1/snapshot/1").json()
    answer = public.get(f"/api/v1/captures/{capture['id']}/record")
    whole = (furnished.jobs_root / "hc" / "first" / capture["warc"]).read_bytes()
    assert answer.content == whole[capture["offset"] : capture["offset"] + capture["length"]]
    assert gzip.decompress(answer.content).startswith(b"WARC/1.1\r\n")
    assert answer.headers["content-disposition"] == 'attachment; filename="capture-1.warc.gz"'


def test_a_payload_never_has_a_type_that_a_browser_runs(public: TestClient) -> None:
    answer = public.get("/api/v1/captures/1/payload")
    assert answer.text.startswith("<!doctype html>")
    assert answer.headers["content-type"] == "application/octet-stream"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["content-disposition"].startswith("attachment")
    assert answer.headers["content-security-policy"].startswith("sandbox")
    assert answer.headers["x-archive-content-type"] == "text/html; charset=utf-8"


def test_a_revisit_has_the_payload_of_what_it_refers_to(public: TestClient) -> None:
    revisit = public.get("/api/v1/captures", params={"url": HOME}).json()["captures"][1]
    assert public.get(f"/api/v1/captures/{revisit['id']}/payload").content == public.get("/api/v1/captures/1/payload").content


@pytest.mark.parametrize(
    ("path", "status", "code"),
    [
        ("/api/v1/snapshot/999999", 404, "not_found"),
        ("/api/v1/snapshot/x", 400, "invalid_parameter"),
        ("/api/v1/snapshot/99999999999999999999", 400, "invalid_parameter"),
        ("/api/v1/captures", 400, "invalid_parameter"),
        ("/api/v1/captures?url=javascript:x", 400, "bad_request"),
        ("/api/v1/captures?url=https://a.example&limit=100000", 400, "invalid_parameter"),
        ("/api/v1/search?from=yesterday", 400, "bad_request"),
        ("/api/v1/search?view=x", 400, "invalid_parameter"),
        ("/api/v1/nothing", 404, "not_found"),
        ("/api/v1/captures/999999/record", 404, "not_found"),
    ],
)
def test_every_error_has_one_shape(public: TestClient, path: str, status: int, code: str) -> None:
    answer = public.get(path)
    assert answer.status_code == status
    error = answer.json()["error"]
    assert error.keys() == {"code", "status", "message", "hint"}
    assert (error["code"], error["status"]) == (code, status)
    assert error["message"].endswith(".")


def test_writing_is_refused_in_the_same_shape(public: TestClient) -> None:
    assert public.post("/api/v1/search").json()["error"]["code"] == "method_not_allowed"


def test_storage_that_is_away_is_503_and_tells_no_path(furnished: Instance, public: TestClient) -> None:
    warcs = furnished.jobs_root / "hc"
    away = warcs.rename(warcs.with_name("away"))
    try:
        for what in ("record", "payload"):
            answer = public.get(f"/api/v1/captures/1/{what}")
            assert answer.status_code == 503
            assert answer.json()["error"]["code"] == "storage_unavailable"
            assert answer.headers["retry-after"]
            assert str(furnished.root) not in answer.text
        assert public.get("/api/v1/snapshot/1").status_code == 200, "what is known of a copy does not need its file"
    finally:
        away.rename(warcs)


def test_the_description_names_every_request_and_the_error(public: TestClient) -> None:
    described = public.get("/api/v1/openapi.json").json()
    assert set(described["paths"]) == {
        "/api/v1/health", "/api/v1/sources", "/api/v1/search", "/api/v1/captures", "/api/v1/snapshot/{capture_id}",
        "/api/v1/captures/{capture_id}/record", "/api/v1/captures/{capture_id}/payload",
    }  # fmt: skip
    for methods in described["paths"].values():
        assert list(methods) == ["get"]
        assert methods["get"]["summary"]
        assert "ErrorAnswer" in str(methods["get"]["responses"]["404"])


@pytest.mark.parametrize("path", ["/api/v1/sources", "/en/", "/en/search"])
def test_what_is_not_a_reading_is_told_what_is_allowed(public: TestClient, path: str) -> None:
    answer = public.post(path)
    assert (answer.status_code, answer.headers["allow"]) == (405, "GET")


def test_a_status_beyond_any_number_finds_nothing(public: TestClient) -> None:
    answer = public.get("/api/v1/search", params={"q": "vaccination", "status": str(10**30)})
    assert (answer.status_code, answer.json()["total"]) == (200, 0)
