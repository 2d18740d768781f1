"""Which answer means what, and when a second try is worth it."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from healtharchive.crawl.engine import UrlState
from healtharchive.crawl.outcome import Ending, backoff_seconds, of_failure, of_response

PLAIN = b"<!doctype html><title>A page</title>"


@dataclass
class Said:
    status: int = 200
    reason: str = "OK"
    truncated: str | None = None
    elapsed_ms: float = 100.0
    headers: dict[str, str] = field(default_factory=dict)

    def header(self, name: str) -> str | None:
        return self.headers.get(name)


def ending(said: Said, text: bytes = PLAIN, *, asked_if_changed: bool = False) -> Ending:
    return of_response(said, text, is_html=True, asked_if_changed=asked_if_changed, fetch_seconds_max=1200)


@pytest.mark.parametrize(
    ("status", "state", "again"),
    [
        (200, UrlState.CAPTURED, False),
        (203, UrlState.CAPTURED, False),
        (301, UrlState.CAPTURED, False),
        (404, UrlState.GONE, False),
        (410, UrlState.GONE, False),
        (401, UrlState.BLOCKED, False),
        (403, UrlState.BLOCKED, False),
        (451, UrlState.BLOCKED, False),
        (429, UrlState.BLOCKED, True),
        (400, UrlState.FAILED, False),
        (500, UrlState.FAILED, True),
        (501, UrlState.FAILED, False),
        (503, UrlState.FAILED, True),
        (522, UrlState.FAILED, True),
    ],
)
def test_a_status_decides_the_state(status: int, state: UrlState, again: bool) -> None:
    given = ending(Said(status, "Said"))
    assert (given.state, given.again) == (state, again)
    assert given.reason or state is UrlState.CAPTURED


@pytest.mark.parametrize("status", [200, 403, 429, 503])
@pytest.mark.parametrize(
    ("who", "headers", "text"),
    [
        ("Cloudflare", {"cf-mitigated": "challenge"}, PLAIN),
        ("Cloudflare", {}, b"<title>Just a moment...</title>"),
        ("AWS WAF", {"x-amzn-waf-action": "captcha"}, b""),
        ("Imperva", {}, b"<p>Request unsuccessful. Incapsula incident ID: 1-2"),
        ("DataDome", {}, b"<script src=https://geo.captcha-delivery.com/captcha/?x>"),
        ("HUMAN", {}, b'<div id="px-captcha">'),
        ("Akamai", {}, b"<TITLE>Access Denied</TITLE><p>You don't have permission. Reference&#32;&#35;18"),
    ],
)
def test_a_challenge_is_blocked_whatever_its_status(status: int, who: str, headers: dict[str, str], text: bytes) -> None:
    given = ending(Said(status, headers=headers), text)
    assert given.state is UrlState.BLOCKED
    assert who in given.reason
    assert given.again


def test_a_page_about_challenges_is_a_page() -> None:
    text = b"<title>How captchas work</title><p>Cloudflare, Incapsula and DataDome ask for a captcha."
    assert ending(Said(), text).state is UrlState.CAPTURED
    assert ending(Said(), b"<title>Just a moment...</title>" + bytes(70_000)).state is UrlState.CAPTURED
    menu = b"<title>Just a moment...</title>" + b"<a href='/x'>x</a>" * 40
    assert ending(Said(), menu).state is UrlState.CAPTURED
    assert ending(Said(403), menu).rule == "challenge"


def test_not_modified_is_an_answer_only_to_who_asked() -> None:
    assert ending(Said(304), b"", asked_if_changed=True).state is UrlState.UNCHANGED
    assert ending(Said(304), b"").state is UrlState.CAPTURED


def test_a_cut_response_counts_and_is_tried_again_unless_the_cut_was_ours() -> None:
    assert ending(Said(truncated="length")).again is False
    assert ending(Said(truncated="disconnect")).again is True
    assert ending(Said(truncated="time", elapsed_ms=60_000)).again is True
    assert ending(Said(truncated="time", elapsed_ms=1_200_000)).again is False
    assert {ending(Said(truncated=cut)).state for cut in ("length", "time", "disconnect")} == {UrlState.CAPTURED}


@pytest.mark.parametrize(
    ("kind", "temporary", "state", "again"),
    [
        ("private", False, UrlState.EXCLUDED, False),
        ("dns", False, UrlState.FAILED, False),
        ("dns", True, UrlState.FAILED, True),
        ("tls", False, UrlState.FAILED, False),
        ("refused", False, UrlState.FAILED, True),
        ("timeout", False, UrlState.FAILED, True),
        ("toobig", False, UrlState.FAILED, False),
    ],
)
def test_a_failure_names_its_kind(kind: str, temporary: bool, state: UrlState, again: bool) -> None:
    given = of_failure(kind, "because", is_temporary=temporary)
    assert (given.state, given.again, given.reason) == (state, again, f"{kind}: because")


def test_waits_grow_sixfold_up_to_a_quarter_of_an_hour() -> None:
    waits = [backoff_seconds(tries, first_seconds=2.0, spread=0.0) for tries in range(1, 7)]
    assert waits == [2, 12, 72, 432, 900, 900]
    assert backoff_seconds(1, first_seconds=2.0, spread=0.999) < 2.5
