"""From an answer to the URLs that it names, each with its place in the ledger: in scope, out of it, or suspected to be a trap."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import date
from typing import Final

from healtharchive.crawl import sitemaps
from healtharchive.crawl.engine import CrawlProfile, UrlState
from healtharchive.crawl.entries import Claim, Found
from healtharchive.crawl.links import Extraction, Hop
from healtharchive.crawl.scope import Scope
from healtharchive.crawl.traps import Traps
from healtharchive.warc.urls import normalize, split

SEED: Final = "S"  # the hop of a seed, beside those of `links.Hop`
TEXT_BYTES_MAX: Final = 16 << 20  # of one document looked at for links; what is stored is never cut for it
SITEMAP_BYTES_MAX: Final = 52_428_800  # sitemaps.org: 50 MB uncompressed
KNOWN_MAX: Final = 100_000

_REQUISITE: Final = re.compile(
    r"\.(css|js|mjs|png|jpe?g|gif|svg|webp|avif|ico|woff2?|ttf|otf|eot|mp[34]|webm|json)$", re.IGNORECASE
)


class Harvest:
    """Reads answers. It remembers URLs that the frontier surely has, since a site's navigation is on each of its pages."""

    def __init__(self, profile: CrawlProfile, today: date) -> None:
        self._profile = replace(profile, seeds=tuple(seeds_of(profile)))
        self._scope = Scope.of(self._profile)
        self._traps = Traps(today)
        self._redirects_max = profile.redirects_max
        self._accepted: set[str] = set()
        self._refused: set[str] = set()
        # With a limit on hops, a URL refused far from the seed may be accepted on a shorter way.
        self._may_forget_refusals = profile.max_hops is not None

    def of(self, claim: Claim, extraction: Extraction) -> list[Found]:
        """New URLs named by a page's header and body, in their order."""
        found = self.judge(claim, ((link.url, link.hop) for link in extraction.links))
        found += [_unfetched(claim, link.url, link.hop) for link in extraction.unfetched]
        return found

    def of_sitemap(self, claim: Claim, text: bytes) -> list[Found]:
        """Pages and further sitemaps named by a sitemap."""
        sitemap = sitemaps.parse(text, claim.url)
        found = self.judge(claim, ((url, Hop.SITEMAP) for url, _ in sitemap.urls))
        found += self.judge(claim, ((url, Hop.EMBED) for url in sitemap.media))
        for url in sitemap.sitemaps:
            if claim.redirects < self._redirects_max:  # nesting is counted like a redirect: an endless chain of indexes ends
                found.append(prerequisite(url, rule="sitemap", via=claim.id, redirects=claim.redirects + 1))
        return found

    def judge(self, claim: Claim, named: Iterable[tuple[str, Hop]]) -> list[Found]:
        found: list[Found] = []
        accepted, refused = self._accepted, self._refused
        decide = self._scope.decide
        via, via_url, hops, embeds = claim.id, claim.url, claim.hops, claim.embeds
        for url, hop in named:
            if url in accepted:
                continue
            memory = hop + url
            if memory in refused:
                continue
            if hop is Hop.REDIRECT:
                child_hops, child_embeds, redirects = hops, embeds, claim.redirects + 1
            elif hop is Hop.EMBED:
                child_hops, child_embeds, redirects = hops, embeds + 1, 0
            else:
                child_hops, child_embeds, redirects = hops + 1, 0, 0
            if hop is Hop.REDIRECT and claim.hop == SEED and redirects <= self._redirects_max:
                found.append(Found(url, UrlState.PENDING, SEED, 0, 0, redirects, via, "seed", "a seed redirects here"))
                self.widen(url)
                decide = self._scope.decide
                self._remember(url, memory)
                continue
            decision = decide(url, hop=hop, via_url=via_url, hops=child_hops, embeds=child_embeds)
            state, rule, reason = decision.state, decision.rule, ""
            if decision.accepted:
                if redirects > self._redirects_max:
                    state, rule, reason = UrlState.FAILED, "redirects_max", f"more than {self._redirects_max} redirects in a row"
                else:
                    trap = self._traps.suspicion(url, via_url=via_url)
                    if trap is not None:
                        state, rule, reason = UrlState.TRAP, trap.rule, trap.sample
            found.append(Found(url, state, hop, child_hops, child_embeds, redirects, via, rule, reason))
            self._remember(url if decision.accepted else None, memory)
        return found

    def widen(self, *seeds: str) -> None:
        """Take URLs that seeds redirect to for seeds, as far as they name the same site (`www.`, a host above or below)."""
        known = {split(url).host for url in self._profile.seeds}
        more = [url for url in seeds if any(_same_site(split(url).host, host) for host in known)]
        seeds_now = tuple(dict.fromkeys((*self._profile.seeds, *more)))
        if seeds_now != self._profile.seeds:
            self._profile = replace(self._profile, seeds=seeds_now)
            self._scope = Scope.of(self._profile)
            self._refused.clear()

    def of_prior(self, url: str) -> list[Found]:
        """A URL of the last edition: a page if it is in scope, else perhaps a requisite, which may lie anywhere."""
        seed_url = self._profile.seeds[0]
        for hop, embeds in ((Hop.LINK, 0), (Hop.EMBED, 1)):
            if hop is Hop.EMBED and not _REQUISITE.search(split(url).path):
                break
            decision = self._scope.decide(url, hop=hop, via_url=seed_url, hops=0, embeds=embeds)
            if decision.accepted:
                return [Found(url, UrlState.PENDING, hop, 0, embeds, 0, None, "prior")]
        return []

    def _remember(self, url: str | None, memory: str) -> None:
        if url is not None:
            if len(self._accepted) >= KNOWN_MAX:
                self._accepted.clear()
            self._accepted.add(url)
        elif not self._may_forget_refusals:
            if len(self._refused) >= KNOWN_MAX:
                self._refused.clear()
            self._refused.add(memory)


def seed(url: str) -> Found:
    return Found(url, UrlState.PENDING, SEED, rule="seed")


def prerequisite(url: str, *, rule: str, via: int | None = None, redirects: int = 0) -> Found:
    """A robots.txt or a sitemap: needed to crawl well, and no page."""
    return Found(url, UrlState.PENDING, Hop.PREREQUISITE, redirects=redirects, via=via, rule=rule)


def _unfetched(claim: Claim, url: str, hop: Hop) -> Found:
    reason = f"no crawler of ours speaks {url.partition(':')[0]}"
    return Found(url, UrlState.EXCLUDED, hop, claim.hops + 1, via=claim.id, rule="scheme", reason=reason)


def seeds_of(profile: CrawlProfile) -> Sequence[str]:
    """The seeds as normalized URLs. Raises ValueError with a sentence for one that cannot be fetched."""
    urls = []
    for text in profile.seeds:
        url = normalize(text.strip())
        if url is None:
            raise ValueError(f"seed {text!r} is not an http or https URL")
        urls.append(url)
    if not urls:
        raise ValueError("there is no seed")
    return urls


def _same_site(host: str, other: str) -> bool:
    host, other = host.removeprefix("www."), other.removeprefix("www.")
    return host == other or host.endswith("." + other) or other.endswith("." + host)
