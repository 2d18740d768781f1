"""HTML, XHTML and SVG: parsed as browsers parse them, so nothing comes from comments, `textarea` or a repeated attribute.

Beside plain attributes: `base`, `meta` refresh and share cards, `srcset`, CSS in elements and attributes, JSON-LD, `srcdoc` (a
document in an attribute), `template` and `noframes` content, lazy-loading attributes, applets and objects with their code base.
Strings of programs come out as speculative.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Final

from selectolax.lexbor import LexborDocumentOptions, LexborHTMLParser, LexborNode

from healtharchive.crawl import css, scripts
from healtharchive.crawl.bombs import pieces
from healtharchive.crawl.references import Collector, Hop
from healtharchive.crawl.srcset import candidates
from healtharchive.warc import charset as charsets

Attributes = Mapping[str, str | None]

DOCUMENT_DEPTH_MAX: Final = 3  # documents in `srcdoc` in documents
TEMPLATES_MAX: Final = 10_000
LAZY_NAMES_MAX: Final = 40

# Elements in XHTML that an HTML parser would not end at `/>`, swallowing the rest of the page.
_EMPTY_IN_XHTML: Final = re.compile(
    rb"<(script|style|title|textarea|iframe|noscript|noframes|template|a|div)((?:\s[^<>]*?)?)/>", re.IGNORECASE
)
_LAZY_NAME: Final = (
    r"data-(?:[a-z0-9]{1,20}-){0,4}(?:src|srcset|bg|bgset|background|original|lazy|poster|image|img|thumb|thumbnail)"
    r"(?:-[a-z0-9]{1,20}){0,4}"
)
_LAZY: Final = re.compile(_LAZY_NAME)
_LAZY_IN_BYTES: Final = re.compile(_LAZY_NAME.encode() + rb"(?=\s*=)")
_REFRESH: Final = re.compile(
    r"""\s*\d*(?:\.[\d.]*)?(?:\s*[;,]|\s)\s*(?:url\s*=\s*)?(?:"([^"]*)"?|'([^']*)'?|(.*))""", re.IGNORECASE | re.DOTALL
)
_ADDRESS: Final = re.compile(r"(?=\S*[/.])[^\s<>\"{}|^`\\]+")
_PROGRAM_URL: Final = re.compile(r"[\x00-\x20]*javascript:", re.IGNORECASE)

# What must be looked at. One `:is()` costs less than a list and yields each element once; anchors into the page itself, three
# quarters of all links in a manual, are passed over in C. Each alternative costs a look-up for each element: most elements of a
# page are of a few tags that matter by an attribute only, and leave early.
_SELECTOR: Final = (
    "[href]:not([href^='#']),[src],[style],[background],[onclick],[formaction],"
    ":not(span,a,code,p,li,div,td):is([cite],meta,style,script,form,img,source,video,"
    "iframe,link,object,applet,param,use,image,feimage,noframes,template)"
)

_EMBED_TAGS: Final = frozenset(
    {"img", "script", "iframe", "frame", "embed", "source", "track", "audio", "video", "bgsound", "portal"}
)
_REFERENCE_TAGS: Final = {
    "a": Hop.LINK,
    "area": Hop.LINK,
    "use": Hop.EMBED,
    "image": Hop.EMBED,
    "feimage": Hop.EMBED,
    "script": Hop.EMBED,
}
_PLAIN_LINK: Final = frozenset({"href", "class", "id", "title", "rel", "name", "target", "accesskey", "hreflang", "role"})
_QUOTES: Final = frozenset({"blockquote", "q", "ins", "del"})

_REL_EMBED: Final = frozenset(
    {
        "stylesheet",
        "icon",
        "apple-touch-icon",
        "apple-touch-icon-precomposed",
        "apple-touch-startup-image",
        "mask-icon",
        "fluid-icon",
    }
    | {"image_src", "manifest", "preload", "modulepreload"}
)
_REL_CONNECTION: Final = frozenset({"dns-prefetch", "preconnect"})  # names of hosts to get ready for, not addresses

