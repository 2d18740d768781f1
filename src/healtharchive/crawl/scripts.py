"""What the inside of a `script` element refers to: JSON-LD and import maps declare it, strings of programs are speculative.

A program's strings may be addresses or may be anything. They are reported apart (hop X, as Heritrix does) and never mixed with
real links; see `crawl.scope` for how far a speculative address is followed.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any, Final

STRINGS_MAX: Final = 20_000
NODES_MAX: Final = 200_000

PROGRAM_TYPES: Final = frozenset(
    {"", "module", "text/javascript", "application/javascript", "text/ecmascript", "application/ecmascript"}
    | {"application/x-javascript", "text/x-javascript", "text/jscript", "application/json"}
)

# No white space, quotes, angle brackets or braces: sentences, markup and templates are no addresses.
_STRING: Final = re.compile(r"""(["'`])((?:[^"'`\s<>{}|^\\]|\\/|\\u00[23][0-9a-fA-F]){3,2048}+)\1""")
_ESCAPE: Final = re.compile(r"\\u(00[23][0-9a-fA-F])|\\/")
_EXTENSIONS: Final = (
    "html?|xhtml|php|aspx?|jspx?|cfm|pdf|docx?|xlsx?|pptx?|odt|ods|csv|tsv|zip|json|xml|rss|atom|txt|m?js|css|"
    "jpe?g|png|gif|svg|webp|avif|ico|mp4|webm|mp3|ogg|m3u8|mpd|vtt|woff2?|ttf|eot|wasm"
)
_REFERENCE: Final = re.compile(
    r"https?://[\w-]+(?:\.[\w-]+)+(?::\d+)?(?:[/?#].*)?"  # absolute
    r"|https?://(?:localhost|\[[0-9a-fA-F:.]+\])(?::\d+)?(?:[/?#].*)?"
    r"|//[\w-]+(?:\.[\w-]+)+(?::\d+)?/.*"  # of the same scheme
    r"|/[\w~%-][^?#]*?[/.][^/].*|/[\w~%-][^?#/]*/(?:[?#].*)?|/[\w~%-][^?#]*\?.*"  # rooted: two segments, a dot, or a query
    r"|\.{1,2}/[\w~%./-]+(?:[?#].*)?"  # relative, and says so
    rf"|[\w~%-][\w~%./+@-]*\.(?:{_EXTENSIONS})(?:[?#].*)?",  # relative, with the extension of something on the web
    re.IGNORECASE | re.ASCII,
)


def strings(program: str) -> Iterator[str]:
    """Strings of a program, or of JSON data, that read like addresses. At most STRINGS_MAX; linear in the text."""
    found = 0
    for match in _STRING.finditer(program):
        text = match.group(2)
        if "\\" in text:
            text = _ESCAPE.sub(lambda escape: chr(int(escape.group(1), 16)) if escape.group(1) else "/", text)
        if _REFERENCE.fullmatch(text):
            yield text
            found += 1
            if found >= STRINGS_MAX:
                return


# Properties of schema.org whose values are addresses: of pages, and of what pages show.
_PAGE_PROPERTIES: Final = frozenset(
    {"url", "sameas", "mainentityofpage", "item", "downloadurl", "installurl", "discussionurl", "relatedlink", "significantlink"}
    | {"coderepository", "license", "acquirelicensepage", "hasmap", "usageinfo", "publishingprinciples", "isbasedon"}
)
_MEDIA_PROPERTIES: Final = frozenset(
    {"image", "logo", "thumbnail", "thumbnailurl", "contenturl", "embedurl", "photo", "screenshot"}
)
_NAMED_BY_ID: Final = frozenset({"item", "mainentityofpage"})  # where search engines document `{"@id": address}`
_ADDRESS: Final = re.compile(r"(?:https?://|//|/|\.{1,2}/)[^\s<>\"{}|^`\\]+")


def linked_data(text: str) -> Iterator[tuple[str, bool]]:
    """The addresses of a JSON-LD block, each with whether it is media. Nothing from `@context`, `@id` at large or URL templates.

    What is not JSON gives nothing. The walk is a loop, so depth costs no stack; at most NODES_MAX nodes are looked at.
    """
    stack: list[tuple[str, Any, bool]] = [("", _parse(text), False)]
    for _ in range(NODES_MAX):
        if not stack:
            return
        name, value, media = stack.pop()
        match value:
            case dict():
                inside_media = media or name in _MEDIA_PROPERTIES
                for key, child in reversed(value.items()):
                    lowered = str(key).lower()
                    if lowered == "@id" and name in _NAMED_BY_ID:
                        lowered = "url"
                    if lowered != "@context":
                        stack.append((lowered, child, inside_media))
            case list():
                stack.extend((name, child, media) for child in reversed(value))
            case str() if name in _MEDIA_PROPERTIES or (name == "url" and media):
                if _ADDRESS.fullmatch(value):
                    yield value, True
            case str() if name in _PAGE_PROPERTIES:
                if _ADDRESS.fullmatch(value):
                    yield value, False


def import_map(text: str) -> Iterator[str]:
    """The modules of a `script type=importmap`; prefixes (ending in `/`) are not addresses."""
    data = _parse(text)
    if not isinstance(data, dict):
        return
    scopes = data.get("scopes")
    for section in (data.get("imports"), *(scopes.values() if isinstance(scopes, dict) else ())):
        if isinstance(section, dict):
            yield from (value for value in section.values() if isinstance(value, str) and not value.endswith("/"))


def _parse(text: str) -> Any:
    # Old pages wrap scripts in comments or CDATA to hide them from old browsers.
    text = text.strip().removeprefix("<!--").removeprefix("//<![CDATA[").removesuffix("//]]>").removesuffix("-->")
    try:
        return json.loads(text, strict=False)
    except (ValueError, RecursionError):
        return None


def web_manifest(text: str) -> Iterator[tuple[str, bool]]:
    """The addresses of a web application's manifest, each with whether it is an image."""
    data = _parse(text)
    if not isinstance(data, dict):
        return
    shortcuts = data.get("shortcuts")
    for part in (data, *(shortcuts if isinstance(shortcuts, list) else ())):
        if not isinstance(part, dict):
            continue
        for name in ("start_url", "url"):
            if isinstance(part.get(name), str):
                yield part[name], False
        for name in ("icons", "screenshots"):
            images = part.get(name)
            for image in images if isinstance(images, list) else ():
                if isinstance(image, dict) and isinstance(image.get("src"), str):
                    yield image["src"], True
