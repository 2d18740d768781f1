"""What a document says, and in which language: the text that is searched, shown in snippets and compared.

Everything a reader can see is kept, a line a block: the page's own text apart from what surrounds it (menus, headers, footers,
alternative texts), which is found too but weighs less. Pages tell little about their language and some of it is wrong
(evidence/index.md section 2), so it is detected from the text, block by block, and the majority speaks for the page.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from html import unescape
from typing import TYPE_CHECKING, Final, Literal

from selectolax.lexbor import LexborHTMLParser, LexborNode

from healtharchive.warc import charset

if TYPE_CHECKING:
    from py3langid.langid import LanguageIdentifier

EXTRACTOR: Final = 1
"""Version of everything below that decides what text a payload has; raise it when that changes, and re-index."""

Kind = Literal["html", "pdf", "text"]

PAYLOAD_BYTES_MAX: Final = 16 << 20
"""Decoded bytes of one document that are read; a gzip bomb costs this much and no more."""

TEXT_CHARACTERS_MAX: Final = 4_000_000
"""Characters of one document that are kept: a book of 1,500 pages."""

TITLE_CHARACTERS_MAX: Final = 500

_HTML_TYPES: Final = frozenset({"text/html", "application/xhtml+xml", "application/vnd.wap.xhtml+xml"})
_TEXT_TYPES: Final = frozenset({"text/plain", "text/markdown", "text/csv", "text/rtf", "text/x-rst"})
_UNKNOWN_TYPES: Final = frozenset({"", "application/octet-stream", "application/unknown", "binary/octet-stream", "unk"})

_UNSEEN: Final = "script,style,template,svg,math annotation,noframes,object,datalist"
_AROUND: Final = (
    "nav,[role=navigation],[role=banner],[role=contentinfo],[role=search],[role=menu],[role=menubar],"
    "body>header,body>footer,body>aside,body>div>header,body>div>footer,body>div>div>header,body>div>div>footer"
)
_BLOCKS: Final = (
    "address,article,aside,blockquote,br,button,caption,center,dd,details,dialog,div,dl,dt,fieldset,figcaption,figure,footer,form,"
    "h1,h2,h3,h4,h5,h6,header,hr,label,legend,li,main,menu,nav,ol,optgroup,option,p,pre,section,select,summary,table,tbody,td,textarea,"
    "tfoot,th,thead,tr,ul"
)
_INVISIBLE: Final = "\u00ad\u200b\ufeff\u2060"  # they part words for no reader

# The HTML parser is quadratic in the depth of nesting and in the attributes of one tag (measured: 300,000 nested `div` 72 s;
# 20,000 attributes 0.7 s). A document beyond these bounds is no page a person reads: its text is taken by stripping the tags.
_TAGS_UNCHECKED: Final = 20_000
_DEPTH_MAX: Final = 5_000
_TAG_CHARACTERS_MAX: Final = 65_536
_ATTRIBUTES_MAX: Final = 2_000
_NESTING_TAG: Final = re.compile(
    r"<(/?)(?!(?:br|hr|img|input|meta|link|wbr|p|li|d[dt]|t[drh]|option|tbody|thead|col)\b)[a-z][a-z0-9]*", re.I
)
_LONG_TAG: Final = re.compile(rf"<[a-zA-Z][^<>]{{{_TAG_CHARACTERS_MAX},}}")
_ANY_TAG: Final = re.compile(r"<[!/?a-zA-Z][^<>]*>?")
_HIDDEN_ELEMENT: Final = re.compile(r"<(script|style|template)\b[^<]*(?:<(?!/\1\b)[^<]*)*(?:</\1[^<>]*>|$)", re.I)

_SAMPLE_CHARACTERS: Final = 300
_SAMPLES_MAX: Final = 12
_LETTERS_MIN: Final = 12
_SHARE_MIN: Final = 0.15


@dataclass(frozen=True)
class Text:
    """A document's text. `languages` are all that have a share of at least 15 % in it, `language` is the first of them."""

    title: str = ""
    main: str = ""
    rest: str = ""
    language: str | None = None
    languages: tuple[str, ...] = ()
    declared: str | None = None


