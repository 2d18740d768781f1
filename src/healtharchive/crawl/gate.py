"""robots.txt before anything else: claims of an origin wait here until its robots.txt is known, and learn whether they may pass.

2xx                        its rules
other 4xx                  everything is allowed (RFC 9309 2.3.1.3)
429, 5xx, no answer        nothing is allowed for now; asked again by policy, and final after the URL's budget of tries
host cannot be reached     each URL of the origin ends as the robots.txt did, since it would end the same way
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from healtharchive.crawl.engine import CrawlProfile, UrlState
from healtharchive.crawl.entries import Claim, RobotsSeen
from healtharchive.crawl.frontier import Frontier
from healtharchive.crawl.links import Hop
from healtharchive.crawl.outcome import Ending
from healtharchive.crawl.robots import Robots
from healtharchive.warc.urls import url_key

ROBOTS_PATH: Final = "/robots.txt"
ROBOTS_BYTES_MAX: Final = 512_000  # RFC 9309 asks for 500 KiB at least
REDIRECTS_MAX: Final = 5  # RFC 9309 2.3.1.2
FORBIDDEN: Final = "robots.txt forbids it"
UNREACHABLE: Final = frozenset({"dns", "refused", "unreachable", "tls", "private"})


@dataclass
class Origin:
    """What is known of one origin. `ending` set: everything of it ends so. `is_asked`: its robots.txt is being fetched."""

    name: str
    is_asked: bool = False
    is_paced: bool = False
    robots: Robots | None = None
    ending: Ending | None = None
    waiting: list[Claim] = field(default_factory=list)

    @property
    def robots_url(self) -> str:
        return self.name + ROBOTS_PATH

    @property
    def is_known(self) -> bool:
        return self.robots is not None or self.ending is not None


class Gate:
    """All origins of a crawl."""

    def __init__(self, profile: CrawlProfile, frontier: Frontier) -> None:
        self._agent = profile.robots_agent
        self._obeys = profile.robots == "obey"
        self._frontier = frontier
        self._origins: dict[str, Origin] = {}
        self.waiting = 0

    def origin(self, name: str) -> tuple[Origin, Claim | None]:
        """An origin, and a claim of its robots.txt if that must be fetched first."""
        origin = self._origins.get(name)
        if origin is not None:
            return origin, None
        origin = self._origins[name] = Origin(name)
        seen = self._frontier.robots(name)
        if seen is not None:
            self._know(origin, seen)
            return origin, None
        held = self._frontier.holds(origin.robots_url)
        if held is not None and held[0] is UrlState.PENDING and held[1] > 0:
            return origin, None  # waits for its next try; the frontier will hand it out
        identity = held[2] if held is not None else None
        origin.is_asked = True
        return origin, Claim(identity, url_key(origin.robots_url), origin.robots_url, Hop.PREREQUISITE, 0, 0, 0, 0, None)

    def wait(self, origin: Origin, claim: Claim) -> None:
        origin.waiting.append(claim)
        self.waiting += 1

    def learn(self, origin: Origin, status: int | None, body: bytes, *, at: float) -> tuple[RobotsSeen, list[Claim]]:
        """The robots.txt of an origin came, or never will (`status` None). Returns what to store and who may be judged now."""
        seen = RobotsSeen(origin.name, status, body[:ROBOTS_BYTES_MAX], at)
        self._know(origin, seen)
        return seen, self._freed(origin)

    def close(self, origin: Origin, ending: Ending) -> list[Claim]:
        """The host cannot be reached: returns who waits, to end like this."""
        origin.ending = ending
        return self._freed(origin)

    def refusal(self, origin: Origin, url: str) -> Ending | None:
        """Why a URL may not be fetched, None if it may."""
        if origin.ending is not None:
            return origin.ending
        assert origin.robots is not None
        if self._obeys and not origin.robots.allowed(url, self._agent):
            return Ending(UrlState.ROBOTS, FORBIDDEN, "robots.txt")
        return None

    def crawl_delay(self, origin: Origin) -> float | None:
        """Seconds that the origin asks for between two requests."""
        if origin.robots is None or not self._obeys:
            return None
        return origin.robots.crawl_delay(self._agent)

    def sitemaps(self, origin: Origin) -> Sequence[str]:
        return origin.robots.sitemaps if origin.robots is not None else ()

    def _know(self, origin: Origin, seen: RobotsSeen) -> None:
        if seen.status is None and self._obeys:
            origin.ending = Ending(
                UrlState.ROBOTS, "robots.txt could not be had: " + seen.body.decode("utf-8", "replace"), "robots.txt"
            )
            return
        origin.robots = Robots.from_response(seen.status if seen.status is not None else 404, seen.body)

    def _freed(self, origin: Origin) -> list[Claim]:
        freed, origin.waiting = origin.waiting, []
        self.waiting -= len(freed)
        return freed


def is_final(status: int) -> bool:
    """Whether an answer to robots.txt says what is allowed; a 429 or 5xx says only to come back."""
    return status < 500 and status != 429
