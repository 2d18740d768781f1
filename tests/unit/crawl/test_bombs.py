"""Markup that would take quadratic time or memory is cut; ordinary markup, however large, passes as it is."""

from __future__ import annotations

import pytest

from healtharchive.crawl.bombs import PIECE_BYTES, pieces


@pytest.mark.parametrize(
    "markup",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"<p>text</p>" * 50_000, id="paragraphs"),
        pytest.param(b"<li>text<br><img src=x>" * 50_000, id="elements that need no end"),
        pytest.param(b'<p><b class="x">a</b> <code class="y"><em>b</em></code></p>' * 20_000, id="formatting that is closed"),
        pytest.param(b"<div>" * 1_000 + b"<p>text</p>" * 20_000 + b"</div>" * 1_000, id="a deep page"),
        pytest.param(b'<img src="data:image/png;base64,' + b"A" * 1_000_000 + b'">', id="a picture in an attribute"),
        pytest.param(b"<a href=x title='>'>" * 50_000, id="many attributes of many elements, of which none nests"),
        pytest.param(b'<P><B CLASS="x">a</b><LI>b<BR><DIV>c</div>' * 20_000, id="names in any case"),
    ],
)
def test_ordinary_markup_is_one_piece(markup: bytes) -> None:
    assert pieces(markup) == ([markup], False)


@pytest.mark.parametrize(
    "markup",
    [
        pytest.param(b"<div>" * 30_000, id="depth"),
        pytest.param(b"</div>" * 30_000 + b"<div>" * 30_000, id="depth behind end tags that end nothing"),
        pytest.param(b"<x-y>" * 30_000, id="depth of unknown elements"),
        pytest.param(b"".join(b"<p><b id=%d>" % n for n in range(3_000)), id="formatting"),
        pytest.param(b"</b>" * 3_000 + b"".join(b"<p><B id=%d>" % n for n in range(3_000)), id="formatting behind end tags"),
    ],
)
def test_a_bomb_is_read_in_pieces_and_nothing_is_left_off(markup: bytes) -> None:
    parts, cut = pieces(markup)
    assert len(parts) > 1
    assert b"".join(parts) == markup
    assert not cut


def test_an_endless_tag_is_cut_and_it_is_said() -> None:
    tag = b"<a " + b" ".join(b"a%d='>'" % n for n in range(100_000)) + b">"
    (part,), cut = pieces(b"<p>before</p>" + tag + b"<p>after</p>")
    assert cut
    assert part.startswith(b"<p>before</p><x")
    assert part.endswith(b"<p>after</p>")


def test_a_bomb_without_end_is_cut_and_it_is_said() -> None:
    parts, cut = pieces(b"<div>" * 1_000_000)
    assert cut
    assert sum(map(len, parts)) < 5_000_000


def test_a_giant_document_is_read_in_pieces_that_begin_at_a_tag() -> None:
    markup = b"<p>some text</p>" * 700_000
    parts, cut = pieces(markup)
    assert b"".join(parts) == markup
    assert len(parts) == len(markup) // PIECE_BYTES + 1
    assert all(part.startswith(b"<") for part in parts)
    assert not cut