_META_EMBED: Final = frozenset(
    {f"og:{kind}{part}" for kind in ("image", "video", "audio") for part in ("", ":url", ":secure_url")}
    | {"twitter:image", "twitter:image:src", "twitter:player", "twitter:player:stream", "thumbnail"}
    | {"msapplication-tileimage", "msapplication-config", "msapplication-square70x70logo", "msapplication-square150x150logo"}
    | {"msapplication-wide310x150logo", "msapplication-square310x310logo"}
    | {"image", "logo", "thumbnailurl", "contenturl", "embedurl"}
)
_META_LINK: Final = frozenset(
    {"og:url", "twitter:url", "al:web:url", "msapplication-starturl", "parsely-link", "url"}
    | {"citation_pdf_url", "citation_fulltext_html_url", "citation_abstract_html_url", "citation_public_url"}
)
_PARAM_NAMES: Final = frozenset({"movie", "src", "data", "url", "filename", "file", "href"})


def read(payload: bytes, charset: str | None, found: Collector) -> None:
    """Collect from an HTML document."""
    codec, mark = charsets.detect(payload, header=charset, kind="html")
    found.charset = "utf-8" if codec.startswith("utf-") else codec
    markup = payload[mark:]
    if codec != "utf-8":
        markup = markup.decode(codec, "replace").encode()
    _document(markup, found)


def read_xhtml(payload: bytes, charset: str | None, found: Collector) -> None:
    """Collect from XHTML or SVG: an HTML parser reads it, once empty elements are written as it expects them."""
    read(_EMPTY_IN_XHTML.sub(rb"<\1\2></\1>", payload), charset or _xml_charset(payload), found)


def read_fragment(text: str, found: Collector) -> None:
    """Collect from markup that stands in another document, as in the items of a feed."""
    _document(text.encode("utf-8", "replace"), found, depth=DOCUMENT_DEPTH_MAX)


def follow_link(relations: str, address: str, tag: str, found: Collector) -> None:
    """A `link` element or a `Link` header, by its relations."""
    rels = frozenset(relations.lower().split())
    if rels and rels <= _REL_CONNECTION:
        return
    if "canonical" in rels and found.canonical is None:
        found.canonical = found.resolve(address)
    found.add(address, tag, "href" if tag == "link" else "link", Hop.EMBED if rels & _REL_EMBED else Hop.LINK)


def follow_refresh(content: str, tag: str, attribute: str, found: Collector) -> None:
    """The content of a `meta` refresh or a `Refresh` header: `5; url=address`."""
    parts = _REFRESH.match(content)
    address = next((part for part in parts.groups() if part), "").strip() if parts else ""
    if address:
        found.refresh = found.refresh or found.resolve(address)
        found.add(address, tag, attribute, Hop.REDIRECT)


def follow_css(text: str, tag: str, attribute: str, found: Collector) -> None:
    for reference in css.references(text):
        found.add(reference.address, tag, attribute, Hop.EMBED)


def follow_strings(program: str, tag: str, attribute: str, found: Collector) -> None:
    for address in scripts.strings(program):
        found.add(address, tag, attribute, Hop.SPECULATIVE)


def follow_linked_data(text: str, tag: str, found: Collector) -> None:
    for address, is_media in scripts.linked_data(text):
        found.add(address, tag, "ld+json", Hop.EMBED if is_media else Hop.LINK)


def _document(markup: bytes, found: Collector, *, depth: int = 0) -> None:
    """Collect from UTF-8 markup. `depth` counts the documents that this one is inside of."""
    selector = ":is(" + ",".join((_SELECTOR, *(f"[{name}]" for name in _lazy_names(markup)))) + ")"
    parts, cut = pieces(markup)
    found.text_was_cut = found.text_was_cut or cut
    base = None
    for part in parts:
        parser = LexborHTMLParser(part, options=LexborDocumentOptions.WO_EVENTS)
        nodes = parser.css(selector)
        tags = [node.tag for node in nodes]
        if base is None and "base" in tags:
            base = next((href for node in nodes if node.tag == "base" and (href := node.attributes.get("href"))), None)
        with found.below(base):
            if base is not None and (anchor := parser.css_first("a[href^='#']")) is not None:
                found.add(anchor.attributes.get("href") or "", "a", "href", Hop.LINK)  # leads to the base, not to this page
            _elements(nodes, found, depth)
            if "template" in tags:
                _templates(parser, selector, found, depth)


def _elements(nodes: list[LexborNode], found: Collector, depth: int) -> None:
    seen: set[str] = set()
    for node in nodes:
        tag = node.tag
        attributes = node.attributes
        if tag == "a" and attributes.keys() <= _PLAIN_LINK:
            # Nine of ten elements, and most of their addresses stand on the page more than once.
            address = attributes.get("href")
            if address and address not in seen:
                seen.add(address)
                _href("a", "href", address, attributes, found)
        else:
            _element(node, tag or "", attributes, found, depth)


