from __future__ import annotations

import re
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from selectolax.lexbor import LexborHTMLParser

from healtharchive.access.rewrite import Use, rewrite_css, rewrite_html, rewrite_srcset

PAGE = "https://site.example/dir/page.html"
OURS = "/R/"


def link(url: str, use: Use) -> str:
    return f"{OURS}{use.name.lower()}/{url}"


def html(text: str) -> str:
    return rewrite_html(text, url=PAGE, link=link)


def css(text: str) -> str:
    return rewrite_css(text, base=PAGE, link=link)


def first(text: str, selector: str) -> dict[str, str | None]:
    node = LexborHTMLParser(html(text)).css_first(selector)
    assert node is not None, html(text)
    return dict(node.attributes)


# -- addresses ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("markup", "selector", "attribute", "expected"),
    [
        ('<img src="a.png">', "img", "src", "/R/part/https://site.example/dir/a.png"),
        ('<img src="//cdn.example/a.png">', "img", "src", "/R/part/https://cdn.example/a.png"),
        ('<a href="../up?q=1&amp;r=2#here">', "a", "href", "/R/follow/https://site.example/up?q=1&r=2#here"),
        ('<a href="  /spaced \n ">', "a", "href", "/R/follow/https://site.example/spaced"),
        ('<iframe src="f.html"></iframe>', "iframe", "src", "/R/frame/https://site.example/dir/f.html"),
        ('<form action="/go">', "form", "action", "/R/follow/https://site.example/go"),
        ('<button formaction="/go">', "button", "formaction", "/R/follow/https://site.example/go"),
        ('<link rel="stylesheet" href="s.css">', "link", "href", "/R/part/https://site.example/dir/s.css"),
        ('<video poster="p.jpg" src="v.mp4">', "video", "poster", "/R/part/https://site.example/dir/p.jpg"),
        ('<table background="b.gif">', "table", "background", "/R/part/https://site.example/dir/b.gif"),
        ('<svg><image xlink:href="i.png"/></svg>', "image", "xlink:href", "/R/part/https://site.example/dir/i.png"),
        ('<svg><rect fill="url(//e.example/s.svg#g)"/></svg>', "rect", "fill", 'url("/R/part/https://e.example/s.svg#g")'),
        ('<p style="background:u\\72l(b.png)">', "p", "style", 'background:url("/R/part/https://site.example/dir/b.png")'),
        ('<img data-src="real.jpg" src="data:image/gif;base64,AA">', "img", "src", "/R/part/https://site.example/dir/real.jpg"),
        ('<img src="data:image/png;base64,AA">', "img", "src", "data:image/png;base64,AA"),
        ('<a href="#part">', "a", "href", "#part"),
        ('<a href="mailto:a@b.example">', "a", "href", "mailto:a@b.example"),
        ('<base href="https://other.example/x/"><img src="a.png">', "img", "src", "/R/part/https://other.example/x/a.png"),
    ],
)
def test_addresses_become_ours(markup: str, selector: str, attribute: str, expected: str) -> None:
    assert first(markup, selector)[attribute] == expected


@pytest.mark.parametrize(
    "value",
    [
        "javascript:alert(1)",
        " java\nscript:alert(1)",
        "\x01javascript:alert(1)",
        "JaVaScRiPt&colon;alert(1)",
        "vbscript:x",
        "data:text/html,<script>x</script>",
        "blob:https://site.example/1",
        "file:///etc/passwd",
        "ftp://site.example/x",
    ],
)
@pytest.mark.parametrize(
    "tag", ['<a href="{}">x</a>', '<img src="{}">', '<iframe src="{}"></iframe>', '<form action="{}"></form>']
)
def test_addresses_that_run_or_leave_are_removed(tag: str, value: str) -> None:
    shown = html(tag.format(value)).lower()
    assert "script:" not in shown
    assert "data:text" not in shown
    assert "blob:" not in shown
    assert "file:" not in shown
    assert "ftp:" not in shown


def test_links_and_forms_leave_the_frame_and_forms_are_read_only() -> None:
    assert first('<a href="x" target="_blank">', "a")["target"] == "_top"
    form = first('<form method="post" action="x">', "form")
    assert (form["method"], form["target"]) == ("get", "_top")


