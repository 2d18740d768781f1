"""URLs that look like a trap: endless spaces of addresses that a site makes up as one follows them.

A suspicion never drops a URL. It is parked in the ledger (state trap) with the rule and a sample, and a person can release all
URLs of a rule. So a rule may be sharp where a mistake costs a look, and must be blunt where whole sections of real sites look
alike.

    pathological-path    the same segments three times in a row: /a/b/a/b/a/b (Heritrix)
    too-many-segments    more than 20 segments (Heritrix)
    repeated-parameter   the same `key=value` three times in one query
    calendar             a calendar page, reached from a page of the same calendar, ever farther from today
    session-id           a URL that differs from one already taken in its session id only
    query-explosion      one path with more distinct queries than people ever wrote
"""

from __future__ import annotations

import math
import re
from collections import Counter, OrderedDict
from datetime import date
from hashlib import blake2b
from typing import Final, NamedTuple

from healtharchive.warc.urls import UrlParts, split

REPETITIONS_MAX: Final = 2
SEGMENTS_MAX: Final = 20
PARAMETERS_MAX: Final = 2
CALENDAR_MONTHS: Final = 24
CALENDAR_TARGET_MAX: Final = 500  # characters; no calendar needs more, and the expressions below are quadratic
QUERIES_MAX: Final = {1: 100_000, 2: 20_000, 3: 5_000}  # by number of parameters, 3 standing for more: facets multiply
PATHS_MAX: Final = 2_048  # whose queries are counted at a time, the busiest last to be forgotten
SESSIONS_MAX: Final = 500_000

_CALENDAR: Final = re.compile(
    r"calend|event|ev[eé]nement|agenda|schedul|horaire|date|month|mois|year|ann[eé]e|week|semaine|day|jour", re.I
)
_MONTH: Final = re.compile(r"(?<!\d)(\d{4})[-/_.]?(0[1-9]|1[0-2]|(?<=[-/_.])[1-9])(?:[-/_.]?[0-3]?\d)?(?!\d)")
_YEAR_KEY: Final = re.compile(r"(?:^|&)[^=&]*(?:year|annee|yr)[^=&]*=(\d{4})(?:&|$)", re.IGNORECASE)
_MONTH_KEY: Final = re.compile(r"(?:^|&)[^=&]*(?:month|mois|mon)[^=&]*=(\d{1,2})(?:&|$)", re.IGNORECASE)
# Heritrix, StripSessionIDs and StripSessionCFIDs.
_SESSION: Final = re.compile(
    r"(?<=[?&;])(?:(?:jsessionid|phpsessid|sid)=[0-9a-z]{32}|aspsessionid[a-z]{8}=[a-z]{24}|cfid=[^&]+&cftoken=[^&]+)(?:&|$)"
    r"|;jsessionid=[0-9a-z.!_-]{16,}(?=[?/]|$)|(?<=/)\((?:[a-z]\([0-9a-z]{24}\))+\)/|(?<=/)\([0-9a-z]{24}\)/",
    re.IGNORECASE,
)


class Trap(NamedTuple):
    """Why a URL is parked: the rule, and the part of the URL that made us think so."""

    rule: str
    sample: str


def suspicion(url: str, *, via_url: str | None = None, today: date | None = None) -> Trap | None:
    """What is suspicious about a normalized URL by itself. `via_url` and `today` are needed to tell a calendar's walk."""
    parts = split(url)
    trap = _path_trap(parts.path) or _query_trap(parts.query)
    if trap is None and via_url is not None and today is not None:
        trap = _calendar_trap(parts, via_url, today)
    return trap


class Traps:
    """The suspicions of one crawl: what `suspicion` sees in one URL, and what only many of them show. Memory is bounded."""

    def __init__(self, today: date) -> None:
        self._today = today
        self._queries: OrderedDict[bytes, _Distinct] = OrderedDict()
        self._sessions: dict[bytes, bytes] = {}

    def suspicion(self, url: str, *, via_url: str | None = None) -> Trap | None:
        """Call it once for each new URL in scope; asking again about the same URL gives the same answer."""
        trap = suspicion(url, via_url=via_url, today=self._today)
        if trap is None:
            trap = self._session_trap(url)
        if trap is None and "?" in url:
            trap = self._explosion(url)
        return trap

    def _session_trap(self, url: str) -> Trap | None:
        found = _SESSION.search(url)
        if found is None:
            return None
        plain, session = _digest(_SESSION.sub("", url)), _digest(url)
        if len(self._sessions) >= SESSIONS_MAX:
            self._sessions.clear()
        first = self._sessions.setdefault(plain, session)
        return None if first == session else Trap("session-id", found.group().strip("&;/"))

    def _explosion(self, url: str) -> Trap | None:
        path, _, query = url.partition("?")
        parameters = min(query.count("&") + 1, 3)
        key = _digest(f"{path} {parameters}")
        distinct = self._queries.get(key)
        if distinct is None:
            if len(self._queries) >= PATHS_MAX:
                self._queries.popitem(last=False)
            distinct = self._queries[key] = _Distinct()
        self._queries.move_to_end(key)
        limit = QUERIES_MAX[parameters]
        if distinct.estimate > limit and query not in distinct:
            return Trap("query-explosion", f"{split(url).path}: more than {limit} queries")
        distinct.add(query)
        return None


