"""WARC records as text."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, timezone

from healtharchive.warc import record as warc

AT = datetime(2026, 1, 31, 10, 20, 30, 1, tzinfo=UTC)
WIRE = warc.Wire("http://a.test/", AT, "192.0.2.1", ("h2", "tls/1.3"))


def test_response_says_all_that_it_knows_in_order() -> None:
    record = warc.response("<urn:uuid:1>", WIRE, 12, payload_digest="sha256:aa", block_digest="sha256:bb", truncated="time")
    assert record.header() == (
        b"WARC/1.1\r\n"
        b"WARC-Type: response\r\n"
        b"WARC-Record-ID: <urn:uuid:1>\r\n"
        b"WARC-Date: 2026-01-31T10:20:30.000001Z\r\n"
        b"WARC-Target-URI: http://a.test/\r\n"
        b"WARC-IP-Address: 192.0.2.1\r\n"
        b"WARC-Protocol: h2\r\n"
        b"WARC-Protocol: tls/1.3\r\n"
        b"WARC-Truncated: time\r\n"
        b"WARC-Payload-Digest: sha256:aa\r\n"
        b"WARC-Block-Digest: sha256:bb\r\n"
        b"Content-Type: application/http; msgtype=response\r\n"
        b"Content-Length: 12\r\n"
        b"\r\n"
    )


def test_revisit_of_the_same_payload_is_marked_as_shortened_and_one_of_a_304_is_not() -> None:
    original = warc.Original("http://a.test/old", AT, "<urn:uuid:0>")
    same = warc.revisit(
        "<urn:uuid:1>", WIRE, 9, profile=warc.IDENTICAL_PAYLOAD_DIGEST, original=original, payload_digest="d", block_digest="b"
    )
    assert dict(same.fields)["WARC-Truncated"] == "length"
    assert dict(same.fields)["WARC-Refers-To-Target-URI"] == "http://a.test/old"
    assert dict(same.fields)["WARC-Refers-To-Date"] == "2026-01-31T10:20:30.000001Z"
    assert dict(same.fields)["WARC-Refers-To"] == "<urn:uuid:0>"
    current = warc.revisit(
        "<urn:uuid:1>", WIRE, 9, profile=warc.SERVER_NOT_MODIFIED, original=original, payload_digest="d", block_digest="b"
    )
    assert "WARC-Truncated" not in dict(current.fields)


def test_date_is_in_utc_with_microseconds_whatever_the_zone() -> None:
    assert warc.format_date(datetime(2026, 1, 31, 5, tzinfo=timezone(timedelta(hours=-5)))) == "2026-01-31T10:00:00.000000Z"


def test_record_id_is_a_version_4_uuid() -> None:
    for byte in (0, 255):
        assert re.fullmatch(
            r"<urn:uuid:[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}>", warc.record_id(bytes([byte]) * 16)
        )


def test_line_ends_in_a_value_cannot_begin_another_field() -> None:
    assert warc.warc_fields({"via": "a\r\nEvil: 1", "note": "é"}) == "via: a Evil: 1\r\nnote: é\r\n".encode()
