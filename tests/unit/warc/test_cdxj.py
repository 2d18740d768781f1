from __future__ import annotations

import io
import subprocess
import sys
from pathlib import Path

import pytest
from tests.rigs.warcs import record_bytes, write_members
from warcio.statusandheaders import StatusAndHeaders
from warcio.warcwriter import WARCWriter

from healtharchive.warc.cdxj import lines_of, parse, sorted_lines


def judged(paths: list[Path]) -> list[str]:
    """What `cdxj-indexer -s` prints; as a process, because importing `wacz` changes what its module indexes."""
    tool = Path(sys.executable).with_name("cdxj-indexer")
    done = subprocess.run([tool, "-s", *paths], capture_output=True, check=True, text=True)
    return done.stdout.splitlines(keepends=True)


ODD_URLS = [
    "https://example.org/",
    "http://www.Example.org:8080/A/B?b=2&a=1",
    "https://example.org/caf%C3%A9?q=l'h%C3%B4pital",
    "https://xn--caf-dma.example/x",
    "https://example.org/a b",
    "https://example.org/page?sid=0123456789abcdef0123456789abcdef",
    "http://127.0.0.1:8000/index.html",
    "http://[2001:db8::1]/x",
    'https://example.org/quote"and\\slash',
]


def test_lines_equal_those_of_cdxj_indexer_on_warcio_files(tmp_path: Path) -> None:
    path = tmp_path / "by-warcio.warc.gz"
    with open(path, "wb") as out:
        writer = WARCWriter(out, gzip=True, warc_version="1.1")
        writer.write_record(writer.create_warcinfo_record(path.name, {"software": "test"}))
        for number, url in enumerate(ODD_URLS):
            head = StatusAndHeaders("200 OK", [("Content-Type", "text/HTML;charset=utf-8")], protocol="HTTP/1.1")
            record = writer.create_warc_record(url, "response", payload=io.BytesIO(b"body %d" % number), http_headers=head)
            request = writer.create_warc_record(
                url, "request", http_headers=StatusAndHeaders("GET / HTTP/1.1", [("Host", "x")], is_http_request=True)
            )
            writer.write_request_response_pair(request, record)
        odd_heads = [
            StatusAndHeaders("301 Moved", [("Location", "/x")], protocol="HTTP/1.0"),
            StatusAndHeaders("404 Not Found", [("Content-Type", " text/plain ")], protocol="HTTP/1.0"),
            StatusAndHeaders("200", [], protocol="HTTP/1.0"),
        ]
        for head in odd_heads:
            record = writer.create_warc_record("https://example.org/odd", "response", io.BytesIO(b""), http_headers=head)
            writer.write_record(record)
        revisit = writer.create_revisit_record(
            ODD_URLS[0],
            "sha1:B6QJ6BNJ3R4B23XXMRKZKHLPGJY2VE4O",
            ODD_URLS[0],
            "2026-01-01T00:00:00Z",
            http_headers=StatusAndHeaders("304 Not Modified", [], protocol="HTTP/1.1"),
        )
        writer.write_record(revisit)
        for kind, content_type in (
            ("resource", "image/png"),
            ("resource", "application/warc-fields"),
            ("metadata", "application/json; x=1"),
            ("metadata", "application/warc-fields"),
        ):
            writer.write_record(
                writer.create_warc_record("urn:x:" + kind, kind, payload=io.BytesIO(b"data"), warc_content_type=content_type)
            )
    assert sorted_lines([path]) == judged([path])


def test_lines_equal_those_of_cdxj_indexer_where_digests_are_missing(tmp_path: Path) -> None:
    members = [
        record_bytes(0),
        record_bytes(1).replace(b"WARC-Payload-Digest", b"X-Nothing-To-Read  "),
        record_bytes(2, base32=True),
    ]
    path = write_members(tmp_path / "some.warc.gz", members).path
    assert "sha1:" in sorted_lines([path])[1]
    assert sorted_lines([path]) == judged([path])


def test_several_files_make_one_sorted_index(tmp_path: Path) -> None:
    paths = [
        write_members(tmp_path / f"{name}.warc.gz", [record_bytes(n) for n in numbers]).path
        for name, numbers in (("b", (3, 1)), ("a", (2, 1)))
    ]
    lines = sorted_lines(paths)
    assert lines == judged(paths)
    assert lines == sorted(lines)
    assert len(lines) == 4


def test_a_line_can_be_read_back(tmp_path: Path) -> None:
    sample = write_members(tmp_path / "x.warc.gz", [record_bytes(7), record_bytes(8)])
    key, timestamp, fields = parse(list(lines_of(sample.path, "renamed.warc.gz"))[1])
    assert (key, timestamp) == ("org,example)/page/8", "20260309102030")
    assert (fields["url"], fields["filename"]) == ("https://example.org/page/8", "renamed.warc.gz")
    assert (int(fields["offset"]), int(fields["length"])) == (sample.offsets[1], sample.size - sample.offsets[1])


@pytest.mark.parametrize("text", ["", "key", "key 2026", "key 2026 {"])
def test_what_is_no_line_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        parse(text)
