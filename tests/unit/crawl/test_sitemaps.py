"""Site maps in their forms, broken ones among them."""

from __future__ import annotations

import gzip

import pytest
from hypothesis import given
from hypothesis import strategies as st

from healtharchive.crawl.sitemaps import URLS_MAX, inflate, parse

URL = "https://site.example/sitemap.xml"
XML = '<?xml version="1.0" encoding="UTF-8"?>\n'


def locations(text: str | bytes) -> list[tuple[str, str | None]]:
    return list(parse(text.encode() if isinstance(text, str) else text, URL).urls)


def test_a_site_map() -> None:
    text = (
        XML
        + '<urlset xmlns="http://www.sitemaps.org/schemas/sitemap/0.9"><url><loc>\n https://site.example/a?x=1&amp;y=2 \n</loc>'
        "<lastmod>2026-11-01</lastmod><priority>0.5</priority></url><url><loc>https://site.example/b</loc></url></urlset>"
    )
    assert locations(text) == [("https://site.example/a?x=1&y=2", "2026-11-01"), ("https://site.example/b", None)]


def test_a_list_of_site_maps() -> None:
    found = parse(
        b"<sitemapindex><sitemap><loc>/1.xml.gz</loc><lastmod>2026</lastmod></sitemap><sitemap><loc>2.xml</loc></sitemap></sitemapindex>",
        URL,
    )
    assert found.sitemaps == ("https://site.example/1.xml.gz", "https://site.example/2.xml")
    assert found.urls == ()


def test_pages_in_other_languages_and_images_are_named_too() -> None:
    text = (
        '<urlset xmlns:xhtml="x" xmlns:image="i"><url><loc>https://site.example/en</loc>'
        '<xhtml:link rel="alternate" hreflang="fr" href="https://site.example/fr"/>'
        "<image:image><image:loc>https://cdn.example/i.png</image:loc></image:image>"
        "<video:video><video:thumbnail_loc>/t.png</video:thumbnail_loc><video:content_loc>/v.mp4</video:content_loc></video:video>"
        "</url></urlset>"
    )
    found = parse(text.encode(), URL)
    assert {url for url, _ in found.urls} == {"https://site.example/en", "https://site.example/fr"}
    assert found.media == ("https://cdn.example/i.png", "https://site.example/t.png", "https://site.example/v.mp4")


def test_feeds_may_be_site_maps() -> None:
    rss = "<rss><channel><link>https://site.example/</link><item><link>https://site.example/i</link><pubDate>Mon</pubDate></item></channel></rss>"
    assert locations(rss) == [("https://site.example/i", "Mon")]
    atom = '<feed><entry><link href="https://site.example/e"/><updated>2026</updated></entry></feed>'
    assert locations(atom) == [("https://site.example/e", "2026")]


def test_plain_text() -> None:
    assert locations("\ufeffhttps://site.example/a\r\n\r\n https://site.example/b \nnot an address\n/false") == [
        ("https://site.example/a", None),
        ("https://site.example/b", None),
    ]


@pytest.mark.parametrize(
    "text",
    [
        "<urlset><url><loc>https://site.example/a?x&y</loc></url>",
        "<urlset><url><loc>https://site.example/a?x&y</loc><lastmod",
        "<urlset><url><loc>https://site.example/a?x&y</loc></url><url><loc>https://site.example/false-cut-in-the-mid",
        "<urlset><url><loc><![CDATA[https://site.example/a?x&y]]></loc></url></urlset>",
        "<urlset><junk><url><LOC>https://site.example/a?x&y</LOC></url></junk",
        "\n\n" + XML + "<urlset><url><loc>https://site.example/a?x&y</loc></url></urlset>",
        "<urlset><url><!-- <loc>https://site.example/false</loc> --><loc>https://site.example/a?x&y</loc></url></urlset>",
    ],
)
def test_broken_xml_names_what_it_names(text: str) -> None:
    assert locations(text) == [("https://site.example/a?x&y", None)]


def test_gzip_and_damaged_gzip() -> None:
    text = "<urlset>" + "".join(f"<url><loc>https://site.example/{n}</loc></url>" for n in range(5000)) + "</urlset>"
    packed = gzip.compress(text.encode())
    whole = parse(packed, URL)
    assert (len(whole.urls), whole.cut) == (5000, False)
    half = parse(packed[: len(packed) // 2], URL)
    assert 1000 < len(half.urls) < 5000
    assert half.cut
    damaged = bytearray(packed)
    damaged[len(packed) // 2] ^= 0xFF
    assert len(parse(bytes(damaged), URL).urls) > 1000


def test_a_gzip_bomb_is_cut() -> None:
    plain, cut = inflate(gzip.compress(b"\0" * 10_000_000), limit=1_000_000)
    assert (len(plain), cut) == (1_000_000, True)


def test_entities_expand_to_nothing_and_nothing_external_is_read() -> None:
    text = (
        '<!DOCTYPE u [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;"><!ENTITY x SYSTEM "file:///etc/passwd">]>'
        "<urlset><url><loc>https://site.example/&b;&x;</loc></url></urlset>"
    )
    assert locations(text) == [("https://site.example/&b;&x;", None)]


@pytest.mark.timeout(30)
def test_too_many_urls_are_cut_and_it_is_said() -> None:
    found = parse(b"\n".join(b"https://site.example/%d" % n for n in range(URLS_MAX + 10)), URL)
    assert (len(found.urls), found.cut) == (URLS_MAX, True)


@pytest.mark.parametrize("payload", [b"", b"\0", b"<", b"<html><a href=x>", b"\x1f\x8b", b"\xff\xfe<\0", b"<" * 10_000])
def test_what_is_no_site_map_names_nothing(payload: bytes) -> None:
    assert parse(payload, URL).urls == ()


@given(
    st.lists(
        st.sampled_from(
            [
                "<url>",
                "</url>",
                "<loc>",
                "</loc>",
                "http://a/",
                "<![CDATA[",
                "]]>",
                "<!--",
                "-->",
                "&",
                "<sitemap>",
                "<!DOCTYPE",
                "[",
                "'",
                "<x:link href=",
                "/>",
                "\x00",
            ]
        ),
        max_size=30,
    )
)
def test_anything_is_read(parts: list[str]) -> None:
    parse("".join(parts).encode(), URL)
