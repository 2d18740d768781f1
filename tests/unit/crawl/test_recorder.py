"""Exchanges as records: what is written, in which order, and what is not written twice."""

from __future__ import annotations

import hashlib
import resource
import signal
from datetime import UTC, datetime
from pathlib import Path

import pytest
from tests.rigs.exchanges import MOMENT, exchange_from, page
from tests.rigs.fetching import record_all, record_one

from healtharchive.crawl.exchange import MEMORY_BYTES_MAX, Exchange, FetchError
from healtharchive.crawl.recorder import PriorCapture, Recorder, Stored, exchange_of
from healtharchive.warc.record import IDENTICAL_PAYLOAD_DIGEST, SERVER_NOT_MODIFIED
from healtharchive.warc.writer import is_held, walk

BODY = b"<p>A page.</p>"
DIGEST = "sha256:" + hashlib.sha256(BODY).hexdigest()


def recorder_in(directory: Path, serial: int = 1) -> Recorder:
    return Recorder(directory, prefix="hc-7", fence=3, serial=serial, warcinfo={"software": "tests"})


def prior(digest: str = DIGEST, **changes: str) -> PriorCapture:
    return PriorCapture("http://a.test/", datetime(2025, 1, 31, tzinfo=UTC), digest, record_id="<urn:uuid:0>", **changes)


def test_file_is_named_by_prefix_fence_and_serial_and_held_by_its_writer(tmp_path: Path) -> None:
    recorder = recorder_in(tmp_path, 12)
    assert recorder.name == "hc-7-000003-00012.warc.gz"
    assert recorder.path == tmp_path / "open" / "hc-7-000003-00012.warc.gz.open"
    assert is_held(recorder.path)
    recorder.close()
    assert not is_held(recorder.path)


def test_exchange_is_request_metadata_response_and_the_response_comes_last(tmp_path: Path) -> None:
    exchange = page(BODY)
    stored, written = record_one(exchange, tmp_path, metadata={"via": "http://a.test/via", "hopsFromSeed": "LE"})
    assert [record.kind for record in written] == ["warcinfo", "request", "metadata", "response"]
    info, request, metadata, response = written
    assert info.headers["WARC-Filename"].endswith(".warc.gz")
    assert request.block == exchange.request
    assert metadata.block == b"via: http://a.test/via\r\nhopsFromSeed: LE\r\nfetchTimeMs: 12\r\n"
    assert response.block == exchange.head + BODY
    assert {record.headers["WARC-Date"] for record in written[1:]} == {"2026-01-31T10:20:30.123456Z"}
    assert request.headers["WARC-Concurrent-To"] == response.headers["WARC-Record-ID"]
    assert response.headers["WARC-Payload-Digest"] == DIGEST
    assert stored == Stored(
        "response",
        response.offset,
        response.length,
        DIGEST,
        len(BODY),
        info.headers["WARC-Filename"],
        MOMENT,
        response.headers["WARC-Record-ID"],
    )


def test_payload_that_is_known_becomes_a_revisit(tmp_path: Path) -> None:
    exchange = page(BODY)
    stored, written = record_one(exchange, tmp_path, prior=prior())
    revisit = written[-1]
    assert (revisit.kind, stored.record_type) == ("revisit", "revisit")
    assert revisit.block == exchange.head
    assert revisit.headers["WARC-Profile"] == IDENTICAL_PAYLOAD_DIGEST
    assert revisit.headers["WARC-Refers-To-Date"] == "2025-01-31T00:00:00.000000Z"
    assert revisit.headers["WARC-Refers-To"] == "<urn:uuid:0>"
    assert stored.payload_digest == revisit.headers["WARC-Payload-Digest"] == DIGEST


def test_payload_that_changed_is_stored_whole(tmp_path: Path) -> None:
    stored, written = record_one(page(b"new"), tmp_path, prior=prior())
    assert stored.record_type == "response"
    assert written[-1].block.endswith(b"new")


def test_same_payload_at_another_url_is_found_by_its_digest(tmp_path: Path) -> None:
    asked: list[tuple[str, int]] = []

    def find(digest: str, size: int) -> PriorCapture:
        asked.append((digest, size))
        return prior()

    stored, written = record_one(page(BODY), tmp_path, prior=prior("sha256:other"), find=find)
    assert asked == [(DIGEST, len(BODY))]
    assert stored.record_type == "revisit"
    assert written[-1].headers["WARC-Refers-To-Target-URI"] == "http://a.test/"


def test_server_that_says_not_modified_makes_a_revisit_with_the_known_digest(tmp_path: Path) -> None:
    exchange = exchange_from(b'HTTP/1.1 304 Not Modified\r\nETag: "1"\r\n\r\n')
    stored, written = record_one(exchange, tmp_path, prior=prior())
    assert (stored.record_type, stored.payload_digest) == ("revisit", DIGEST)
    assert written[-1].headers["WARC-Profile"] == SERVER_NOT_MODIFIED
    assert "WARC-Truncated" not in written[-1].headers


def test_not_modified_that_nobody_asked_for_is_a_response(tmp_path: Path) -> None:
    assert record_one(exchange_from(b"HTTP/1.1 304 Not Modified\r\n\r\n"), tmp_path)[0].record_type == "response"


