"""What a document says: nothing visible lost, blocks apart, inline tags joined, and hostile input in linear time."""

from __future__ import annotations

import time

import pytest

from healtharchive.access import text

LANGUAGES = ("en", "fr")


def html(source: str | bytes, *, charset: str | None = None, content_language: str = "") -> text.Text:
    payload = source if isinstance(source, bytes) else source.encode()
    return text.of_html(payload, charset_label=charset, content_language=content_language, languages=LANGUAGES)


def test_inline_tags_join_and_blocks_part_words() -> None:
    found = html("<p>vac<b>cin</b>ation</p><div>one<p>two</p>three<br>four</div><table><td>five<td>six</table>")
    assert found.main == "vaccination\none\ntwo\nthree\nfour\nfive\nsix"


def test_scripts_styles_and_templates_say_nothing() -> None:
    assert html("<style>a{}</style><script>x()</script><template>t</template><noscript>n</noscript>seen").main == "nseen"


def test_menus_headers_footers_and_alternative_texts_are_kept_apart() -> None:
    found = html(
        '<head><meta name=description content="About flu"></head><body><header>Government</header><nav><a>Home</a></nav>'
        '<main><header><h1>Flu</h1></header><p>Text <img alt="A syringe"></p></main><footer>Contact</footer>'
        '<div role="navigation">More</div>'
    )
    assert found.main == "Flu\nText"
    assert found.rest.split("\n") == ["About flu", "Government", "Home", "Contact", "More", "A syringe"]


@pytest.mark.parametrize(
    ("source", "title"),
    [
        ("<title> Measles \n and you</title>", "Measles and you"),
        ("<svg><title>icon</title></svg><h1>Heading</h1>", "icon"),
        ("<body><h1>No <i>title</i></h1>", "No title"),
        ("<p>nothing", ""),
        ("<title>" + "x" * 900 + "</title>", "x" * 500),
    ],
)
def test_the_title(source: str, title: str) -> None:
    assert html(source).title == title


def test_invisible_characters_part_no_words() -> None:
    assert html("vac\u00adcine\u200bs \u00a0 x").main == "vaccines x"


@pytest.mark.parametrize(
    ("payload", "charset"),
    [
        ("<p>élève".encode(), "utf-8"),
        ("<p>élève".encode("latin-1"), "iso-8859-1"),
        ("<meta charset=windows-1252><p>élève".encode("latin-1"), None),
        (b"\xef\xbb\xbf" + "<p>élève".encode(), "iso-8859-1"),
        ("<p>élève".encode(), None),
        ("<p>élève".encode(), "iso-8859-1"),
        ("<p>élève".encode("latin-1"), "nonsense"),
        ("\ufeff<p>élève".encode("utf-16-le"), None),
    ],
)
def test_every_way_to_say_or_not_to_say_an_encoding(payload: bytes, charset: str | None) -> None:
    assert html(payload, charset=charset).main == "élève"


FRENCH = "La santé publique surveille la grippe saisonnière dans toutes les provinces du pays chaque semaine. "
ENGLISH = "Public health watches seasonal influenza in every province of the country each week of the year. "


def test_the_majority_of_the_blocks_is_the_language_whatever_is_declared() -> None:
    found = html(f"<html lang=en><p>{FRENCH * 3}<p>{ENGLISH}")
    assert (found.language, found.languages, found.declared) == ("fr", ("fr",), "en")
    mixed = html(f"<p>{FRENCH * 12}</p><p>{ENGLISH * 9}</p>")
    assert (mixed.language, mixed.languages) == ("fr", ("fr", "en"))


def test_too_little_text_has_no_language() -> None:
    assert html("<p>1234 5678").language is None


@pytest.mark.parametrize(
    ("source", "header", "expected"),
    [
        ('<html lang="fr-CA">', "", "fr"),
        ('<html xml:lang="FR">', "", "fr"),
        ('<meta name="dcterms.language" content="eng">', "", "en"),
        ('<meta http-equiv="Content-Language" content="fr, en">', "", "fr"),
        ("<p>", "en-US", "en"),
        ('<html lang="???">', "", None),
    ],
)
def test_the_declared_language(source: str, header: str, expected: str | None) -> None:
    assert html(source, content_language=header).declared == expected


HOSTILE = {
    "nested": b"<div>" * 300_000 + b"deep text",
    "attributes": b"<a " + b" ".join(b"a%d=1" % n for n in range(150_000)) + b">deep text",
    "tables": b"<table><tr><td>" * 60_000 + b"deep text",
    "open tags": b"<b " * 400_000 + b"> deep text",
    "angles": b"<" * 1_000_000 + b" deep text",
    "comments": b"<!-- x -->" * 200_000 + b"deep text",
    "formatting": b"<a><b><i><u>" * 20_000 + b"deep text",
    "binary": bytes(range(256)) * 4_000 + b" deep text",
    "entities": b"&amp;" * 400_000 + b" deep text",
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_markup_takes_linear_time_and_keeps_its_text(name: str) -> None:
    begin = time.process_time()
    found = html(HOSTILE[name])
    assert "deep text" in found.main or name == "open tags"
    assert time.process_time() - begin < 20  # quadratic would be minutes


def test_an_embedded_type_decides_what_is_a_document() -> None:
    assert text.kind_of("text/html") == "html"
    assert text.kind_of("application/pdf") == "pdf"
    assert text.kind_of("text/plain") == "text"
    assert text.kind_of("application/json") is None
    assert text.kind_of("text/css") is None
    assert text.kind_of("", b"  <!DOCTYPE HTML>") == "html"
    assert text.kind_of("application/octet-stream", b"%PDF-1.7") == "pdf"
    assert text.kind_of("application/octet-stream", b"\x89PNG") is None


def test_plain_text_keeps_its_lines_and_its_first_one_is_the_title() -> None:
    found = text.of_plain(b"Report\r\n\r\nsecond  line\0", charset_label=None, content_language="fr", languages=LANGUAGES)
    assert (found.title, found.main, found.declared) == ("Report", "Report\nsecond line", "fr")
