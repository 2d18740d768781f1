"""The links of a response: every kind of evidence in a fixture, found whole and nothing false; then each reader's own corners."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from healtharchive.crawl.links import LINKS_MAX, Extraction, Hop, extract

FIXTURES = Path(__file__).parent / "fixtures"
PAGE = "https://site.example/section/page.html"


def of_html(markup: str | bytes, *, charset: str | None = "utf-8", url: str = PAGE) -> set[str]:
    payload = markup.encode() if isinstance(markup, str) else markup
    return {f"{link.hop} {link.url}" for link in extract(payload, url=url, mime="text/html", charset=charset).links}


def of(payload: str, mime: str) -> set[str]:
    return {f"{link.hop} {link.url}" for link in extract(payload.encode(), url=PAGE, mime=mime).links}


def headers(*pairs: tuple[str, str]) -> Extraction:
    return extract(b"", url=PAGE, mime="text/plain", headers=pairs)


def test_every_kind_of_link_is_found_and_nothing_false() -> None:
    expected = (FIXTURES / "every_link.txt").read_text(encoding="utf-8").splitlines()
    found = of_html((FIXTURES / "every_link.html").read_bytes(), charset=None)
    assert found == set(expected)
    assert len(expected) == len(set(expected)) > 100


def test_each_link_says_where_it_stood() -> None:
    links = extract((FIXTURES / "every_link.html").read_bytes(), url=PAGE, mime="text/html").links
    places = {link.url.rpartition("/")[2]: (link.tag, link.attribute) for link in links}
    assert places["img.png"] == ("img", "src")
    assert places["meta-refresh.html"] == ("meta", "http-equiv")
    assert places["css-double.png"] == ("style", "text")
    assert places["style-attribute.png"] == ("body", "style")
    assert places["sprite.svg"] == ("use", "xlink:href")
    assert places["ld-url"] == ("script", "ld+json")


def test_canonical_and_refresh_are_told_apart_too() -> None:
    found = extract((FIXTURES / "every_link.html").read_bytes(), url=PAGE, mime="text/html")
    assert found.canonical == "https://site.example/canonical"
    assert found.refresh == "https://site.example/base/dir/meta-refresh.html"


def test_a_page_that_is_its_own_canonical_says_so_though_it_is_no_link_to_itself() -> None:
    found = extract(b'<link rel=canonical href="page.html"><a href="#top">', url=PAGE, mime="text/html")
    assert (found.canonical, found.links) == (PAGE, ())


def test_the_same_address_as_a_link_and_as_an_image_is_two_references() -> None:
    assert of_html("<a href=i.png><img src=i.png></a>") == {
        "L https://site.example/section/i.png",
        "E https://site.example/section/i.png",
    }


@pytest.mark.parametrize(
    ("content", "target"),
    [
        ("0;url=next.html", "next.html"),
        ("0; URL = 'next.html'", "next.html"),
        ('5;URL="next.html" ', "next.html"),
        ("5, next.html", "next.html"),
        ("2.5 url=next.html", "next.html"),
        ("0;url=next.html?a='b'", "next.html?a=%27b%27"),
    ],
)
def test_refresh_in_the_spellings_that_browsers_take(content: str, target: str) -> None:
    markup = f'<meta http-equiv=refresh content="{content.replace(chr(34), "&quot;")}">'
    assert of_html(markup) == {f"R https://site.example/section/{target}"}
    assert headers(("Refresh", content)).refresh == f"https://site.example/section/{target}"


@pytest.mark.parametrize("content", ["30", "", ";", "30;", "30; url="])
def test_a_refresh_of_the_page_itself_is_no_link(content: str) -> None:
    assert of_html(f'<meta http-equiv=refresh content="{content}">') == set()


def test_headers_name_links_too() -> None:
    found = headers(
        ("Link", '</style.css>; rel=preload; as=style, <https://site.example/a,b>; rel="next foo"; title="a, <false>"'),
        ("link", "<https://cdn.example>; rel=preconnect"),
        ("Link", '</elsewhere>; rel=alternate; anchor="#false"'),
        ("Link", "</canonical>; rel=canonical"),
        ("Location", "/caf\xc3\xa9"),
        ("Content-Location", "/false"),
    )
    assert {f"{link.hop} {link.url}" for link in found.links} == {
        "E https://site.example/style.css",
        "L https://site.example/a,b",
        "L https://site.example/canonical",
        "R https://site.example/caf%C3%A9",
    }
    assert found.canonical == "https://site.example/canonical"


class TestCharsets:
    """BOM, then header, then the page's own word, then windows-1252; a query is escaped in the page's own encoding."""

    def test_a_query_is_escaped_in_the_charset_of_the_page_and_a_path_in_utf_8(self) -> None:
        markup = '<a href="/é?q=é">'.encode("cp1252")
        assert of_html(markup, charset="iso-8859-1") == {"L https://site.example/%C3%A9?q=%E9"}

    def test_a_page_that_says_nothing_is_windows_1252(self) -> None:
        assert of_html(b'<a href="/\x80?q=\x80">', charset=None) == {"L https://site.example/%E2%82%AC?q=%80"}

    def test_a_byte_order_mark_beats_the_header(self) -> None:
        assert of_html(b"\xef\xbb\xbf" + '<a href="/é">'.encode(), charset="windows-1252") == {"L https://site.example/%C3%A9"}

    def test_the_header_beats_the_meta(self) -> None:
        assert of_html('<meta charset=windows-1252><a href="/é">', charset="UTF-8") == {"L https://site.example/%C3%A9"}

    @pytest.mark.parametrize(
        "meta",
        [
            "<meta charset=utf-8>",
            "<meta http-equiv=content-type content='text/html; charset=\"utf-8\"'>",
            '<?xml version="1.0" encoding="utf-8"?>',
        ],
    )
    def test_the_page_says_it_itself(self, meta: str) -> None:
        assert of_html(meta + '<a href="/é">', charset=None) == {"L https://site.example/%C3%A9"}

    def test_a_declaration_in_a_comment_is_none(self) -> None:
        assert of_html('<!-- <meta charset=utf-8> --><a href="/é">', charset=None) == {"L https://site.example/%C3%83%C2%A9"}

    def test_utf_16_with_its_mark(self) -> None:
        assert of_html('\ufeff<a href="/é?é">'.encode("utf-16-le"), charset=None) == {"L https://site.example/%C3%A9?%C3%A9"}

    @pytest.mark.parametrize("label", ["utf-7", "base64", "rot13", "idna", "nonsense", "unicode_escape", "\x00", ""])
    def test_no_page_chooses_an_encoding_that_is_none(self, label: str) -> None:
        assert of_html(b"<a href=/x>", charset=label) == {"L https://site.example/x"}

    def test_what_is_not_in_the_declared_charset_costs_that_character_only(self) -> None:
        assert of_html(b"<a href=/x>\xff\xfe</a><a href=/y>", charset="utf-8") == {
            "L https://site.example/x",
            "L https://site.example/y",
        }


class TestBrokenHtml:
    def test_nul_bytes_and_unclosed_things(self) -> None:
        assert of_html(b"\x00<a href=\x00/x><p <a href='/y'><img src=/z") == {"L https://site.example/section/%EF%BF%BD/x"}

    def test_a_frameset_and_its_noframes(self) -> None:
        markup = "<frameset><frame src=f.html longdesc=d.html><noframes><a href=n.html></noframes></frameset>"
        assert of_html(markup) == {
            "E https://site.example/section/f.html",
            "L https://site.example/section/d.html",
            "L https://site.example/section/n.html",
        }

    def test_xhtml_may_close_what_html_may_not(self) -> None:
        head = '<html xmlns="http://www.w3.org/1999/xhtml"><head><script src="s.js"/><title/></head>'
        markup = head + '<body><a href="a.html"/></body></html>'
        assert of(markup, "application/xhtml+xml") == {
            "E https://site.example/section/s.js",
            "L https://site.example/section/a.html",
        }

    def test_a_base_that_is_no_address_is_ignored(self) -> None:
        assert of_html("<base href='javascript:x'><a href=a>") == {"L https://site.example/section/a"}

    def test_a_base_without_href_does_not_count(self) -> None:
        assert of_html("<base target=_top><base href=/b/><a href=a>") == {"L https://site.example/b/a"}


class TestOtherTypes:
    def test_a_style_sheet(self) -> None:
        assert of("@import 'a.css'; b{c:url(../i.png)}", "text/css") == {
            "E https://site.example/section/a.css",
            "E https://site.example/i.png",
        }

    def test_an_svg(self) -> None:
        svg = (
            '<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink">'
            '<style><![CDATA[a{b:url(s.png)}]]></style><image xlink:href="i.png"/><a href="a.html"/></svg>'
        )
        assert of(svg, "image/svg+xml") == {
            "E https://site.example/section/s.png",
            "E https://site.example/section/i.png",
            "L https://site.example/section/a.html",
        }

    def test_rss_with_markup_in_its_items(self) -> None:
        rss = (
            '<?xml version="1.0"?><?xml-stylesheet href="feed.xsl"?><rss><channel><link>https://site.example/</link>'
            '<atom:link rel="self" href="/feed"/><image><url>/logo.png</url></image>'
            "<item><title>/false</title><link>/item?a&b</link>"
            '<guid isPermaLink="false">https://site.example/false</guid><enclosure url="/e.mp3"/>'
            "<description>&lt;img src=&quot;/d.png&quot;&gt;</description>"
            "<content:encoded><![CDATA[<a href=/c.html>]]></content:encoded>"
            "</item></channel></rss>"
        )
        assert of(rss, "application/rss+xml") == {
            "E https://site.example/section/feed.xsl",
            "L https://site.example/",
            "L https://site.example/feed",
            "E https://site.example/logo.png",
            "L https://site.example/item?a&b",
            "E https://site.example/e.mp3",
            "E https://site.example/d.png",
            "L https://site.example/c.html",
        }

    def test_atom(self) -> None:
        atom = '<feed><entry><link href="/e"/><content type="xhtml"><div><a href="/x">x</a></div></content></entry></feed>'
        assert of(atom, "application/atom+xml; charset=utf-8") == {"L https://site.example/e", "L https://site.example/x"}

    def test_a_site_map(self) -> None:
        assert of("<urlset><url><loc>https://site.example/a</loc></url></urlset>", "text/xml") == {"L https://site.example/a"}
        index = "<sitemapindex><sitemap><loc>https://site.example/m.xml</loc></sitemap></sitemapindex>"
        assert of(index, "application/xml") == {"M https://site.example/m.xml"}

    def test_a_script_is_speculative(self) -> None:
        assert of('fetch("/api/list.json"); import "./part.js"; x = "use strict"', "text/javascript") == {
            "X https://site.example/api/list.json",
            "X https://site.example/section/part.js",
        }

    def test_a_web_manifest(self) -> None:
        manifest = '{"start_url": "/start", "icons": [{"src": "icon.png"}], "name": "/false"}'
        assert of(manifest, "application/manifest+json") == {
            "L https://site.example/start",
            "E https://site.example/section/icon.png",
        }

    def test_a_page_whose_server_does_not_say_what_it_is(self) -> None:
        assert of("\n<!doctype html><a href=/a>", "") == {"L https://site.example/a"}

    @pytest.mark.parametrize("mime", ["application/pdf", "image/png", "text/plain", "application/octet-stream"])
    def test_what_cannot_be_read_names_nothing(self, mime: str) -> None:
        assert of("<a href=/false>", mime) == set()


class TestHostileInput:
    """Bounded, whatever comes; the timings are generous because they only tell linear from quadratic."""

    @pytest.mark.timeout(20)
    @pytest.mark.parametrize(
        "markup",
        [
            pytest.param("<div>" * 300_000, id="depth"),
            pytest.param("".join(f"<p><b id={n}>" for n in range(10_000)), id="formatting elements repeated in each block"),
            pytest.param("<a " + " ".join(f"a{n}=1" for n in range(300_000)) + ">", id="attributes"),
            pytest.param("<a " + " ".join(f"a{n}='>'" for n in range(100_000)) + ">", id="attributes that hide their number"),
            pytest.param("<template>" * 100_000, id="templates"),
            pytest.param("<iframe srcdoc='" * 50_000, id="srcdoc"),
            pytest.param("<script type=application/ld+json>" + "[" * 1_000_000 + "</script>", id="deep JSON"),
            pytest.param("<style>" + "a{b:url(" * 200_000, id="CSS"),
            pytest.param("<!--" * 300_000, id="comments"),
            pytest.param("<p data-" + "src-" * 1_000_000, id="a lazy attribute without end"),
            pytest.param("<meta http-equiv=refresh content='" + " 1" * 500_000 + "'>", id="refresh"),
            pytest.param("<a href='?" + "year" * 4_000 + "'>", id="query"),
        ],
    )
    def test_a_bomb_costs_seconds_and_the_links_after_it_are_not_always_lost(self, markup: str) -> None:
        extract(markup.encode() + b"<a href=/end>", url=PAGE, mime="text/html")

    def test_a_million_links_are_cut_and_it_is_said(self) -> None:
        found = extract(b"".join(b"<a href=/%d></a>" % n for n in range(LINKS_MAX + 1000)), url=PAGE, mime="text/html")
        assert (len(found.links), found.truncated) == (LINKS_MAX, True)

    def test_a_giant_address_is_none(self) -> None:
        assert of_html("<a href=/" + "x" * 5_000_000 + "><a href=/y>") == {"L https://site.example/y"}

    @given(
        st.binary(max_size=400),
        st.sampled_from(
            [
                "text/html",
                "text/css",
                "application/xml",
                "image/svg+xml",
                "text/javascript",
                "application/ld+json",
                "application/xhtml+xml",
                "",
            ]
        ),
    )
    def test_random_bytes_never_raise(self, payload: bytes, mime: str) -> None:
        extract(payload, url=PAGE, mime=mime)

    @given(
        st.lists(
            st.sampled_from(
                [
                    '<a href="',
                    "<base href=",
                    '">',
                    "<template>",
                    "</",
                    "url(",
                    "<!--",
                    "-->",
                    "<iframe srcdoc='",
                    "&lt;a href=x",
                    "\x00",
                    "\ud800",
                    "<style>",
                    "srcset=",
                    "<meta http-equiv=refresh content=",
                    "//h",
                    "'",
                    " ",
                    "x",
                ]
            ),
            max_size=40,
        )
    )
    def test_broken_markup_never_raises_and_gives_normalized_http_links(self, parts: list[str]) -> None:
        payload = "".join(parts).encode("utf-8", "surrogatepass")
        for link in extract(payload, url=PAGE, mime="text/html").links:
            assert link.url.startswith(("http://", "https://"))
            assert "#" not in link.url


def test_hops_are_heritrix_letters() -> None:
    assert "".join(Hop) == "LERXPM"
