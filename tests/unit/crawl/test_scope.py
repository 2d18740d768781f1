"""Which URLs belong to a crawl: each rule by itself, their order, and that there always is a decision with a reason."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from healtharchive.crawl.engine import CrawlProfile, UrlState
from healtharchive.crawl.links import Hop
from healtharchive.crawl.scope import Scope
from healtharchive.errors import ConfigurationError
from healtharchive.warc.urls import normalize

SEED = "https://www.site.example/en/health/index.html"


def scope(*seeds: str, **fields: Any) -> Scope:
    return Scope.of(CrawlProfile(seeds=seeds or (SEED,), user_agent="test", **fields))


def rule(scope: Scope, url: str, hop: Hop = Hop.LINK, *, hops: int = 1, embeds: int | None = None) -> str:
    """The rule with the last word, with a leading minus if it rejects."""
    embeds = embeds if embeds is not None else int(hop is Hop.EMBED)
    decision = scope.decide(url, hop=hop, via_url=SEED, hops=hops, embeds=embeds)
    assert decision.state is (UrlState.PENDING if decision.accepted else UrlState.EXCLUDED)
    return ("" if decision.accepted else "-") + decision.rule


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        (SEED, "seed"),
        ("https://www.site.example/", "in-scope"),
        ("http://www.site.example/", "in-scope"),  # the scheme makes no other site
        ("https://site.example/x", "in-scope"),  # nor does www.
        ("https://www.site.example./x", "in-scope"),  # nor a dot at the end
        ("https://www.site.example:8443/", "-out-of-scope"),  # another port does
        ("https://sub.site.example/", "-out-of-scope"),
        ("https://www.sub.site.example/", "-out-of-scope"),
        ("https://notsite.example/", "-out-of-scope"),
        ("https://site.example.evil.example/", "-out-of-scope"),
        ("https://evil.example/https://www.site.example/", "-out-of-scope"),
    ],
)
def test_a_host(url: str, expected: str) -> None:
    assert rule(scope(), url) == expected


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://www.site.example/en/health/", "in-scope"),
        ("https://site.example/en/health/a/b", "in-scope"),
        ("https://www.site.example/en/health", "-out-of-scope"),
        ("https://www.site.example/en/healthy/", "-out-of-scope"),
        ("https://www.site.example/EN/health/", "-out-of-scope"),
        ("https://other.example/en/health/", "-out-of-scope"),
    ],
)
def test_a_path(url: str, expected: str) -> None:
    assert rule(scope(scope="path"), url) == expected


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://site.example/", "in-scope"),
        ("https://a.b.site.example/", "in-scope"),
        ("https://www.a.site.example/", "in-scope"),
        ("https://notsite.example/", "-out-of-scope"),
        ("https://example/", "-out-of-scope"),
        ("https://a.site.example:8443/", "-out-of-scope"),
    ],
)
def test_a_domain(url: str, expected: str) -> None:
    assert rule(scope(scope="domain"), url) == expected


def test_an_address_is_a_host_and_has_no_subdomains() -> None:
    loopback = scope("http://127.0.0.1:8001/", scope="domain")
    assert rule(loopback, "http://127.0.0.1:8001/a") == "in-scope"
    assert rule(loopback, "http://127.0.0.1:8002/a") == "-out-of-scope"
    assert rule(loopback, "http://10.127.0.0.1.nip.example:8001/") == "-out-of-scope"
    assert rule(scope("http://[::1]:8001/"), "http://[::1]:8001/a") == "in-scope"


def test_several_seeds_are_several_sites() -> None:
    two = scope("https://a.example/", "https://b.example/x/", scope="path")
    assert rule(two, "https://a.example/y") == "in-scope"
    assert rule(two, "https://b.example/x/y") == "in-scope"
    assert rule(two, "https://b.example/y") == "-out-of-scope"


@pytest.mark.parametrize(
    ("breadth", "origin", "expected"),
    [
        ("host", "https://site.example", True),
        ("path", "https://site.example", True),
        ("path", "https://docs.example", True),  # included
        ("host", "https://sub.site.example", False),
        ("domain", "https://sub.site.example", True),
        ("domain", "https://cdn.example", False),
    ],
)
def test_whose_site_maps_are_read(breadth: str, origin: str, expected: bool) -> None:
    assert scope(scope=breadth, include=("//docs.example/",)).has_origin(origin) is expected


class TestRequisites:
    """What a page in scope shows is fetched wherever it lies, but an embed of an embed of an embed is somebody else's site."""

    def test_an_image_elsewhere(self) -> None:
        assert rule(scope(), "https://cdn.example/i.png", Hop.EMBED) == "requisite"

    def test_what_a_style_sheet_elsewhere_shows(self) -> None:
        assert rule(scope(), "https://cdn.example/font.woff2", Hop.EMBED, embeds=2) == "requisite"
        assert rule(scope(), "https://cdn.example/more.css", Hop.EMBED, embeds=3) == "-out-of-scope"

    def test_where_an_image_redirects_to(self) -> None:
        assert rule(scope(), "https://cdn.example/i.png", Hop.REDIRECT, embeds=1) == "requisite"

    def test_where_a_page_redirects_to_is_no_requisite(self) -> None:
        assert rule(scope(), "https://other.example/", Hop.REDIRECT, embeds=0) == "-out-of-scope"

    def test_a_link_elsewhere_is_none(self) -> None:
        assert rule(scope(), "https://cdn.example/i.png", Hop.LINK) == "-out-of-scope"

    def test_a_string_in_a_script_is_followed_elsewhere_only_to_what_pages_are_made_of(self) -> None:
        assert rule(scope(), "https://cdn.example/lib.js?v=1", Hop.SPECULATIVE) == "requisite"
        assert rule(scope(), "https://social.example/share", Hop.SPECULATIVE) == "-out-of-scope"
        assert rule(scope(), "https://site.example/api", Hop.SPECULATIVE) == "in-scope"

    def test_they_can_be_left_out(self) -> None:
        without = scope(requisites=False)
        assert rule(without, "https://cdn.example/i.png", Hop.EMBED) == "-out-of-scope"
        assert rule(without, "https://site.example/i.png", Hop.EMBED) == "in-scope"


