"""What one try of a URL came to: its state in the ledger, why, and whether another try is worth it. Pure.

An answer is not a page because a server sent it: a challenge or a refusal is `blocked` however friendly its status code, and
what a server says is missing is `gone`. Every answer is stored all the same.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final, Protocol

from healtharchive.crawl.engine import UrlState

BACKOFF_FACTOR: Final = 6
BACKOFF_SECONDS_MAX: Final = 900.0  # Heritrix: retryDelaySeconds
CHALLENGE_BYTES: Final = 65_536  # a challenge is a small page; a large one that names a vendor is about it
CHALLENGE_LINKS_MAX: Final = 32  # and one that leads nowhere; counting them takes a tenth of the time of looking for all vendors

_REFUSALS: Final = frozenset({401, 402, 403, 407, 451, 999})
_MISSING: Final = frozenset({404, 410})
_TRY_AGAIN: Final = frozenset({408, 421, 425, 429, 500, 502, 503, 504, 509, *range(520, 531), 598, 599})
_MAY_BE_CHALLENGE: Final = frozenset({200, 202, 401, 403, 405, 406, 429, 503})

# (who, header, pattern of its value): signs that only the blocking answer itself carries.
_CHALLENGE_HEADERS: Final = (
    ("Cloudflare", "cf-mitigated", re.compile("challenge", re.IGNORECASE)),
    ("AWS WAF", "x-amzn-waf-action", re.compile("challenge|captcha", re.IGNORECASE)),
    ("DataDome", "x-dd-b", re.compile(".")),
    ("Vercel", "x-vercel-mitigated", re.compile("challenge|deny", re.IGNORECASE)),
)
_CHALLENGE_BODIES: Final = (
    (
        "Cloudflare",
        re.compile(
            rb"<title>\s*(Just a moment\.\.\.|Attention Required! \| Cloudflare|Un instant)|/cdn-cgi/challenge-platform/h/"
        ),
    ),
    ("Imperva", re.compile(rb"_Incapsula_Resource\?[^\"']*SWUDNSAI|Request unsuccessful\. Incapsula incident ID")),
    ("DataDome", re.compile(rb"geo\.captcha-delivery\.com/(captcha|interstitial)")),
    ("HUMAN", re.compile(rb"id=[\"']px-captcha[\"']|captcha\.px-cdn\.net")),
    ("Sucuri", re.compile(rb"<title>Sucuri WebSite Firewall - Access Denied|sucuri_cloudproxy_js")),
    ("Akamai", re.compile(rb"<TITLE>Access Denied</TITLE>.{0,600}Reference&#32;&#35;", re.DOTALL)),
    ("AWS WAF", re.compile(rb"AwsWafIntegration\.(getToken|forceRefreshToken|checkForceRefresh)")),
    ("Anubis", re.compile(rb"id=[\"']anubis_challenge[\"']")),
    ("F5", re.compile(rb"The requested URL was rejected\. Please consult with your administrator\.")),
)
_QUICK: Final = re.compile(
    rb"cdn-cgi|Cloudflare|Just a moment|Un instant|ncapsula|captcha|ucuri|Access Denied|AwsWaf|anubis|with your administrator"
)

_NO_SECOND_TRY: Final = frozenset({"private", "toobig", "tls"})


class Answer(Protocol):
    """What `of_response` looks at: an `Exchange`."""

    status: int
    reason: str
    elapsed_ms: float

    @property
    def truncated(self) -> str | None: ...

    def header(self, name: str) -> str | None: ...


@dataclass(frozen=True)
class Ending:
    """`again`: another try may end better; without one `state` is final."""

    state: UrlState
    reason: str = ""
    rule: str = ""
    again: bool = False


CAPTURED: Final = Ending(UrlState.CAPTURED)


def of_response(answer: Answer, text: bytes, *, is_html: bool, asked_if_changed: bool, fetch_seconds_max: float) -> Ending:
    """The ending of a try that got an answer. `text` is the decoded beginning of the body."""
    status = answer.status
    if is_html and status in _MAY_BE_CHALLENGE:
        who = challenge(answer, text)
        if who:
            return Ending(UrlState.BLOCKED, f"challenge of {who}, HTTP {status}", "challenge", again=True)
    if 200 <= status < 400:
        if status == 304 and asked_if_changed:
            return Ending(UrlState.UNCHANGED, "not modified")
        if answer.truncated is None:
            return CAPTURED
        return _of_cut(answer, fetch_seconds_max)
    said = f"HTTP {status} {answer.reason}".strip()[:200]
    if status in _MISSING:
        return Ending(UrlState.GONE, said)
    if status in _REFUSALS:
        return Ending(UrlState.BLOCKED, said, "refused")
    if status == 429:
        return Ending(UrlState.BLOCKED, said, "rate limit", again=True)
    return Ending(UrlState.FAILED, said, again=status in _TRY_AGAIN)


def _of_cut(answer: Answer, fetch_seconds_max: float) -> Ending:
    """What came is stored and counts; a second try may bring the rest, unless the cut was ours."""
    if answer.truncated == "length":
        return Ending(UrlState.CAPTURED, "cut at the longest response stored (body_bytes_max)", "truncated")
    if answer.truncated == "time":
        ours = answer.elapsed_ms >= fetch_seconds_max * 950
        return Ending(UrlState.CAPTURED, "cut: the server took too long", "truncated", again=not ours)
    return Ending(UrlState.CAPTURED, "cut: the connection ended inside the response", "truncated", again=True)


def challenge(answer: Answer, text: bytes) -> str:
    """Who answered with a challenge in the page's place; '' if nobody did."""
    for who, name, pattern in _CHALLENGE_HEADERS:
        value = answer.header(name)
        if value is not None and pattern.search(value):
            return who
    is_a_page = len(text) >= CHALLENGE_BYTES or (answer.status == 200 and text.count(b"href=") > CHALLENGE_LINKS_MAX)
    if not is_a_page and _QUICK.search(text):
        for who, pattern_ in _CHALLENGE_BODIES:
            if pattern_.search(text):
                return who
    return ""


def of_failure(kind: str, message: str, *, is_temporary: bool) -> Ending:
    """The ending of a try that got no answer; `kind` is that of `FetchError`."""
    reason = f"{kind}: {message}"[:500]
    if kind == "private":
        return Ending(UrlState.EXCLUDED, reason, "private-address")
    if kind == "dns":
        return Ending(UrlState.FAILED, reason, "dns", again=is_temporary)
    return Ending(UrlState.FAILED, reason, kind, again=kind not in _NO_SECOND_TRY)


def backoff_seconds(tries: int, *, first_seconds: float, spread: float) -> float:
    """Wait before the next try after `tries` of them (1 or more): six times longer each time, up to a quarter of an hour.

    `spread` in [0, 1), drawn by the caller, lengthens by up to a quarter, so that what failed together does not return together.
    """
    return min(first_seconds * float(BACKOFF_FACTOR) ** (tries - 1), BACKOFF_SECONDS_MAX) * (1 + spread / 4)
