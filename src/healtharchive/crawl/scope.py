"""Which URLs belong to a crawl, and by which rule.

A sequence of rules as in Heritrix (its names and its order): each may accept or reject, and later rules overrule earlier ones.
The frontier keeps the rule's name with the URL, so that "excluded" is always "excluded by what".

    reject    everything                                                           out-of-scope
    accept    seeds, and what lies in their scope (host, path or domain)            seed, in-scope
    accept    what `include` matches                                               include
    reject    pages more than `max_hops` links away                                too-many-hops
    accept    what a page in scope shows, wherever it lies                         requisite
    reject    what `exclude` matches                                               exclude
    accept    what the crawler itself needs: robots.txt, site maps                 prerequisite
    reject    what is not http or https                                            scheme

Suspected traps are no matter of scope: `crawl.traps` parks them after this.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final, NamedTuple

from healtharchive.crawl.engine import CrawlProfile, UrlState
from healtharchive.crawl.links import Hop
from healtharchive.errors import ConfigurationError
from healtharchive.warc.urls import UrlParts, normalize, split

EMBEDS_MAX: Final = 2  # Heritrix, maxTransHops: a style sheet elsewhere may bring its image, but not a whole site's worth
DEFAULT_PORTS: Final = frozenset({80, 443})

_REQUISITE: Final = re.compile(
    r"\.(?:css|m?js|json|png|jpe?g|gif|svg|webp|avif|ico|woff2?|ttf|otf|eot|mp[34]|webm|ogg|vtt|wasm)$", re.IGNORECASE
)


class Decision(NamedTuple):
    """`state` is where the URL goes in the ledger: pending if accepted, else excluded. `rule` had the last word."""

    accepted: bool
    state: UrlState
    rule: str


def _accept(rule: str) -> Decision:
    return Decision(True, UrlState.PENDING, rule)


def _reject(rule: str) -> Decision:
    return Decision(False, UrlState.EXCLUDED, rule)


_OUT_OF_SCOPE: Final = _reject("out-of-scope")
_IN_SCOPE: Final = _accept("in-scope")
_SEED: Final = _accept("seed")
_INCLUDE: Final = _accept("include")
_TOO_MANY_HOPS: Final = _reject("too-many-hops")
_REQUISITE_OF_PAGE: Final = _accept("requisite")
_EXCLUDE: Final = _reject("exclude")
_PREREQUISITE: Final = _accept("prerequisite")
_SCHEME: Final = _reject("scheme")


@dataclass(frozen=True)
class Scope:
    """A crawl's scope. `sites` are the seeds' (host, port) pairs, or their directories, in the form that `_site` gives."""

    breadth: str
    seeds: frozenset[str]
    sites: frozenset[tuple[str, int]]
    directories: tuple[tuple[tuple[str, int], str], ...]
    include: tuple[re.Pattern[str], ...]
    exclude: tuple[re.Pattern[str], ...]
    requisites: bool
    max_hops: int | None

    @classmethod
    def of(cls, profile: CrawlProfile) -> Scope:
        """The scope of a profile; seeds that cannot be fetched are left out. Raises ConfigurationError for a bad expression."""
        seeds = [url for seed in profile.seeds if (url := normalize(seed)) is not None]
        parts = [split(url) for url in seeds]
        return cls(
            breadth=profile.scope,
            seeds=frozenset(seeds),
            sites=frozenset(_site(part) for part in parts),
            directories=tuple(sorted({(_site(part), part.path[: part.path.rindex("/") + 1]) for part in parts})),
            include=_compiled(profile.include, "include"),
            exclude=_compiled(profile.exclude, "exclude"),
            requisites=profile.requisites,
            max_hops=profile.max_hops,
        )

    def decide(self, url: str, *, hop: Hop, via_url: str | None = None, hops: int = 0, embeds: int = 0) -> Decision:
        """Whether a normalized URL, found through `hop` on the page `via_url`, is to be fetched. Total: never an error.

        `hops` counts from the seed; `embeds` counts embeds in a row that end with this URL (an image of a page is 1, a redirect
        of that image is 1 still).
        """
        try:
            parts = split(url)
        except ValueError:
            return _SCHEME
        if hop is Hop.PREREQUISITE:
            return _PREREQUISITE
        decision = _OUT_OF_SCOPE
        if url in self.seeds:
            decision = _SEED
        elif self.covers(parts):
            decision = _IN_SCOPE
        elif _find(self.include, url):
            decision = _INCLUDE
        if decision.accepted and self.max_hops is not None and hops > self.max_hops:
            decision = _TOO_MANY_HOPS
        if not decision.accepted and self._is_shown(parts, hop=hop, embeds=embeds):
            decision = _REQUISITE_OF_PAGE
        if decision.accepted and _find(self.exclude, url):
            decision = _EXCLUDE
        return decision

    def covers(self, parts: UrlParts) -> bool:
        """Whether a URL lies in the scope of the seeds, before all other rules."""
        if self.breadth == "path":
            site = _site(parts)
            return any(site == place and parts.path.startswith(directory) for place, directory in self.directories)
        return self._has_site(parts)

    def has_origin(self, origin: str) -> bool:
        """Whether pages of an origin may be in scope, so that its site maps are worth reading: a CDN's name other people's."""
        front = origin + "/"
        return self._has_site(split(front)) or _find(self.include, front)

    def _has_site(self, parts: UrlParts) -> bool:
        site = _site(parts)
        return site in self.sites or (self.breadth == "domain" and self._is_below(site))

    def _is_below(self, site: tuple[str, int]) -> bool:
        host, port = site
        labels = host.split(".")
        return any((".".join(labels[start:]), port) in self.sites for start in range(1, len(labels)))

    def _is_shown(self, parts: UrlParts, *, hop: Hop, embeds: int) -> bool:
        if not self.requisites:
            return False
        if hop is Hop.EMBED or hop is Hop.REDIRECT:
            return 0 < embeds <= EMBEDS_MAX
        # A string in a script may be any address of the web; elsewhere it is followed only to what pages are made of.
        return hop is Hop.SPECULATIVE and embeds <= EMBEDS_MAX and _REQUISITE.search(parts.path) is not None


def _site(parts: UrlParts) -> tuple[str, int]:
    """Host and port to compare by: `www.`, a dot at the end and http or https make no other site (as in Heritrix' SURTs)."""
    host = parts.host.rstrip(".").removeprefix("www.")
    return host, 0 if parts.port in DEFAULT_PORTS else parts.port


def _compiled(expressions: tuple[str, ...], setting: str) -> tuple[re.Pattern[str], ...]:
    try:
        return tuple(re.compile(expression) for expression in expressions)
    except re.error as error:
        raise ConfigurationError(
            f"The regular expression {error.pattern!r} in {setting!r} cannot be read: {error}.",
            hint="Nothing was crawled. Correct the source's profile.",
        ) from None


def _find(patterns: tuple[re.Pattern[str], ...], url: str) -> bool:
    return any(pattern.search(url) for pattern in patterns)