# -- what runs or loads on its own -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "markup",
    [
        "<script>x()</script>",
        '<script src="//e.example/x.js"></script>',
        '<svg><script href="//e.example/x.js"/></svg>',
        '<object data="//e.example/o"></object>',
        '<embed src="//e.example/o">',
        '<applet code="X"></applet>',
        '<link rel="preconnect" href="https://e.example">',
        '<link rel="dns-prefetch" href="//e.example">',
        '<link rel="modulepreload" href="//e.example/m.js">',
        '<link rel="manifest" href="//e.example/m.json">',
        '<div><template shadowrootmode="open"><img src="//e.example/x.png"></template></div>',
        '<svg><a><animate attributeName="href" values="javascript:x()"/></a></svg>',
        '<meta http-equiv="Content-Security-Policy" content="x //e.example">',
        '<meta http-equiv="Set-Cookie" content="a=//e.example">',
        '<meta http-equiv="refresh" content="0; url=javascript:x()">',
        "<!--[if IE]><script src=//e.example/ie.js></script><![endif]-->",
        '<p onclick="x(//e.example)">p</p>',
        '<img src=x onerror="x(//e.example)">',
        '<body onload="x(//e.example)">',
        '<a href="x" ping="//e.example/ping">',
        '<iframe srcdoc="&lt;script src=//e.example/x.js&gt;&lt;/script&gt;"></iframe>',
    ],
)
def test_what_runs_or_loads_by_itself_is_gone(markup: str) -> None:
    shown = html(f"<p>before</p>{markup}<p>after</p>")
    assert "e.example" not in re.sub(r"/R/(?:part|frame|follow)/\S*", "", shown)
    assert "<script" not in shown
    assert not re.search(r"\son\w+=", shown)
    assert "before" in shown
    assert "after" in shown


def test_noscript_is_what_the_author_meant_to_be_seen() -> None:
    shown = html('<noscript><p id="plain">without</p><img src="n.png"></noscript>')
    assert '<p id="plain">without</p>' in shown
    assert "noscript" not in shown
    assert 'src="/R/part/https://site.example/dir/n.png"' in shown


def test_a_style_sheet_cannot_end_its_element_and_begin_another() -> None:
    hostile = "<svg><style>&lt;/style&gt;&lt;img src=x onerror=x()&gt;</style></svg>"
    assert "<img" not in html(hostile)
    again = LexborHTMLParser(html(hostile))
    assert again.css("img") == []


def test_the_document_type_decides_the_layout_and_is_kept() -> None:
    quirks = '<!DOCTYPE HTML PUBLIC "-//W3C//DTD HTML 3.2 Final//EN">'
    assert html(f"{quirks}<p>x").startswith(quirks)
    assert html("<!doctype html><p>x").startswith("<!doctype html>")
    assert html("<p>x").startswith("<html>")
    assert html('<!doctype html SYSTEM "><script>"><p>').startswith("<html>")


def test_a_page_that_reloads_itself_elsewhere_goes_to_our_copy() -> None:
    assert first('<meta http-equiv="refresh" content="5; URL=\'next.html\'">', "meta")["content"] == (
        "5; url=/R/frame/https://site.example/dir/next.html"
    )
    assert "refresh" not in html('<meta http-equiv="refresh" content="1">')


def test_srcdoc_is_rewritten_as_a_page_of_its_own_and_not_for_ever() -> None:
    inner = first("<iframe srcdoc=\"<p onclick='x()'>hi<img src='//e.example/a.png'>\"></iframe>", "iframe")["srcdoc"]
    assert inner is not None
    assert 'src="/R/part/https://e.example/a.png"' in inner
    assert "onclick" not in inner
    nested = "<p>deep"
    for _ in range(6):
        nested = f'<iframe srcdoc="{nested.replace("&", "&amp;").replace(chr(34), "&quot;")}"></iframe>'
    assert "deep" not in html(nested)


def test_declared_encodings_are_removed_because_the_copy_is_utf8() -> None:
    assert "latin1" not in html('<meta charset="latin1"><meta http-equiv="Content-Type" content="text/html; charset=latin1">é')


# -- srcset ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("a.png", "/R/part/https://site.example/dir/a.png"),
        ("a.png 1x, b.png 2x", "/R/part/https://site.example/dir/a.png 1x, /R/part/https://site.example/dir/b.png 2x"),
        ("w_1,h_2/a.png 100w,b.png 200w",
         "/R/part/https://site.example/dir/w_1%2Ch_2/a.png 100w, /R/part/https://site.example/dir/b.png 200w"),
        (" a.png , b.png 2x ,", "/R/part/https://site.example/dir/a.png, /R/part/https://site.example/dir/b.png 2x"),
        ("javascript:x() 1x, b.png 2x", "/R/part/https://site.example/dir/b.png 2x"),
        ("", None),
        (" , ,", None),
    ],
)  # fmt: skip
def test_srcset_keeps_its_candidates(value: str, expected: str | None) -> None:
    assert rewrite_srcset(value, base=PAGE, link=link) == expected


