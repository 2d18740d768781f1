"""The view without scripts: an archived page made safe and self-contained. Pure: text in, text out.

Addresses in attributes, in `srcset` and in CSS are turned into ours; scripts, event handlers and what would load on its own
(plug-ins, hints to connect or prefetch, manifests, declarative shadow roots) are removed. What this misses is stopped by the
policy that the page is served with (`default-src 'self'; script-src 'none'`): a miss costs a picture, never a reader's privacy.
No JavaScript is rewritten: with scripts, replay is the player's work.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from enum import Enum, auto
from typing import Final

from selectolax.lexbor import LexborHTMLParser, LexborNode

from healtharchive.access import rewrite_css as css
from healtharchive.warc import urls

SRCDOC_DEPTH_MAX: Final = 3
"""Frames inside `srcdoc` inside `srcdoc`: each level doubles the escaping, so that nobody nests them on purpose."""

HTML_CHARACTERS_MAX: Final = 8_000_000
DEPTH_MAX: Final = 10_000
"""Open elements: 10,000 parse in 0.1 s, 100,000 in 10 s. Browsers stop nesting at 512."""
SRCSET_CHARACTERS_MAX: Final = 32_768


class Use(Enum):
    """What the page does with an address."""

    FOLLOW = auto()  # a link or a form: replaces the page that the reader is on
    FRAME = auto()  # a page inside the page
    PART = auto()  # a picture, a style sheet, a film


Link = Callable[[str, Use], str]
"""Our address of an absolute, normalized URL."""


# -- HTML --------------------------------------------------------------------------------------------------------------


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_REMOVED: Final = _words("script object embed applet param portal fencedframe template noembed noframes base bgsound")
# rel values that make a browser fetch, or look a name up, without showing anything. `icon` stays: it is shown.
_HINTS: Final = _words(
    "preconnect dns-prefetch prefetch prerender preload modulepreload next prev manifest import pingback expect "
    "compression-dictionary"
)
_DROPPED_ATTRIBUTES: Final = _words(
    "integrity nonce crossorigin referrerpolicy ping manifest target sandbox allow csp fetchpriority attributionsrc "
    "srcdoc archive classid codebase http-equiv is shadowrootmode popovertarget command commandfor profile"
)
_FOLLOWED: Final = {("a", "href"), ("area", "href"), ("form", "action"), ("button", "formaction"), ("input", "formaction")}
_FRAMED: Final = {("iframe", "src"), ("frame", "src")}
_PARTS: Final = _words("src href background poster data lowsrc dynsrc longdesc cite action formaction")
_SOURCE_SETS: Final = frozenset({"srcset", "imagesrcset"})
# Where pages keep the address of a picture that a script would load once it is scrolled into view.
_LAZY: Final = {
    "src": ("data-src", "data-lazy-src", "data-original", "data-lazy"),
    "srcset": ("data-srcset", "data-lazy-srcset", "data-original-set"),
}
_KEPT_SCHEMES: Final = ("mailto:", "tel:", "sms:")
_DATA_MEDIA: Final = re.compile(
    r"data:(?:image/(?:png|gif|jpe?g|webp|avif|bmp|x-icon|svg\+xml)|font/|audio/|video/)", re.IGNORECASE
)
_TAG: Final = re.compile(r"<(/?)([A-Za-z][^\s/>]*)")
_SELF_CLOSING: Final = _words(
    "area base br col embed hr img input link meta source track wbr p li dd dt option optgroup tr td th tbody thead tfoot"
)
_BLANKS: Final = re.compile(r"[\x00-\x20]+")
_DOCTYPE: Final = re.compile(
    r"""\ufeff?\s*(?:<!--.*?-->\s*)*(<!doctype\s+html(?:\s+(?:public|system)(?:\s+(?:"[^"<>]*"|'[^'<>]*')){0,2})?\s*>)""",
    re.IGNORECASE | re.DOTALL,
)
_REFRESH: Final = re.compile(r"\s*(\d{1,9})[\d.]*\s*(?:[;,]\s*(?:url\s*=\s*)?[\"']?([^\"']*)[\"']?\s*)?", re.IGNORECASE)


def rewrite_html(text: str, *, url: str, link: Link, depth: int = 0) -> str:
    """A whole HTML document, decoded, as UTF-8 text that can be shown in a frame that runs no scripts.

    `url` is the normalized URL of the capture; a `<base>` in the page is honoured and removed. Never raises on what is in a page.
    """
    parser = LexborHTMLParser(_bounded(text))
    root = parser.root
    if root is None:
        return ""
    base = _base(parser, url)
    _walk(root, base=base, link=link, depth=depth)
    for node in root.css("noscript"):
        # Scripts do not run here, so its content is what the author meant to be seen.
        if node.first_child is None:
            node.decompose()
        else:
            node.unwrap()
    return _doctype(text) + (root.html or "")


def _walk(root: LexborNode, *, base: str, link: Link, depth: int) -> None:
    """Rewrite what stays and remove what goes, in that order: a removed node's memory is gone, and its children's with it."""
    unwanted: list[LexborNode] = []
    waiting = [root]
    while waiting:
        node = waiting.pop()
        if node.is_comment_node or (node.is_element_node and not _rewrite_element(node, base=base, link=link, depth=depth)):
            unwanted.append(node)
            continue
        child = node.first_child
        while child is not None:
            if not child.is_text_node:
                waiting.append(child)
            child = child.next
    for node in unwanted:
        node.decompose()


def _bounded(text: str) -> str:
    """`text` up to where it is too long, or nested too deep, to be anybody's page: parsing is quadratic in the depth.

    Elements that close each other (`<p>`, `<li>`, cells) don't count, since old pages leave thousands of them open.
    """
    text = text[:HTML_CHARACTERS_MAX]
    depth = 0
    for match in _TAG.finditer(text):
        if match[2].lower() in _SELF_CLOSING:
            continue
        depth += -1 if match[1] else 1
        if depth > DEPTH_MAX:
            return text[: match.start()]
        depth = max(depth, 0)
    return text


def _doctype(text: str) -> str:
    """The page's own document type, for it decides between standards and quirks layout; the parser forgets its identifiers."""
    match = _DOCTYPE.match(text[:4096])
    return match[1] if match else ""


def _base(parser: LexborHTMLParser, url: str) -> str:
    for node in parser.css("base[href]"):
        return urls.normalize(node.attributes.get("href") or "", url) or url
    return url


def _rewrite_element(node: LexborNode, *, base: str, link: Link, depth: int) -> bool:
    """Make one element safe; False if it must go, with everything in it."""
    tag = (node.tag or "").lower()
    if tag in _REMOVED or _is_animated_address(tag, node):
        return False
    if tag == "link" and not _keeps_link(node):
        return False
    if tag == "meta" and not _keeps_meta(node, base=base, link=link):
        return False
    if tag == "style":
        _replace_style(node, base=base, link=link)
    if tag in ("iframe", "frame"):
        _rewrite_srcdoc(node, base=base, link=link, depth=depth)
    if tag in ("img", "source", "iframe"):
        _promote_lazy(node)
    _rewrite_attributes(node, tag, base=base, link=link)
    return True


def _rewrite_attributes(node: LexborNode, tag: str, *, base: str, link: Link) -> None:
    attributes = node.attrs
    for name, value in list(node.attributes.items()):
        lower = name.lower()
        local = lower.rpartition(":")[2]
        if tag == "meta" and lower == "http-equiv":
            continue  # only a harmless one gets here
        if tag == "iframe" and lower == "srcdoc":
            continue  # rewritten already
        if lower.startswith("on") or lower in _DROPPED_ATTRIBUTES or any(char in "<\"'`" for char in lower):
            del attributes[name]
            continue
        if value is None:
            continue
        if lower in _SOURCE_SETS:
            _set(node, name, rewrite_srcset(value, base=base, link=link))
        elif lower == "style":
            _set(node, name, rewrite_css(value, base=base, link=link))
        elif local in _PARTS:
            _set(node, name, _address(value, _use(tag, local), base=base, link=link))
        elif "url" in lower or "(" in value:
            # SVG presentation attributes: fill="url(...)"; escapes such as u\72l( are why "(" alone decides.
            _set(node, name, rewrite_css(value, base=base, link=link))
    if (tag, "href") in _FOLLOWED or tag == "form":
        attributes["target"] = "_top"
    if tag == "form":
        attributes["method"] = "get"  # an archive has no answers to posted forms


def _set(node: LexborNode, name: str, value: str | None) -> None:
    if value is None:
        del node.attrs[name]
    else:
        node.attrs[name] = value


def _use(tag: str, attribute: str) -> Use:
    if (tag, attribute) in _FOLLOWED or attribute in ("action", "formaction", "cite", "longdesc"):
        return Use.FOLLOW
    return Use.FRAME if (tag, attribute) in _FRAMED else Use.PART


def _address(value: str, use: Use, *, base: str, link: Link) -> str | None:
    """Our address in place of `value`; None if it must go (javascript:, blob:, file:, a data: page)."""
    plain = _BLANKS.sub("", value)
    if plain.startswith("#") or (not plain and use is not Use.FOLLOW):
        return plain or None
    lower = plain[:64].lower()
    if use is Use.FOLLOW and lower.startswith(_KEPT_SCHEMES):
        return value
    if use is Use.PART and _DATA_MEDIA.match(lower):
        return value
    absolute = urls.normalize(value, base)
    if absolute is None:
        return None
    _, hash_, fragment = value.strip().partition("#")
    return link(absolute, use) + hash_ + _BLANKS.sub("%20", fragment)


def _is_animated_address(tag: str, node: LexborNode) -> bool:
    """SVG can set `href` to a script from outside: <animate attributeName="href" values="javascript:...">."""
    if tag not in ("animate", "set", "animatetransform", "animatemotion"):
        return False
    return any(name.lower() == "attributename" and "href" in (value or "").lower() for name, value in node.attributes.items())


def _keeps_link(node: LexborNode) -> bool:
    relations = set((node.attributes.get("rel") or "").lower().split())
    return bool(relations & {"stylesheet", "icon"}) or (bool(relations) and not relations & _HINTS)


def _keeps_meta(node: LexborNode, *, base: str, link: Link) -> bool:
    if "charset" in node.attributes:
        return False  # it is UTF-8 from here on
    equivalent = (node.attributes.get("http-equiv") or "").strip().lower()
    if not equivalent:
        return True
    if equivalent == "refresh":
        return _rewrite_refresh(node, base=base, link=link)
    return equivalent in ("content-language", "x-ua-compatible")


def _rewrite_refresh(node: LexborNode, *, base: str, link: Link) -> bool:
    match = _REFRESH.fullmatch(node.attributes.get("content") or "")
    if match is None or not match[2]:
        return False  # a page that only reloads itself would reload for ever
    address = _address(match[2], Use.FRAME, base=base, link=link)
    if address is None:
        return False
    node.attrs["content"] = f"{match[1]}; url={address}"
    return True


def _replace_style(node: LexborNode, *, base: str, link: Link) -> None:
    sheet = rewrite_css(node.text(deep=True), base=base, link=link)
    # The text of an element is written out raw, so it must not be able to end the element; in SVG any "<" could begin another.
    inside_svg = any(parent in ("svg", "math") for parent in _ancestors(node))
    sheet = sheet.replace("<", "\\3c ") if inside_svg else re.sub(r"<(?=[/!])", r"\\3c ", sheet)
    children = list(node.iter(include_text=True))
    for child in children[1:]:
        child.decompose()
    if children:
        children[0].replace_with(sheet)


def _ancestors(node: LexborNode) -> Iterator[str]:
    parent = node.parent
    while parent is not None:
        yield (parent.tag or "").lower()
        parent = parent.parent


def _rewrite_srcdoc(node: LexborNode, *, base: str, link: Link, depth: int) -> None:
    for child in list(node.iter(include_text=True)):
        child.decompose()  # shown by browsers from before frames, raw text to all others
    inner = node.attributes.get("srcdoc")
    if inner is None:
        return
    if depth >= SRCDOC_DEPTH_MAX:
        del node.attrs["srcdoc"]
    else:
        node.attrs["srcdoc"] = rewrite_html(inner, url=base, link=link, depth=depth + 1)


def _promote_lazy(node: LexborNode) -> None:
    values = node.attributes
    for real, candidates in _LAZY.items():
        shown = values.get(real) or ""
        if shown and not shown.lower().startswith(("data:", "about:")):
            continue
        for name in candidates:
            if values.get(name):
                node.attrs[real] = values[name] or ""
                break


# -- srcset ------------------------------------------------------------------------------------------------------------

_CANDIDATE: Final = re.compile(r"[\s,]*([^\s,](?:\S*[^\s,])?)(,*)(?:\s+([^,()]*(?:\([^)]*\)[^,()]*)*))?,?")


def rewrite_srcset(value: str, *, base: str, link: Link) -> str | None:
    """The candidates of a `srcset` under our addresses, None if none is left (HTML, "parse a srcset attribute").

    An address ends at white space, so commas inside it (as in `data:` and many image servers) are part of it.
    """
    kept: list[str] = []
    position = 0
    while len(value) <= SRCSET_CHARACTERS_MAX and (match := _CANDIDATE.match(value, position)):
        if match.end() == position:
            break
        position = match.end()
        descriptor = "" if match[2] else (match[3] or "").strip()
        if match[2]:
            position = match.end(2)
        address = _address(match[1], Use.PART, base=base, link=link)
        if address:
            # Ours is percent-encoded but for commas at its ends, which would end the candidate early.
            kept.append(f"{address.replace(',', '%2C')} {descriptor}".strip())
    return ", ".join(kept) or None


# -- CSS ---------------------------------------------------------------------------------------------------------------


def rewrite_css(text: str, *, base: str, link: Link) -> str:
    """A style sheet, or the value of a `style` attribute, of the page or sheet at `base`."""
    return css.rewrite(text, lambda value: _address(value, Use.PART, base=base, link=link))