def _templates(parser: LexborHTMLParser, selector: str, found: Collector, depth: int) -> None:
    """The content of `template` elements: not part of the tree, but what scripts put on the page."""
    fragments = parser.template_fragments()[::-1]
    for _ in range(TEMPLATES_MAX):
        if not fragments:
            return
        fragment = fragments.pop()
        _elements(fragment.css(selector), found, depth)
        fragments += fragment.template_fragments()[::-1]


def _element(node: LexborNode, tag: str, attributes: Attributes, found: Collector, depth: int) -> None:
    read_element = _ELEMENTS.get(tag)
    if read_element is not None:
        read_element(node, attributes, found)
    for name, value in attributes.items():
        if value:
            read_attribute = _ATTRIBUTES.get(name)
            if read_attribute is not None:
                read_attribute(tag, name, value, attributes, found)
            elif name.startswith("data-"):
                _lazy_attribute(tag, name, value, found)
    if tag == "iframe" and depth < DOCUMENT_DEPTH_MAX and (document := attributes.get("srcdoc")):
        _document(document.encode("utf-8", "replace"), found, depth=depth + 1)
    elif tag == "noframes" and depth < DOCUMENT_DEPTH_MAX:
        _document(node.text().encode("utf-8", "replace"), found, depth=depth + 1)


# -- attributes ------------------------------------------------------------------------------------------------------------------


def _href(tag: str, name: str, value: str, attributes: Attributes, found: Collector) -> None:
    hop = _REFERENCE_TAGS.get(tag)
    if hop is None or (hop is Hop.EMBED and value.startswith("#")):
        return  # `base` and `link` are read elsewhere; `<use href="#shape">` is in the page already
    if found.add(value, tag, name, hop) is None and ":" in value and _PROGRAM_URL.match(value):
        follow_strings(value, tag, name, found)


def _src(tag: str, name: str, value: str, attributes: Attributes, found: Collector) -> None:
    if tag in _EMBED_TAGS or (tag == "input" and (attributes.get("type") or "").lower() == "image"):
        found.add(value, tag, name, Hop.EMBED)


def _srcset(tag: str, name: str, value: str, attributes: Attributes, found: Collector) -> None:
    for address in candidates(value):
        found.add(address, tag, name, Hop.EMBED)


def _style(tag: str, name: str, value: str, attributes: Attributes, found: Collector) -> None:
    # Most style attributes name nothing.
    if "(" in value:
        follow_css(value, tag, name, found)


def _embed(tag: str, name: str, value: str, attributes: Attributes, found: Collector) -> None:
    found.add(value, tag, name, Hop.EMBED)


def _longdesc(tag: str, name: str, value: str, attributes: Attributes, found: Collector) -> None:
    found.add(value, tag, name, Hop.LINK)


def _cite(tag: str, name: str, value: str, attributes: Attributes, found: Collector) -> None:
    if tag in _QUOTES:
        found.add(value, tag, name, Hop.LINK)


def _ping(tag: str, name: str, value: str, attributes: Attributes, found: Collector) -> None:
    if tag in ("a", "area"):
        for address in value.split():
            found.add(address, tag, name, Hop.LINK)


def _formaction(tag: str, name: str, value: str, attributes: Attributes, found: Collector) -> None:
    if _is_get(attributes.get("formmethod")):
        found.add(value, tag, name, Hop.LINK)


def _onclick(tag: str, name: str, value: str, attributes: Attributes, found: Collector) -> None:
    follow_strings(value, tag, name, found)


_Attribute = Callable[[str, str, str, Attributes, Collector], None]
_ATTRIBUTES: Final[Mapping[str, _Attribute]] = {
    "href": _href,
    "xlink:href": _href,
    "src": _src,
    "srcset": _srcset,
    "imagesrcset": _srcset,
    "style": _style,
    "background": _embed,
    "poster": _embed,
    "lowsrc": _embed,
    "dynsrc": _embed,
    "longdesc": _longdesc,
    "cite": _cite,
    "ping": _ping,
    "formaction": _formaction,
    "onclick": _onclick,
}