@pytest.mark.parametrize(
    "data", [b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n" + BODY, b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"]
)
def test_half_a_payload_or_none_is_never_a_revisit(data: bytes, tmp_path: Path) -> None:
    exchange = exchange_from(data)
    digest = "sha256:" + hashlib.sha256(exchange.body.read()).hexdigest()
    assert record_one(exchange, tmp_path, prior=prior(digest))[0].record_type == "response"


def test_conditions_ask_for_the_page_only_if_it_changed() -> None:
    assert prior().conditions() == ()
    assert prior(etag='"a"', last_modified="yesterday").conditions() == (
        ("If-None-Match", '"a"'),
        ("If-Modified-Since", "yesterday"),
    )


def test_big_body_is_recorded_from_its_file(tmp_path: Path) -> None:
    data = b"HTTP/1.1 200 OK\r\n\r\n" + bytes(range(256)) * (MEMORY_BYTES_MAX // 100)
    big, small = exchange_from(data, spill=tmp_path), page(BODY)
    assert not big.body.in_memory
    places: list[Stored] = []
    _, written = record_all(tmp_path, lambda recorder: places.extend(recorder.add(one) for one in (small, big, small)))
    responses = [record for record in written if record.kind == "response"]
    assert [record.block for record in responses] == [small.head + BODY, data, small.head + BODY]
    assert [(place.offset, place.length) for place in places] == [(record.offset, record.length) for record in responses]


def test_offsets_are_final_when_a_record_is_added_and_lengths_when_it_is_written(tmp_path: Path) -> None:
    recorder = recorder_in(tmp_path)
    first = recorder.add(page(b"one"))
    taken = recorder.take()
    second = recorder.add(page(b"two"))  # added while the first is being written
    assert recorder.pending_bytes == recorder.size - taken.length
    assert recorder.write(taken) == recorder.path.stat().st_size == first.offset + first.length
    assert recorder.committed_length == taken.length
    assert taken.captures == 1
    assert recorder.flush() == second.offset + second.length
    assert [record.offset for record in walk(recorder.path) if record.kind == "response"] == [first.offset, second.offset]
    assert (recorder.captures, recorder.record_count, recorder.pending_bytes) == (2, 5, 0)
    recorder.close()


def test_file_asks_to_be_sealed_at_its_size(tmp_path: Path) -> None:
    recorder = recorder_in(tmp_path)
    assert not recorder.needs_seal(1000)
    recorder.add(page(hashlib.sha512(b"x").digest() * 40))
    assert recorder.needs_seal(1000)
    recorder.close()


def test_failure_keeps_its_reason_and_what_came(tmp_path: Path) -> None:
    failure = FetchError("protocol", "not an HTTP response", received=b"SSH-2.0\r\n")
    _, written = record_all(tmp_path, lambda recorder: recorder.add_failure("http://a.test/", failure, at=MOMENT))
    assert written[-1].kind == "metadata"
    assert written[-1].block == (
        b"failure: protocol\r\nfailure-message: not an HTTP response\r\nreceived-base64: U1NILTIuMA0K\r\n"
    )


def test_resource_is_a_record_of_its_own(tmp_path: Path) -> None:
    stored: list[Stored] = []
    _, written = record_all(
        tmp_path,
        lambda recorder: stored.append(recorder.add_resource("urn:screenshot:http://a.test/", "image/png", b"PNG", at=MOMENT)),
    )
    assert (written[-1].kind, written[-1].block, stored[0].payload_size) == ("resource", b"PNG", 3)


def test_file_without_a_capture_can_be_abandoned_and_one_with_a_capture_cannot(tmp_path: Path) -> None:
    recorder = recorder_in(tmp_path)
    recorder.abandon()
    assert list((tmp_path / "open").iterdir()) == []
    recorder = recorder_in(tmp_path)
    recorder.add(page())
    with pytest.raises(ValueError, match="holds 1 captures"):
        recorder.abandon()
    recorder.close()


@pytest.mark.parametrize(
    "exchange",
    [
        page(BODY, b"ETag: x\r\n"),
        exchange_from(b"HTTP/1.1 200 OK\nTransfer-Encoding: chunked\n\n3\nabc\n0\n\n"),
        exchange_from(b"HTTP/1.0 404 No\r\nContent-Length: 50\r\n\r\nshort"),
        exchange_from(b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nCont"),
        page(BODY, protocol="h2", tls="tls/1.3"),
    ],
)
def test_recorded_exchange_can_be_looked_at_as_if_it_had_just_come(exchange: Exchange, tmp_path: Path) -> None:
    recorder = recorder_in(tmp_path)
    recorder.add(exchange)
    recorder.flush()
    recorder.close()
    again = [exchange_of(record) for record in walk(recorder.path) if record.kind == "response"]
    for name in ("url", "head", "status", "reason", "headers", "protocol", "tls", "ip", "started_at", "truncated"):
        assert getattr(again[0], name) == getattr(exchange, name), name
    assert again[0].body.read() == exchange.body.read()


def test_write_error_is_told_and_the_file_is_good_up_to_what_was_committed(tmp_path: Path) -> None:
    recorder = recorder_in(tmp_path)
    recorder.add(page(b"one"))
    committed = recorder.flush()
    recorder.add(page(hashlib.sha512(b"x").digest() * 4000))
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (committed + 150, limits[1]))  # as if the disk were full
        with pytest.raises(OSError):
            recorder.flush()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)
    recorder.close()
    assert recorder.committed_length == committed
    found = walk(recorder.path)
    assert [record.kind for record in found][:3] == ["warcinfo", "request", "response"]
    assert found.end >= committed
    assert found.damage