class _Distinct:
    """About how many different texts were added, in 4 KiB at most (linear counting, Whang et al. 1990; 3 % at 100,000)."""

    BITS: Final = 1 << 15
    EXACT_MAX: Final = 64

    __slots__ = ("_bitmap", "_exact", "_ones")

    def __init__(self) -> None:
        self._exact: set[int] = set()
        self._bitmap: bytearray | None = None
        self._ones = 0

    def __contains__(self, text: str) -> bool:
        bit = self._bit(text)
        if self._bitmap is None:
            return bit in self._exact
        return bool(self._bitmap[bit >> 3] & 1 << (bit & 7))

    def add(self, text: str) -> None:
        bit = self._bit(text)
        if self._bitmap is None:
            self._exact.add(bit)
            if len(self._exact) > self.EXACT_MAX:
                self._bitmap = bytearray(self.BITS // 8)
                for known in self._exact:
                    self._set(known)
                self._exact = set()
        else:
            self._set(bit)

    @property
    def estimate(self) -> float:
        if self._bitmap is None:
            return len(self._exact)
        return self.BITS * math.log(self.BITS / max(1, self.BITS - self._ones))

    def _set(self, bit: int) -> None:
        assert self._bitmap is not None
        mask = 1 << (bit & 7)
        if not self._bitmap[bit >> 3] & mask:
            self._bitmap[bit >> 3] |= mask
            self._ones += 1

    def _bit(self, text: str) -> int:
        return int.from_bytes(_digest(text)) % self.BITS


def _path_trap(path: str) -> Trap | None:
    segments = path.strip("/").split("/")
    repeated = _repeated(segments)
    if repeated:
        return Trap("pathological-path", repeated)
    if len(segments) > SEGMENTS_MAX:
        return Trap("too-many-segments", f"{len(segments)} segments")
    return None


def _repeated(segments: list[str]) -> str:
    """The run of segments that occurs more than REPETITIONS_MAX times in a row, '' if there is none."""
    times = REPETITIONS_MAX + 1
    count = len(segments)
    if count < times or count - len(set(segments)) < REPETITIONS_MAX:
        return ""
    # A path has at most a few thousand segments; beyond 3 x SEGMENTS_MAX the next rule parks it anyway.
    segments = segments[: 3 * SEGMENTS_MAX]
    for period in range(1, len(segments) // times + 1):
        matching = 0
        for index in range(period, len(segments)):
            matching = matching + 1 if segments[index] == segments[index - period] else 0
            if matching >= period * REPETITIONS_MAX:
                return "/" + "/".join(segments[index - period + 1 : index + 1]) + "/"
    return ""


def _query_trap(query: str) -> Trap | None:
    if query.count("&") < PARAMETERS_MAX:
        return None
    pair, times = Counter(query.split("&")).most_common(1)[0]
    return Trap("repeated-parameter", pair) if times > PARAMETERS_MAX and pair else None


def _calendar_trap(parts: UrlParts, via_url: str, today: date) -> Trap | None:
    via = split(via_url)
    there, here = _month(parts), _month(via)
    if there is None or here is None or parts.origin != via.origin or _shape(parts) != _shape(via):
        return None
    now = today.year * 12 + today.month - 1
    distance = abs(there - now)
    if distance <= CALENDAR_MONTHS or distance <= abs(here - now):
        return None
    return Trap("calendar", f"{there // 12:04d}-{there % 12 + 1:02d}")


def _month(parts: UrlParts) -> int | None:
    """The month that a calendar's URL shows, counted from year 0; None if it does not look like a calendar's."""
    if len(parts.target) > CALENDAR_TARGET_MAX or not _CALENDAR.search(parts.target):
        return None
    year, month = _YEAR_KEY.search(parts.query), _MONTH_KEY.search(parts.query)
    if year:
        return int(year.group(1)) * 12 + (min(int(month.group(1)), 12) or 1 if month else 1) - 1
    found = _MONTH.search(parts.query) or _MONTH.search(parts.path)
    return int(found.group(1)) * 12 + int(found.group(2)) - 1 if found else None


def _shape(parts: UrlParts) -> tuple[str, tuple[str, ...]]:
    """What the pages of one calendar share: the path without its numbers, the names of the parameters."""
    keys = sorted(pair.partition("=")[0] for pair in parts.query.split("&")) if parts.query else []
    return re.sub(r"\d+", "0", parts.path), tuple(keys)


def _digest(text: str) -> bytes:
    return blake2b(text.encode(), digest_size=8).digest()