class TestOrder:
    """Later rules overrule earlier ones, as in Heritrix."""

    def test_include_widens_the_scope(self) -> None:
        assert rule(scope(include=(r"//docs\.example/",)), "https://docs.example/a") == "include"

    def test_exclude_wins_over_everything_a_site_says(self) -> None:
        strict = scope(include=("docs",), exclude=(r"\.png$", "docs/private", "/en/health/index"))
        assert rule(strict, "https://docs.example/docs/private/a") == "-exclude"
        assert rule(strict, "https://cdn.example/i.png", Hop.EMBED) == "-exclude"
        assert rule(strict, SEED) == "-exclude"
        assert rule(strict, "https://other.example/i.png") == "-out-of-scope"

    def test_exclude_does_not_keep_the_crawler_from_what_it_needs(self) -> None:
        assert rule(scope(exclude=("robots",)), "https://cdn.example/robots.txt", Hop.PREREQUISITE) == "prerequisite"

    def test_too_far_away(self) -> None:
        near = scope(max_hops=2)
        assert rule(near, "https://site.example/a", hops=2) == "in-scope"
        assert rule(near, "https://site.example/a", hops=3) == "-too-many-hops"

    def test_what_the_farthest_page_shows_is_still_fetched(self) -> None:
        assert rule(scope(max_hops=0), "https://site.example/i.png", Hop.EMBED, hops=0) == "in-scope"
        assert rule(scope(max_hops=0), "https://site.example/i.png", Hop.EMBED, hops=1) == "requisite"

    def test_there_is_no_depth_by_default(self) -> None:
        assert rule(scope(), "https://site.example/a", hops=1_000_000) == "in-scope"

    def test_each_expression_stands_for_itself_with_its_own_flags(self) -> None:
        strict = scope(exclude=("zz|qq", r"(?i)\.pdf$"))
        assert rule(strict, "https://site.example/c") == "in-scope"
        assert rule(strict, "https://site.example/qq") == "-exclude"
        assert rule(strict, "https://site.example/c.PDF") == "-exclude"


@pytest.mark.parametrize("setting", ["include", "exclude"])
def test_an_expression_that_cannot_be_read_is_a_configuration_error(setting: str) -> None:
    with pytest.raises(ConfigurationError, match=rf"'\(unclosed' in '{setting}' cannot be read"):
        scope(**{setting: ("(unclosed",)})


@pytest.mark.parametrize("url", ["", "mailto:a@b", "ftp://site.example/", "javascript:x", "/a", "https:", "https://", "http://h"])
def test_what_is_no_url_is_refused_by_its_scheme(url: str) -> None:
    assert rule(scope(), url) == "-scheme"


@given(
    address=st.one_of(
        st.text(max_size=40), st.builds("https://{}/{}".format, st.text("ab.w-:1", min_size=1, max_size=12), st.text(max_size=12))
    ),
    hop=st.sampled_from(Hop),
    hops=st.integers(0, 100),
    embeds=st.integers(0, 5),
    breadth=st.sampled_from(["host", "path", "domain"]),
    max_hops=st.one_of(st.none(), st.integers(0, 5)),
    exclude=st.sampled_from([(), ("a",), ("^https",)]),
)
def test_there_is_always_a_decision_with_a_reason(
    address: str, hop: Hop, hops: int, embeds: int, breadth: Any, max_hops: int | None, exclude: tuple[str, ...]
) -> None:
    where = scope("https://a.b/", scope=breadth, max_hops=max_hops, exclude=exclude)
    for url in (address, normalize(address) or address):
        decision = where.decide(url, hop=hop, via_url=None, hops=hops, embeds=embeds)
        assert decision.rule
        assert decision.accepted is (decision.state is UrlState.PENDING)
        assert decision == where.decide(url, hop=hop, via_url=None, hops=hops, embeds=embeds)


@given(url=st.builds("https://{}/".format, st.text("abw.", min_size=1, max_size=12)))
def test_a_wider_breadth_accepts_no_less(url: str) -> None:
    normalized = normalize(url)
    if normalized is not None:
        accepted = [
            scope("https://w.a/b/", scope=breadth).decide(normalized, hop=Hop.LINK).accepted
            for breadth in ("path", "host", "domain")
        ]
        assert accepted == sorted(accepted)
