"""How long to leave one host alone between two requests. Pure: a state, what happened, the next state.

Names and the base rule are Heritrix's: delay = delay_factor x fetch time, between a minimum and a maximum. From Scrapy's
AutoThrottle: the delay moves half-way down at a time, and an error never lowers it, since errors come fast. A server that says
429 or 503 is given the time that it asks for (`Retry-After`), and twice the delay at each repetition. A robots.txt
`Crawl-delay` is a minimum.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Final

from healtharchive.crawl.engine import CrawlProfile

OVERLOADED: Final = frozenset({429, 503})
RETRY_AFTER_SECONDS_MAX: Final = 86_400.0
"""A day: what asks for more is an error page's nonsense, and the URL is tried again by policy anyway."""

_OVERLOAD_DELAY_MS_MIN: Final = 1_000.0
_OVERLOAD_DELAY_MS_MAX: Final = 600_000.0
_SECONDS: Final = re.compile(r"\d{1,9}(?:\.\d+)?")


@dataclass(frozen=True)
class HostPace:
    """One host's pace. All times in milliseconds.

    delay_ms        between the end of one fetch and the start of the next, as measured
    overloads       429 and 503 answers in a row
    wait_ms         what the host itself asked for, or our doubling in its place; 0 if it did not complain
    """

    delay_factor: float
    min_delay_ms: float
    max_delay_ms: float
    respect_crawl_delay_up_to_ms: float
    delay_ms: float
    robots_delay_ms: float = 0.0
    overloads: int = 0
    wait_ms: float = 0.0

    @classmethod
    def of(cls, profile: CrawlProfile) -> HostPace:
        """The pace of a host that nothing is known about."""
        return cls(
            delay_factor=profile.delay_factor,
            min_delay_ms=float(profile.min_delay_ms),
            max_delay_ms=float(max(profile.max_delay_ms, profile.min_delay_ms)),
            respect_crawl_delay_up_to_ms=profile.respect_crawl_delay_up_to_seconds * 1000.0,
            delay_ms=float(profile.min_delay_ms),
        )

    def with_crawl_delay(self, seconds: float | None) -> HostPace:
        """robots.txt asks for `seconds` between requests; a longer wish than we respect is respected that far."""
        return replace(self, robots_delay_ms=min((seconds or 0.0) * 1000.0, self.respect_crawl_delay_up_to_ms))

    def after(self, *, status: int | None, elapsed_ms: float, retry_after_seconds: float | None = None) -> HostPace:
        """The pace after a fetch that took `elapsed_ms`; `status` is None if no response came."""
        if status in OVERLOADED:
            return self._after_overload(retry_after_seconds)
        target = min(max(self.delay_factor * elapsed_ms, self.min_delay_ms), self.max_delay_ms)
        eased = max(target, (self.delay_ms + target) / 2)
        is_error = status is None or status >= 400
        return replace(
            self,
            delay_ms=max(self.delay_ms, eased) if is_error else eased,
            overloads=self.overloads if is_error else 0,
            wait_ms=self.wait_ms if is_error else 0.0,
        )

    def _after_overload(self, retry_after_seconds: float | None) -> HostPace:
        doubled = max(self.wait_ms, self.delay_ms, _OVERLOAD_DELAY_MS_MIN) * 2
        asked = min(retry_after_seconds, RETRY_AFTER_SECONDS_MAX) * 1000.0 if retry_after_seconds is not None else None
        if asked is None:
            wait = min(doubled, _OVERLOAD_DELAY_MS_MAX)
        elif self.overloads == 0:
            wait = asked
        else:
            # The host got the pause it asked for and still complains: its number is too low.
            wait = max(asked, min(doubled, _OVERLOAD_DELAY_MS_MAX))
        slower = min(max(self.delay_ms, self.min_delay_ms) * 2, self.max_delay_ms)
        return replace(self, delay_ms=max(slower, self.delay_ms), overloads=self.overloads + 1, wait_ms=wait)

    @property
    def delay_seconds(self) -> float:
        """Seconds from the end of the last fetch to the start of the next."""
        return max(self.delay_ms, self.robots_delay_ms, self.wait_ms) / 1000.0


def retry_after_seconds(value: str | None, now: datetime) -> float | None:
    """A `Retry-After` header as seconds from `now` (aware): a number or an HTTP date. None if there is none that can be read.

    Between 0 and RETRY_AFTER_SECONDS_MAX.
    """
    text = (value or "").strip()
    if _SECONDS.fullmatch(text):
        return min(float(text), RETRY_AFTER_SECONDS_MAX)
    try:
        at = parsedate_to_datetime(text)
    except (TypeError, ValueError, OverflowError):
        return None
    if at.tzinfo is None:
        at = at.replace(tzinfo=UTC)
    return min(max((at - now).total_seconds(), 0.0), RETRY_AFTER_SECONDS_MAX)