# -- CSS ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a{b:url(c.png)}", 'a{b:url("/R/part/https://site.example/dir/c.png")}'),
        ("a{b:url( 'c d.png' )}", 'a{b:url("/R/part/https://site.example/dir/c%20d.png")}'),
        ('a{b:UrL("//e.example/c.png")}', 'a{b:url("/R/part/https://e.example/c.png")}'),
        ("a{b:\\75\\72\\6c(c.png)}", 'a{b:url("/R/part/https://site.example/dir/c.png")}'),
        ("a{b:url(\\2f\\2f e.example/c.png)}", 'a{b:url("/R/part/https://e.example/c.png")}'),
        ('@import "s.css" screen;', '@import "/R/part/https://site.example/dir/s.css" screen;'),
        ("@\\69mport url(s.css);", '@\\69mport url("/R/part/https://site.example/dir/s.css");'),
        ('a{b:image-set("//e.example/c" 1x, "//e.example/d" type("image/avif") 2x)}',
         'a{b:image-set("/R/part/https://e.example/c" 1x, "/R/part/https://e.example/d" type("image/avif") 2x)}'),
        ("/* url(c.png) */ a{}", "/* url(c.png) */ a{}"),
        ('a{content:"url(c.png)"}', 'a{content:"url(c.png)"}'),
        ("a{b:url(data:image/png;base64,AA==)}", 'a{b:url("data:image/png;base64,AA==")}'),
        ("a{b:url(data:text/html,x)}", 'a{b:url("about:invalid")}'),
        ("a{b:url(javascript:x)}", 'a{b:url("about:invalid")}'),
        ("a{b:url(#g)}", 'a{b:url("#g")}'),
        ("a{b:url(c d.png)}", "a{b:url(about:invalid)}"),
        ("a{b:url(c.png", 'a{b:url("/R/part/https://site.example/dir/c.png")'),
        ("a[href^='http://e.example']{}", "a[href^='http://e.example']{}"),
        ('@charset "utf-8";', '@charset "utf-8";'),
        ('@font-face{src:url(f.woff2) format("woff2")}',
         '@font-face{src:url("/R/part/https://site.example/dir/f.woff2") format("woff2")}'),
    ],
)  # fmt: skip
def test_css_addresses_become_ours_and_only_they(text: str, expected: str) -> None:
    assert css(text) == expected


def test_no_address_can_break_out_of_its_string() -> None:
    shown = css('a{b:url("x\\22 );}@import \\22//e.example/evil.css\\22;{")}')
    assert '@import "' not in shown


# -- hostile sizes -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "url(" * 50_000,
        '"' * 100_000,
        "\\" * 100_001,
        "/*" * 50_000,
        "(" * 100_000,
        "-" * 100_000,
        "url( " * 40_000,
        "@import " * 20_000,
    ],
)
def test_css_is_read_in_linear_time(text: str) -> None:
    begin = time.monotonic()
    css(text)
    assert time.monotonic() - begin < 5


@pytest.mark.parametrize(
    "text",
    [
        "<div>" * 200_000,
        "<svg><style>" * 5_000,
        "<a href=x " * 50_000,
        "<!--" * 50_000,
        "<iframe srcdoc='" * 5_000,
        "<b><p>" * 50_000,
    ],
)
def test_hostile_html_costs_little(text: str) -> None:
    begin = time.monotonic()
    html(text)
    assert time.monotonic() - begin < 10


@given(st.text(max_size=300) | st.text(alphabet="<>/\"'= abcdhiorstuv:()\\&;-!", max_size=300))
@settings(max_examples=200, deadline=None)
def test_any_text_becomes_a_page_without_scripts(text: str) -> None:
    shown = html(f"<p>{text}")
    again = LexborHTMLParser(shown)
    assert again.css("script, object, embed, template, base") == []
    for node in again.css("*"):
        assert not any((name or "").lower().startswith("on") for name in node.attributes)


@given(st.text(alphabet="url(\"')\\;@import {}/*x:-", max_size=200))
@settings(max_examples=300, deadline=None)
def test_any_css_is_read_to_its_end(text: str) -> None:
    assert isinstance(css(text), str)