def kind_of(mime: str, start: bytes = b"") -> Kind | None:
    """Whether a payload of this type is a document that has text, and which kind; `start` decides where the type says nothing."""
    if mime in _HTML_TYPES:
        return "html"
    if mime in ("application/pdf", "application/x-pdf"):
        return "pdf"
    if mime in _TEXT_TYPES:
        return "text"
    if mime in _UNKNOWN_TYPES:
        if start[:1024].lstrip().startswith(b"%PDF-"):
            return "pdf"
        head = start[:1024].lstrip().lower()
        if head.startswith((b"<!doctype html", b"<html")):
            return "html"
    return None


def of_html(payload: bytes, *, charset_label: str | None, content_language: str, languages: Sequence[str]) -> Text:
    """The text of an HTML page. Never raises on any bytes; linear in their number."""
    html = _decoded(payload, charset_label, "html")
    if _is_pathological(html):
        title, lines, rest, declared = _stripped(html)
    else:
        title, lines, rest, declared = _parsed(html)
    declared = language_code(declared) or language_code(content_language)
    return _finished(title, lines, rest, declared, languages)


def of_plain(payload: bytes, *, charset_label: str | None, content_language: str, languages: Sequence[str]) -> Text:
    """The text of a plain text file; its first line serves as title."""
    lines = _lines(_decoded(payload, charset_label, "text"))
    return _finished(lines[0] if lines else "", lines, [], language_code(content_language), languages)


def of_pages(title: str, pages: str, *, content_language: str, languages: Sequence[str]) -> Text:
    """The text of a document that is no markup: what a PDF reader found."""
    lines = _lines(pages.replace("\0", ""))
    return _finished(title or (lines[0] if lines else ""), lines, [], language_code(content_language), languages)


def language_code(declared: str | None) -> str | None:
    """`fr` of `fr-CA`, `FR`, `fra`, `fr, en`; None of what is no language."""
    first = re.split(r"[\s,;_-]", (declared or "").strip().lower(), maxsplit=1)[0]
    first = {"eng": "en", "fra": "fr", "fre": "fr"}.get(first, first)
    return first if re.fullmatch(r"[a-z]{2,3}", first) else None


