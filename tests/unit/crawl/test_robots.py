"""robots.txt: checks written from RFC 9309 and from Google's documentation of its own reading.

The classes that protego 0.7 misses are among them, marked (*).
"""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from healtharchive.crawl.robots import BYTES_MAX, Robots

SITE = "https://site.example"


def allowed(text: str | bytes, path: str, agent: str = "HealthArchive") -> bool:
    body = text.encode() if isinstance(text, str) else text
    return Robots.from_response(200, body).allowed(SITE + path, agent)


STAR = "User-agent: *\n"

# robots.txt, path, may it be fetched
PATHS = [
    pytest.param("", "/a", True, id="an empty file allows all"),
    pytest.param(STAR + "Disallow:", "/a", True, id="an empty Disallow allows all"),
    pytest.param(STAR + "Allow:\nDisallow: /a", "/a", False, id="an empty Allow is nothing"),
    pytest.param(STAR + "Disallow: /", "/a", False, id="slash forbids all"),
    pytest.param(STAR + "Disallow: /", "/robots.txt", True, id="robots.txt itself is always allowed"),
    pytest.param(STAR + "Disallow: /fish", "/fish.html", False, id="a path is a prefix"),
    pytest.param(STAR + "Disallow: /fish", "/Fish", True, id="paths have a case"),
    pytest.param(STAR + "Disallow: /fish", "/catfish", True, id="a prefix begins at the root"),
    pytest.param(STAR + "Disallow: /fish/", "/fish", True, id="a directory is not the file of its name"),
    pytest.param(STAR + "Disallow: /fish/", "/fish/?id=1", False, id="the query belongs to the path"),
    pytest.param(STAR + "Disallow: /*.php", "/folder/any.php.file.html", False, id="star in the middle"),
    pytest.param(STAR + "Disallow: /*.php", "/?php", True, id="star in the middle needs what follows it"),
    pytest.param(STAR + "Disallow: /*.php$", "/filename.php", False, id="dollar is the end"),
    pytest.param(STAR + "Disallow: /*.php$", "/filename.php?parameters", True, id="the query comes before the end"),
    pytest.param(STAR + "Disallow: /fish*.php", "/fishheads/catfish.php?a", False, id="star reaches across segments"),
    pytest.param(STAR + "Disallow: /fish*", "/fish", False, id="a trailing star is no more than the prefix"),
    pytest.param(STAR + "Disallow: *.gif", "/a/b.gif", False, id="a pattern may begin with a star"),
    pytest.param(STAR + "Disallow: /$", "/", False, id="the front page alone"),
    pytest.param(STAR + "Disallow: /$", "/a", True, id="the front page alone, not what is below"),
    pytest.param(STAR + "Disallow: /a$b", "/a$b", False, id="a dollar elsewhere is a dollar"),
    pytest.param(STAR + "Disallow: /a*a$", "/a", True, id="two literals do not overlap at the end"),
    pytest.param(STAR + "Allow: /p\nDisallow: /", "/page", True, id="the longest pattern wins, here Allow"),
    pytest.param(STAR + "Allow: /folder\nDisallow: /folder/x", "/folder/x", False, id="the longest pattern wins, here Disallow"),
    pytest.param(STAR + "Disallow: /folder\nAllow: /folder", "/folder/page", True, id="of two as long, Allow"),
    pytest.param(STAR + "Allow: /page\nDisallow: /*.htm", "/page.htm", False, id="a longer wildcard beats a shorter prefix"),
    pytest.param(STAR + "Allow: /$\nDisallow: /", "/", True, id="the front page of a closed site"),
    pytest.param(
        STAR + "Allow: /example/page/\nDisallow: /example/page/disallowed.gif",
        "/example/page/disallowed.gif",
        False,
        id="RFC 9309 5.2, longest match",
    ),
    pytest.param(STAR + "Disallow: /foo/bar?baz=quz", "/foo/bar?baz=quz", False, id="RFC 9309 2.2.2, query"),
    pytest.param(STAR + "Disallow: /foo/bar/ツ", "/foo/bar/%E3%83%84", False, id="RFC 9309 2.2.2, UTF-8 in the file"),
    pytest.param(STAR + "Disallow: /foo/bar/%E3%83%84", "/foo/bar/ツ", False, id="RFC 9309 2.2.2, UTF-8 in the URL"),
    pytest.param(STAR + "Disallow: /foo/bar/%62%61%7A", "/foo/bar/baz", False, id="RFC 9309 2.2.2, needless escapes in the file"),
    pytest.param(STAR + "Disallow: /foo/bar/baz", "/foo/bar/%62%61%7a", False, id="RFC 9309 2.2.2, needless escapes in the URL"),
    pytest.param(
        STAR + "Disallow: /foo/bar?baz=https://foo.bar",
        "/foo/bar?baz=https%3A%2F%2Ffoo.bar",
        False,
        id="RFC 9309 2.2.2, reserved characters in a query",
    ),
    pytest.param(STAR + "Disallow: /a%2fb", "/a/b", True, id="an escaped slash is no slash in a path"),
    pytest.param(STAR + "Disallow: /a%2fb", "/a%2Fb", False, id="escapes have no case"),
    pytest.param(STAR + "Disallow: /file-with-a-%2A.html", "/file-with-a-*.html", False, id="RFC 9309 2.2.3, escaped star"),
    pytest.param(
        STAR + "Disallow: /file-with-a-%2A.html", "/file-with-a-b.html", True, id="RFC 9309 2.2.3, escaped star is no wildcard"
    ),
    pytest.param(STAR + "Disallow: /foo-%24", "/foo-$", False, id="RFC 9309 2.2.3, escaped dollar"),
    pytest.param(STAR + "Disallow: /a b", "/a%20b", False, id="a space in the file"),
    pytest.param(STAR + "Disallow: /a # why", "/a", False, id="a comment ends the value"),
    pytest.param(STAR + "  Disallow :  /a  ", "/a", False, id="white space anywhere"),
    pytest.param("user-AGENT: *\ndisALLOW: /a", "/a", False, id="keys have no case"),
    pytest.param("User-agent: *\rDisallow: /a", "/a", False, id="CR ends a line"),
    pytest.param("User-agent: *\r\n\r\nDisallow: /a", "/a", False, id="CRLF ends a line, an empty line ends no group"),
    pytest.param("\ufeffUser-agent: *\nDisallow: /a", "/a", False, id="a byte-order mark is no part of the first line (*)"),
    pytest.param("Disallow: /a", "/a", True, id="a rule before any user-agent counts for nobody"),
    pytest.param(STAR + "Disallow: a", "/a", True, id="a path that begins with neither slash nor star"),
    pytest.param(STAR + "Noindex: /a\nHost: x\nfoo\n\x00\n:\nDisallow: /b", "/b", False, id="unknown lines are passed over"),
    pytest.param("User agent: *\nDissallow: /a", "/a", False, id="Google: common misspellings"),
    pytest.param("User-agent *\nDisallow /a", "/a", False, id="Google: forgotten colons"),
    pytest.param("<!DOCTYPE html><html><body>Disallow: /</body></html>", "/a", True, id="a web page served as robots.txt"),
    pytest.param(b"User-agent: *\nDisallow: /\xff\nDisallow: /a", "/a", False, id="bytes that are no UTF-8"),
]


