"""URLs as browsers read them (WHATWG), their identity, their parts, and the CDXJ key beside the `surt` package."""

from __future__ import annotations

import gzip
import random
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from surt import surt

from healtharchive.warc.urls import URL_BYTES_MAX, encode_query, normalize, split, surt_key, unfetched, url_key

BASE = "https://site.example/dir/page?q#f"

# address, its URL on BASE (None: nothing to fetch)
CASES = [
    ("http://EXAMPLE.com", "http://example.com/"),
    ("http://example.com/?", "http://example.com/?"),
    ("http://example.com/#", "http://example.com/"),
    ("http://example.com/a#b?c", "http://example.com/a"),
    ("//other.example/x", "https://other.example/x"),
    ("\\\\host\\x", "https://host/x"),
    ("/\\host/x", "https://host/x"),
    ("////b", "https://b/"),
    ("https:relative", "https://site.example/dir/relative"),
    ("http:host", "http://host/"),
    ("http:/host", "http://host/"),
    ("http:///host", "http://host/"),
    ("", "https://site.example/dir/page?q"),
    ("#x", "https://site.example/dir/page?q"),
    ("?x", "https://site.example/dir/page?x"),
    ("../a/./b/../c", "https://site.example/a/c"),
    ("../../../a", "https://site.example/a"),
    ("%2e%2E/a", "https://site.example/a"),
    ("a\n\tb", "https://site.example/dir/ab"),
    (" \x00 a \x1f", "https://site.example/dir/a"),
    ("a\x00b", "https://site.example/dir/a%00b"),
    ("a b?c d", "https://site.example/dir/a%20b?c%20d"),
    ("/%zz%41%7e", "https://site.example/%zz%41%7e"),
    ('/"<>`{}|^', "https://site.example/%22%3C%3E`{}|^".replace("`{}", "%60%7B%7D").replace("^", "%5E")),
    ("/?'\"<>`", "https://site.example/?%27%22%3C%3E`"),
    ("/é?é", "https://site.example/%C3%A9?%C3%A9"),
    ("//bücher.example/", "https://xn--bcher-kva.example/"),
    ("//BÜCHER.example/", "https://xn--bcher-kva.example/"),
    ("//faß.example/", "https://xn--fa-hia.example/"),
    ("//日本語。example/", "https://xn--wgv71a119e.example/"),
    ("//ex%61mple.com/", "https://example.com/"),
    ("//example.com./x", "https://example.com./x"),
    ("http://example.com:80/", "http://example.com/"),
    ("https://example.com:443/", "https://example.com/"),
    ("https://example.com:80/", "https://example.com:80/"),
    ("https://example.com:/", "https://example.com/"),
    ("https://example.com:00443/", "https://example.com/"),
    ("https://example.com:65536/", None),
    ("https://example.com:a/", None),
    ("http://user:pass@example.com/@x", "http://example.com/@x"),
    ("http://user@example.com?@", "http://example.com/?@"),
    ("http://a@b@example.com/", "http://example.com/"),
    ("http://:@example.com/", "http://example.com/"),
    ("http://0x7f.1/", "http://127.0.0.1/"),
    ("http://2130706433/", "http://127.0.0.1/"),
    ("http://017700000001/", "http://127.0.0.1/"),
    ("http://1.2.3.256/", None),
    ("http://[::1]:8080/", "http://[::1]:8080/"),
    ("http://[0:0::0:1]/", "http://[::1]/"),
    ("http://[::ffff:1.2.3.4]/", "http://[::ffff:102:304]/"),
    ("http://[::1/", None),
    ("http://a b/", None),
    ("http://", None),
    ("http://?x", None),
    ("mailto:a@b", None),
    ("javascript:void(0)", None),
    ("data:text/html,x", None),
    ("ftp://example.com/", None),
    ("file:///etc/passwd", None),
    ("blob:https://example.com/x", None),
    ("ws://example.com/", None),
    ("about:blank", None),
    ("/\ud800", "https://site.example/%EF%BF%BD"),
    ("/" + "x" * URL_BYTES_MAX, None),
]


@pytest.mark.parametrize(("address", "expected"), CASES)
def test_addresses_are_read_as_browsers_read_them(address: str, expected: str | None) -> None:
    assert normalize(address, BASE) == expected


@pytest.mark.parametrize("address", ["a", "/a", "//a", "?a", "#a", "", "\\\\a\\b"])
def test_without_a_base_only_whole_addresses_are_urls(address: str) -> None:
    assert normalize(address) is None


def test_a_base_that_is_none_hides_no_whole_address() -> None:
    assert normalize("https://a.example/", "nonsense") is None
    assert normalize("https://a.example/", BASE) == "https://a.example/"


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("http://h/A", "http://h/a"),
        ("http://www.h/", "http://h/"),
        ("http://h/", "https://h/"),
        ("http://h/a", "http://h/a/"),
        ("http://h/?a=1&b=2", "http://h/?b=2&a=1"),
        ("http://h/", "http://h/?"),
        ("http://h//a", "http://h/a"),
        ("http://h/%7ea", "http://h/~a"),
        ("http://h/a%2Fb", "http://h/a/b"),
        ("http://h/a+b", "http://h/a%20b"),
    ],
)
def test_what_could_be_two_pages_is_two_urls(one: str, other: str) -> None:
    urls = [normalize(address) for address in (one, other)]
    assert None not in urls
    assert len({url_key(url) for url in urls if url}) == 2


def test_the_key_is_sixteen_bytes_of_blake2b_and_will_never_change() -> None:
    assert url_key("https://site.example/") == bytes.fromhex("0dbe8e2ac6f43ea7f4bea7be5a6b6aab")