def shares(lines: Sequence[str], languages: Sequence[str]) -> tuple[str, ...]:
    """The languages of `languages` that `lines` are written in, largest share first; none if there is too little to tell.

    Neighbouring blocks are joined to samples long enough to be told apart without error (300 characters: 1.000 in
    evidence/index.md), and a long document is sampled evenly, so that the cost is bounded.
    """
    if not languages:
        return ()
    samples: list[str] = []
    held: list[str] = []
    size = 0
    for line in lines:
        held.append(line[: 4 * _SAMPLE_CHARACTERS])
        size += len(held[-1])
        if size >= _SAMPLE_CHARACTERS:
            samples.append(" ".join(held))
            held, size = [], 0
    if held:
        samples.append(" ".join(held))
    step = max(1, -(-len(samples) // _SAMPLES_MAX))
    weights: dict[str, int] = {}
    identifier = _identifier(tuple(languages))
    for sample in samples[::step]:
        letters = sum(map(str.isalpha, sample))
        if letters >= _LETTERS_MIN:
            language = str(identifier.classify(sample)[0])
            weights[language] = weights.get(language, 0) + letters
    total = sum(weights.values())
    ordered = sorted(weights, key=lambda name: (-weights[name], name))
    return tuple(name for name in ordered if weights[name] >= _SHARE_MIN * total)


@lru_cache(maxsize=8)
def _identifier(languages: tuple[str, ...]) -> LanguageIdentifier:
    """One of our own for each set: py3langid's module functions restrict a global one."""
    # Here, because it brings numpy along, which searching and reading do without.
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    identifier = LanguageIdentifier.from_model_file(MODEL_FILE)
    identifier.set_languages(list(languages))
    return identifier


def _decoded(payload: bytes, label: str | None, kind: Literal["html", "text"]) -> str:
    """As browsers read it, but for UTF-8 that declares itself wrongly or not at all: other text is hardly ever valid UTF-8."""
    codec, mark = charset.detect(payload, header=label, kind=kind)
    if codec == "cp1252":
        try:
            return payload.decode("utf-8").replace("\0", "")
        except UnicodeDecodeError:
            pass
    return payload[mark:].decode(codec, "replace").replace("\0", "")


def _finished(title: str, lines: list[str], rest: list[str], declared: str | None, languages: Sequence[str]) -> Text:
    main = "\n".join(lines)[:TEXT_CHARACTERS_MAX]
    found = shares(lines, languages) or shares([title, *rest], languages)
    return Text(
        title=" ".join(title.split())[:TITLE_CHARACTERS_MAX].strip(),
        main=main,
        rest="\n".join(rest)[: TEXT_CHARACTERS_MAX - len(main)],
        language=found[0] if found else None,
        languages=found,
        declared=declared,
    )


def _lines(text: str) -> list[str]:
    """Blocks: lines with their white space folded, without the empty ones."""
    for char in _INVISIBLE:
        text = text.replace(char, "")
    return [line for raw in text.split("\n") if (line := " ".join(raw.split()))]


def _parsed(html: str) -> tuple[str, list[str], list[str], str | None]:
    """Title, the page's own blocks, those around it, declared language."""
    tree = LexborHTMLParser(html)
    root = tree.root
    if root is None:
        return "", [], [], None
    title_node = tree.css_first("head>title") or tree.css_first("title")
    title = title_node.text() if title_node is not None else ""
    declared = _declared_language(tree)
    described = [
        value
        for node in tree.css('meta[name="description" i],meta[property="og:description" i]')[:2]
        if (value := _attribute(node, "content"))
    ]
    body = tree.body
    if body is None:
        return title, [], _lines("\n".join(described)), declared
    for node in body.css(_UNSEEN):
        node.decompose()
    pictured = [value for node in body.css("img[alt],area[alt],input[alt]") if (value := _attribute(node, "alt"))]
    if not title.strip():
        heading = body.css_first("h1") or body.css_first("h2")
        title = heading.text() if heading is not None else ""
    for node in body.css(_BLOCKS):
        # Line breaks go into the tree, so that the text comes out of it in one walk in C: inline tags join, blocks part.
        node.insert_before("\n")
        node.insert_after("\n")
    around: list[str] = []
    for node in body.css(_AROUND):
        around.extend(_lines(node.text()))
        node.decompose()
    return title, _lines(body.text()), [*_lines("\n".join(described)), *around, *_lines("\n".join(pictured))], declared


def _attribute(node: LexborNode, name: str) -> str:
    return (node.attributes.get(name) or "").replace("\n", " ")


def _declared_language(tree: LexborHTMLParser) -> str | None:
    html = tree.css_first("html")
    if html is not None and (value := _attribute(html, "lang") or _attribute(html, "xml:lang")):
        return value
    meta = tree.css_first('meta[http-equiv="content-language" i],meta[name="dcterms.language" i],meta[name="dc.language" i]')
    return _attribute(meta, "content") if meta is not None else None


def _is_pathological(html: str) -> bool:
    """Whether the parser would take longer than the document deserves."""
    if len(html) > _TAG_CHARACTERS_MAX:
        for tag in _LONG_TAG.finditer(html):
            if tag[0].count("=") + tag[0].count(" ") > _ATTRIBUTES_MAX:
                return True
    if html.count("<") <= _TAGS_UNCHECKED:
        return False
    depth = deepest = 0
    for tag in _NESTING_TAG.finditer(html):
        depth = max(0, depth - 1) if tag[1] else depth + 1
        deepest = max(deepest, depth)
    return deepest > _DEPTH_MAX


def _stripped(html: str) -> tuple[str, list[str], list[str], str | None]:
    """As `_parsed`, without a parser."""
    title = re.search(r"<title[^<>]*>([^<]*)", html[:_TAG_CHARACTERS_MAX], re.I)
    text = unescape(_ANY_TAG.sub("\n", _HIDDEN_ELEMENT.sub("\n", html)))
    return unescape(title[1]) if title else "", _lines(text), [], None