@pytest.mark.parametrize(("text", "path", "expected"), PATHS)
def test_paths(text: str | bytes, path: str, expected: bool) -> None:
    assert allowed(text, path) is expected


GROUPS = (
    "User-agent: foo\nDisallow: /foo\n\nUser-agent: bar\nUser-agent: baz\nDisallow: /barbaz\n\nUser-agent: *\nDisallow: /all\n"
)

# robots.txt, agent, path, may it fetch
AGENTS = [
    pytest.param(GROUPS, "foo", "/foo", False, id="a group of one"),
    pytest.param(GROUPS, "foo", "/all", True, id="who has a group of its own is not everybody"),
    pytest.param(GROUPS, "other", "/all", False, id="everybody else"),
    pytest.param(GROUPS, "other", "/foo", True, id="another's rules"),
    pytest.param(GROUPS, "bar", "/barbaz", False, id="the first of two agents of a group"),
    pytest.param(GROUPS, "baz", "/barbaz", False, id="the second of two agents of a group"),
    pytest.param(GROUPS, "FOO", "/foo", False, id="agents have no case"),
    pytest.param(GROUPS, "foo/2.0 (+https://foo.example)", "/foo", False, id="a whole User-Agent begins with its product"),
    pytest.param(GROUPS, "fo", "/foo", True, id="fo is not foo (*)"),
    pytest.param(GROUPS, "foobar", "/foo", True, id="foobar is not foo"),
    pytest.param("User-agent: foo-bar\nDisallow: /\n", "foo", "/a", True, id="foo is not foo-bar"),
    pytest.param("User-agent: foo/1.0\nDisallow: /\n", "foo", "/a", False, id="a version in the line (*)"),
    pytest.param("User-agent: foo bar\nDisallow: /\n", "foo", "/a", False, id="words after the product"),
    pytest.param(
        "User-agent: foo\nCrawl-delay: 5\nUser-agent: bar\nDisallow: /\n",
        "foo",
        "/a",
        False,
        id="Crawl-delay between two user-agent lines ends no group (*)",
    ),
    pytest.param(
        "User-agent: foo\nSitemap: https://site.example/s.xml\nUser-agent: bar\nDisallow: /\n",
        "foo",
        "/a",
        False,
        id="Sitemap between two user-agent lines ends no group",
    ),
    pytest.param(
        "User-agent: foo\nDisallow: /a\nUser-agent: bar\nDisallow: /b\nUser-agent: foo\nDisallow: /c\n",
        "foo",
        "/c",
        False,
        id="groups of one agent are one group",
    ),
    pytest.param(
        "User-agent: foo\nDisallow: /a\nUser-agent: bar\nDisallow: /b\nUser-agent: foo\nDisallow: /c\n",
        "foo",
        "/b",
        True,
        id="groups of one agent do not take in others",
    ),
    pytest.param(
        "User-agent: *\nDisallow: /a\nUser-agent: *\nDisallow: /b\n", "foo", "/a", False, id="groups of everybody are one group"
    ),
    pytest.param(
        "User-agent: foo\n\nUser-agent: *\nDisallow: /\n",
        "foo",
        "/a",
        False,
        id="user-agent lines with nothing but an empty line between them name one group",
    ),
    pytest.param("User-agent: foo\nDisallow:\n\nUser-agent: *\nDisallow: /\n", "foo", "/a", True, id="who may do all by name"),
    pytest.param("User-agent: *\nUser-agent: foo\nDisallow: /\n", "bar", "/a", False, id="everybody and foo in one group"),
]