@pytest.mark.parametrize(
    ("address", "charset", "expected"),
    [
        ("/é?q=é#é", "cp1252", "/é?q=%E9#é"),
        ("/a?q=☃", "cp1252", "/a?q=%26%239731%3B"),
        ("/a?q=abc", "cp1252", "/a?q=abc"),
        ("/é", "cp1252", "/é"),
        ("?日", "cp932", "?%93%FA"),
    ],
)
def test_a_query_is_escaped_in_the_charset_of_the_page(address: str, charset: str, expected: str) -> None:
    assert encode_query(address, charset) == expected


def test_parts() -> None:
    assert split("https://site.example/a/b?c=d") == (
        "https",
        "site.example",
        443,
        "/a/b",
        "c=d",
        "https://site.example",
        "/a/b?c=d",
    )
    assert split("http://[::1]:8080/?") == ("http", "::1", 8080, "/", "", "http://[::1]:8080", "/?")


@pytest.mark.parametrize("text", ["", "a", "ftp://a/", "http:", "http://h", "HTTP://h/"])
def test_only_urls_have_parts(text: str) -> None:
    with pytest.raises(ValueError, match="not a normalized"):
        split(text)


ADDRESSES = st.one_of(
    st.text(max_size=60),
    st.text(alphabet="htps:/\\@?#[]%.&=;~-_aA1é\x00 \n", max_size=60),
    st.builds(
        "http{}://{}/{}".format,
        st.sampled_from(["", "s"]),
        st.text(alphabet="ab.-1:@[]é%_", min_size=1, max_size=20),
        st.text(max_size=40),
    ),
)


@given(ADDRESSES)
def test_normalizing_is_idempotent(address: str) -> None:
    url = normalize(address, BASE)
    if url is not None:
        assert normalize(url) == normalize(url, "http://elsewhere.example/") == url


@given(ADDRESSES)
def test_what_is_normalized_has_parts_that_make_it_up(address: str) -> None:
    url = normalize(address, BASE)
    if url is not None:
        parts = split(url)
        assert parts.origin + parts.target == url
        assert parts.host
        assert parts.host == parts.host.lower()
        assert parts.host.isascii()
        assert 0 <= parts.port < 65536
        assert "@" not in parts.host
        assert "#" not in url


@given(ADDRESSES)
def test_the_surt_is_surts(address: str) -> None:
    url = normalize(address, BASE)
    if url is not None:
        assert surt_key(url) == surt(url)


@pytest.mark.parametrize(
    "url",
    [
        "http://www2.example.com/",
        "http://www.com/",
        "http://example.com:8080/A/B/?C=D&a=b",
        "https://example.com:80/",
        "http://example.com/a/?",
        "http://example.com//a//",
        "http://example.com/a%2Fb%252F",
        "http://example.com/?sid=0123456789abcdef0123456789abcdef&x=y",
        "http://example.com/x;jsessionid=0123456789abcdef0123456789abcdef?a",
        "http://example.com/(S(0123456789abcdefghijklmn))/a.aspx",
        "http://127.0.0.1:8000/a",
        "http://[::1]/a",
        "http://example.com./",
        "http://a..b/",
        "http://example.com/?b&a&a=&=",
        "http://example.com/?a?b",
        "http://xn--bcher-kva.example/%C3%A9",
        "http://example.com/?CFID=1&CFTOKEN=2",
    ],
)
def test_the_surt_of_awkward_urls_is_surts(url: str) -> None:
    assert surt_key(url) == surt(url)


def test_the_surt_of_thousands_of_made_up_urls_is_surts() -> None:
    draw = random.Random(2026)
    letters = "abcW.w123/?&=;,:@()%20-_~!$'*+sidSID="
    for _ in range(3000):
        host = draw.choice(["www.", "www2.", "w.", ""]) + draw.choice(
            ["ex.com", "a", "ex.com:80", "c-d.e_f.org:443", "x.ca:8080", "1.2.3.4"]
        )
        url = normalize(
            f"http{draw.choice(['', 's'])}://{host}/" + "".join(draw.choice(letters) for _ in range(draw.randrange(25)))
        )
        if url is not None:
            assert surt_key(url) == surt(url)


def test_the_surt_of_the_links_of_real_pages_is_surts() -> None:
    """The HTML of whatever Debian documentation is installed; thousands of URLs where it is complete."""
    from healtharchive.crawl.links import extract

    roots = ("python3.11/html", "postgresql-doc-15/html", "debian-reference-common/docs")
    pages = [page for root in roots for page in sorted((Path("/usr/share/doc") / root).rglob("*.html*"))[:150]]
    urls: set[str] = set()
    for page in pages:
        payload = gzip.decompress(page.read_bytes()) if page.suffix == ".gz" else page.read_bytes()
        found = extract(payload, url=f"https://www.docs.example{page}", mime="text/html")
        urls.update(link.url for link in found.links)
    if not urls:
        pytest.skip("no Debian documentation is installed: apt-get install python3-doc postgresql-doc-15 debian-reference-en")
    assert [url for url in urls if surt_key(url) != surt(url)] == []


@pytest.mark.parametrize(
    ("text", "href"),
    [
        ("ftp://a.example/x", "ftp://a.example/x"),
        ("GOPHER://a.example/", "gopher://a.example/"),
        ("https://a.example/", None),
        ("/x", None),
        ("mailto:a@b.example", None),
        ("data:text/html,x", None),
        ("javascript://x", None),
        ("ftp://" + "a" * 20_000, None),
    ],
)
def test_an_address_by_a_scheme_that_is_not_ours_is_told_from_what_is_no_address(text: str, href: str | None) -> None:
    assert unfetched(text, "https://b.example/") == href