def _lazy_attribute(tag: str, name: str, value: str, found: Collector) -> None:
    """An attribute that a script turns into `src`, `srcset` or a background later. Only what reads like an address."""
    if not _LAZY.fullmatch(name):
        return
    if name.endswith(("srcset", "bgset")):
        _srcset(tag, name, value, {}, found)
    elif "url(" in value:
        follow_css(value, tag, name, found)
    elif _ADDRESS.fullmatch(value.strip()):
        found.add(value, tag, name, Hop.EMBED)


# -- elements --------------------------------------------------------------------------------------------------------------------


def _link(node: LexborNode, attributes: Attributes, found: Collector) -> None:
    if address := attributes.get("href"):
        follow_link(attributes.get("rel") or "", address, "link", found)


def _meta(node: LexborNode, attributes: Attributes, found: Collector) -> None:
    content = attributes.get("content")
    if not content:
        return
    if (attributes.get("http-equiv") or "").lower() == "refresh":
        follow_refresh(content, "meta", "http-equiv", found)
        return
    for attribute in ("property", "name", "itemprop"):
        name = (attributes.get(attribute) or "").strip().lower()
        if name in _META_EMBED or name in _META_LINK:
            if _ADDRESS.fullmatch(content.strip()):
                found.add(content, "meta", name, Hop.EMBED if name in _META_EMBED else Hop.LINK)
            return


def _style_sheet(node: LexborNode, attributes: Attributes, found: Collector) -> None:
    follow_css(node.text(), "style", "text", found)


def _script(node: LexborNode, attributes: Attributes, found: Collector) -> None:
    text = node.text()
    if not text:
        return
    match (attributes.get("type") or "").partition(";")[0].strip().lower():
        case "application/ld+json":
            follow_linked_data(text, "script", found)
        case "importmap":
            for address in scripts.import_map(text):
                found.add(address, "script", "importmap", Hop.EMBED)
        case kind if kind in scripts.PROGRAM_TYPES:
            follow_strings(text, "script", "text", found)


def _form(node: LexborNode, attributes: Attributes, found: Collector) -> None:
    if _is_get(attributes.get("method")) and (action := attributes.get("action")):
        found.add(action, "form", "action", Hop.LINK)


def _is_get(method: str | None) -> bool:
    """Whether a form fetches: what it would post to must not be asked for, and a dialog stays on the page."""
    return (method or "get").strip().lower() not in ("post", "dialog")


def _object(node: LexborNode, attributes: Attributes, found: Collector) -> None:
    with found.below(attributes.get("codebase")):
        if data := attributes.get("data"):
            found.add(data, "object", "data", Hop.EMBED)
        for archive in (attributes.get("archive") or "").split():
            found.add(archive, "object", "archive", Hop.EMBED)


def _applet(node: LexborNode, attributes: Attributes, found: Collector) -> None:
    codebase = attributes.get("codebase")
    # A code base is a directory, whether or not it ends in a slash.
    with found.below(codebase.rstrip("/") + "/" if codebase else None):
        archives = [archive.strip() for archive in (attributes.get("archive") or "").split(",") if archive.strip()]
        for archive in archives:
            found.add(archive, "applet", "archive", Hop.EMBED)
        if not archives and (code := attributes.get("code")):
            found.add(code.removesuffix(".class").replace(".", "/") + ".class", "applet", "code", Hop.EMBED)


def _param(node: LexborNode, attributes: Attributes, found: Collector) -> None:
    name, value = (attributes.get("name") or "").lower(), attributes.get("value")
    if value and (name in _PARAM_NAMES or (attributes.get("valuetype") or "").lower() == "ref"):
        found.add(value, "param", name or "value", Hop.EMBED)


_Element = Callable[[LexborNode, Attributes, Collector], None]
_ELEMENTS: Final[Mapping[str, _Element]] = {
    "link": _link,
    "meta": _meta,
    "style": _style_sheet,
    "script": _script,
    "form": _form,
    "object": _object,
    "applet": _applet,
    "param": _param,
}


def _lazy_names(payload: bytes) -> tuple[str, ...]:
    """The lazy-loading attributes that a document may have: selecting by those that it does not have would cost time."""
    if b"data-" not in payload:
        return ()
    names: dict[str, None] = {}
    for match in _LAZY_IN_BYTES.finditer(payload):
        names.setdefault(match.group().decode("ascii"))
        if len(names) >= LAZY_NAMES_MAX:
            break
    return tuple(names)


def _xml_charset(payload: bytes) -> str | None:
    """XML is UTF-8 unless it says otherwise."""
    return charsets.detect(payload, kind="xml")[0]