@pytest.mark.parametrize(("text", "agent", "path", "expected"), AGENTS)
def test_agents(text: str, agent: str, path: str, expected: bool) -> None:
    assert allowed(text, path, agent) is expected


@pytest.mark.parametrize(
    ("status", "may", "retry"),
    [
        (200, False, False),
        (204, True, False),
        (301, True, False),
        (401, True, False),
        (403, True, False),
        (404, True, False),
        (410, True, False),
        (429, False, True),
        (500, False, True),
        (503, False, True),
        (None, False, True),
    ],
)
def test_statuses(status: int | None, may: bool, retry: bool) -> None:
    body = b"" if status == 204 else b"User-agent: *\nDisallow: /"
    robots = Robots.from_response(status, body)
    assert (robots.allowed(SITE + "/a", "x"), robots.retry) == (may, retry)


def test_crawl_delay_is_the_agents_own_or_everybodys() -> None:
    robots = Robots.parse(
        b"User-agent: *\nCrawl-delay: 10\n\nUser-agent: foo\nCrawl-Delay: 2.5\nDisallow: /a\n\nUser-agent: bar\nDisallow:\n"
    )
    assert robots.crawl_delay("other") == 10
    assert robots.crawl_delay("foo") == 2.5
    assert robots.crawl_delay("bar") is None


@pytest.mark.parametrize("value", ["", "soon", "-1", "nan", "inf", "1e999"])
def test_a_crawl_delay_that_is_no_time_is_none(value: str) -> None:
    assert Robots.parse(f"User-agent: *\nCrawl-delay: {value}\n".encode()).crawl_delay("x") is None


def test_sitemaps_belong_to_no_group_and_come_once() -> None:
    robots = Robots.parse(
        b"Sitemap: https://a.example/1.xml\nUser-agent: x\nsitemap:https://a.example/2.xml\nSITEMAP: https://a.example/1.xml\n"
    )
    assert robots.sitemaps == ("https://a.example/1.xml", "https://a.example/2.xml")


def test_five_hundred_kibibytes_are_read_and_no_more() -> None:
    filler = b"#" * (BYTES_MAX - 40) + b"\n"
    assert not allowed(b"User-agent: *\nDisallow: /\n" + filler, "/a")
    assert allowed(filler + b"\n" * 40 + b"User-agent: *\nDisallow: /\n", "/a")


def test_no_pattern_makes_it_slow() -> None:
    pattern = "/" + "*a" * 2000 + "*b"
    start = time.perf_counter()
    assert allowed(STAR + f"Disallow: {pattern}", "/" + "a" * 10_000)
    assert time.perf_counter() - start < 1.0


@given(st.binary(max_size=300), st.text(max_size=20), st.text(max_size=20))
def test_whatever_comes_is_read(body: bytes, path: str, agent: str) -> None:
    robots = Robots.from_response(200, b"User-agent: *\n" + body)
    assert isinstance(robots.allowed(SITE + "/" + path, agent), bool)
    robots.crawl_delay(agent)
