"""Archived pages to read: a small bilingual health site over three years, and a page that tries every way out of a replay."""

# ruff: noqa: E501 - pages are as long as sites write them

from __future__ import annotations

import struct
import zlib
from datetime import UTC, datetime

from tests.rigs.archive import ACTOR, Answer, Archive

from healtharchive.campaigns import sources
from healtharchive.instance import Instance

SITE = "https://health.example"
TORTURE = "https://torture.example"
CDN = "https://cdn.example"
OUTSIDE = "https://outside.example"
"""A host of which nothing was captured: whoever asks it has left the archive."""


def png(red: int, green: int, blue: int, width: int = 8, height: int = 8) -> bytes:
    """A picture of one colour."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    rows = b"".join(b"\0" + bytes((red, green, blue)) * width for _ in range(height))
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def at(year: int, month: int, day: int, hour: int = 14, minute: int = 5) -> datetime:
    return datetime(year, month, day, hour, minute, 9, tzinfo=UTC)


# -- a health site -----------------------------------------------------------------------------------------------------

_CSS = """
@import "print.css" print;
body { margin: 0; font: 17px/1.6 sans-serif; color: #22303a; background: #fff }
header { background: #12456b url(/img/wave.png); color: #fff; padding: 28px 40px }
header a { color: #fff; margin-right: 20px }
main { max-width: 760px; margin: 0 auto; padding: 24px 40px }
h1 { font-size: 34px; margin: 0 0 10px }
table { border-collapse: collapse; width: 100% } td, th { border-bottom: 1px solid #cfd8de; padding: 8px; text-align: left }
.note { background: #e8f1f7; border-left: 5px solid #12456b; padding: 12px 18px }
#enhanced { color: #17633a; font-weight: bold }
"""

_SCRIPT = """
document.getElementById("enhanced").textContent = document.documentElement.lang === "fr" ? "Page enrichie par script." : "Enhanced by script.";
"""

_ROWS = {
    "en": (("2 months", "DTaP-IPV-Hib, pneumococcal"), ("12 months", "Measles, mumps, rubella"), ("Grade 7", "Hepatitis B, HPV")),
    "fr": (("2 mois", "DCaT-VPI-Hib, pneumocoque"), ("12 mois", "Rougeole, oreillons, rubéole"), ("7e année", "Hépatite B, VPH")),
}


def _page(language: str, title: str, text: str, *, other: str, table: bool = False) -> str:
    nav = {"en": ("Vaccination", "Measles", "Français"), "fr": ("Vaccination", "Rougeole", "English")}[language]
    rows = "".join(f"<tr><th scope=row>{age}</th><td>{vaccine}</td></tr>" for age, vaccine in _ROWS[language])
    shown = f"<table>{rows}</table>" if table else ""
    root = "/en/" if language == "en" else "/fr/"
    return f"""<!doctype html>
<html lang="{language}"><head><meta charset="utf-8"><title>{title}</title><link rel="stylesheet" href="/css/site.css">
<link rel="preconnect" href="https://outside.example"></head>
<body><header><nav><a href="{root}vaccination">{nav[0]}</a><a href="{root}{"measles" if language == "en" else "rougeole"}">{nav[1]}</a>
<a href="{other}" lang="{"fr" if language == "en" else "en"}">{nav[2]}</a></nav></header>
<main><h1>{title}</h1><p>{text}</p>{shown}<p><img src="/img/clinic.png" alt="" width="180" height="90"></p>
<p class="note">{text}</p><p id="enhanced"></p></main><script src="/js/site.js"></script></body></html>"""


_VACCINES_2024 = (
    "Ask your clinic about the routine vaccination schedule. Children receive their first vaccines at two months of age."
)
_VACCINES_2025 = (
    "The vaccination schedule has changed: a second dose against measles is now offered at eighteen months. "
    "Ask your clinic if your child missed a dose."
)
_VACCINS_2024 = (
    "Renseignez-vous à la clinique sur le calendrier de vaccination. Les enfants reçoivent leurs premiers vaccins à deux mois."
)
_VACCINS_2025 = (
    "Le calendrier de vaccination a changé : une deuxième dose contre la rougeole est maintenant offerte à dix-huit mois. "
    "Demandez à la clinique si votre enfant a manqué une dose."
)


def health_site() -> list[Answer]:
    """Pages in both languages with several editions, an unchanged revisit, a redirect and an error."""
    home = f"{SITE}/en/vaccination"
    first = Answer(
        home, _page("en", "Vaccination schedule", _VACCINES_2024, other="/fr/vaccination", table=True), at(2023, 11, 2)
    )
    english = [
        first,
        Answer(home, at=at(2024, 1, 15), revisit_of=first),
        Answer(home, at=at(2024, 6, 15), status=503, body="Maintenance"),
        Answer(home, at=at(2024, 6, 20), revisit_of=first),
        Answer(home, _page("en", "Vaccination schedule", _VACCINES_2025, other="/fr/vaccination", table=True), at(2025, 2, 3)),
        Answer(home, _page("en", "Vaccination schedule", _VACCINES_2025, other="/fr/vaccination", table=True), at(2025, 2, 4, 9)),
        Answer(home, _page("en", "Immunization schedule", _VACCINES_2025, other="/fr/vaccination", table=True), at(2025, 9, 30)),
    ]
    french = [
        Answer(f"{SITE}/fr/vaccination", _page("fr", "Calendrier de vaccination", _VACCINS_2024, other="/en/vaccination", table=True), at(2023, 11, 2)),
        Answer(f"{SITE}/fr/vaccination", _page("fr", "Calendrier de vaccination", _VACCINS_2025, other="/en/vaccination", table=True), at(2025, 2, 3)),
    ]  # fmt: skip
    topics = [
        Answer(f"{SITE}/en/measles", _page("en", "Measles", "Measles spreads through the air. Vaccination protects you.", other="/fr/rougeole"), at(2024, 1, 15)),
        Answer(f"{SITE}/fr/rougeole", _page("fr", "Rougeole", "La rougeole se transmet par l’air. La vaccination vous protège.", other="/en/measles"), at(2024, 1, 15)),
        Answer(f"{SITE}/en/old-schedule", at=at(2024, 1, 15), status=301, headers=(("Location", "/en/vaccination"),)),
        Answer(f"{SITE}/en/forbidden", "<h1>Members only</h1>", at(2024, 1, 15), status=403),
    ]  # fmt: skip
    many = [
        Answer(f"{SITE}/en/topic/{n}", _page("en", f"Topic {n}: vaccines in brief", f"Vaccination topic number {n} for parents.", other="/fr/"), at(2024, 1, 15))
        for n in range(1, 15)
    ]  # fmt: skip
    parts = [
        Answer(f"{SITE}/css/site.css", _CSS, at(2023, 11, 2), mime="text/css"),
        Answer(f"{SITE}/css/print.css", "header{display:none}", at(2023, 11, 2), mime="text/css"),
        Answer(f"{SITE}/js/site.js", _SCRIPT, at(2023, 11, 2), mime="application/javascript"),
        Answer(f"{SITE}/img/wave.png", png(24, 84, 128), at(2023, 11, 2), mime="image/png"),
        Answer(f"{SITE}/img/clinic.png", png(190, 214, 226), at(2023, 11, 2), mime="image/png"),
    ]
    leaflet = Answer(f"{SITE}/files/leaflet.pdf", pdf("Vaccination leaflet"), at(2024, 1, 15), mime="application/pdf")
    data = Answer(f"{SITE}/files/data.zip", b"PK\x05\x06" + bytes(18), at(2024, 1, 15), mime="application/zip")
    linking = Answer(f"{SITE}/en/leaflets", '<h1>Leaflets</h1><a href="/files/leaflet.pdf">The leaflet</a>', at(2024, 1, 15))
    return [*english, *french, *topics, *many, *parts, leaflet, data, linking]


def pdf(text: str) -> bytes:
    """A document of one page with a line of text."""
    content = f"BT /F1 24 Tf 72 720 Td ({text}) Tj ET".encode()
    objects = [
        b"<</Type/Catalog/Pages 2 0 R>>",
        b"<</Type/Pages/Kids[3 0 R]/Count 1>>",
        b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 612 792]/Contents 4 0 R/Resources<</Font<</F1 5 0 R>>>>>>",
        b"<</Length %d>>stream\n%s\nendstream" % (len(content), content),
        b"<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>",
    ]
    body = b"%PDF-1.4\n"
    offsets = []
    for number, entry in enumerate(objects, start=1):
        offsets.append(len(body))
        body += b"%d 0 obj" % number + entry + b"endobj\n"
    table = b"".join(b"%010d 00000 n \n" % offset for offset in offsets)
    size = len(objects) + 1
    head = b"xref\n0 %d\n0000000000 65535 f \n" % size
    return body + head + table + b"trailer<</Size %d/Root 1 0 R>>\nstartxref\n%d\n%%%%EOF" % (size, len(body))


# -- a page that tries to get out --------------------------------------------------------------------------------------

_TORTURE_PAGE = f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Every way out</title>
<link rel="dns-prefetch" href="//hint1.example"><link rel="preconnect" href="https://hint2.example">
<link rel="prefetch" href="https://hint3.example/next"><link rel="preload" as="image" href="https://hint4.example/p.png">
<link rel="stylesheet" href="{CDN}/torture.css"><link rel="icon" href="//cdn.example/icon.png">
<meta http-equiv="Content-Security-Policy" content="upgrade-insecure-requests">
<style>@import url("//cdn.example/imported.css"); #inline-bg {{ background: url({CDN}/a.png); width: 8px; height: 8px }}
#escaped {{ background: u\\72l("//outside.example/escaped.png") }}</style></head>
<body onload="document.body.dataset.handler='ran'" background="{OUTSIDE}/body.png">
<h1>Every way out</h1><ul id="report"></ul>
<img id="absolute" src="{CDN}/a.png" alt=""><img id="relative-protocol" src="//cdn.example/a.png" alt="">
<img id="set" srcset="{CDN}/a.png 1x, {CDN}/b.png 2x" alt=""><img id="lazy" data-src="{CDN}/b.png" alt="">
<img id="missing" src="{OUTSIDE}/not-captured.png" alt=""><div id="inline-bg"></div><div id="escaped">x</div>
<picture><source srcset="//cdn.example/b.png 1x"><img src="{CDN}/a.png" alt=""></picture>
<svg width="10" height="10"><image href="{CDN}/a.png" width="10" height="10"/><use href="{OUTSIDE}/sprite.svg#x"/></svg>
<video poster="{OUTSIDE}/poster.png" src="{OUTSIDE}/film.mp4"></video><audio src="//outside.example/sound.mp3" autoplay></audio>
<object data="{OUTSIDE}/object.swf"></object><iframe id="frame" src="{CDN}/frame.html" title="a frame"></iframe>
<iframe id="docframe" title="a document frame" srcdoc="<p id=inside>inside</p><img src='{OUTSIDE}/srcdoc.png'><script>parent.document.body.dataset.srcdoc='ran'</script>"></iframe>
<form action="{OUTSIDE}/post" method="post"><button>Send</button></form><a id="link" href="{SITE}/en/vaccination">Schedule</a>
<a id="ping" href="{TORTURE}/second" ping="{OUTSIDE}/ping">Second</a><button id="leave">Leave</button><button id="open">Open</button><a id="js" href="javascript:document.body.dataset.js='ran'">js</a>
<noscript><p id="noscript">Shown without scripts</p><img src="{OUTSIDE}/noscript.png" alt=""></noscript>
<script>
const report = (name, value) => {{
  const item = document.createElement("li"); item.id = "r-" + name; item.textContent = name + ": " + value;
  document.getElementById("report").append(item);
}};
report("inline", "ran"); report("location", location.href); report("domain", document.domain);
document.write('<p id="written">written</p><img src="{OUTSIDE}/written.png" alt="">');
fetch("{CDN}/data.json").then(r => r.json()).then(d => report("fetch", d.word)).catch(e => report("fetch", "failed"));
fetch("{OUTSIDE}/leak?fetch", {{mode: "no-cors"}}).then(r => report("fetch-outside", r.status)).catch(() => report("fetch-outside", "refused"));
const xhr = new XMLHttpRequest(); xhr.open("GET", "//cdn.example/data.json"); xhr.onload = () => report("xhr", JSON.parse(xhr.responseText).word);
xhr.send();
const image = new Image(); image.onload = () => report("image", "loaded"); image.src = "{CDN}/b.png"; new Image().src = "{OUTSIDE}/pixel.gif?leak";
const lazy = document.getElementById("lazy"); lazy.onload = () => report("lazy", "loaded"); lazy.src = lazy.dataset.src;
navigator.sendBeacon("{OUTSIDE}/beacon", "leak");
try {{ new WebSocket("wss://outside.example/socket").onerror = () => report("socket", "refused") }} catch (e) {{ report("socket", "refused") }}
try {{ new EventSource("{OUTSIDE}/events") }} catch (e) {{ }}
try {{ const w = new Worker(URL.createObjectURL(new Blob(["fetch('{OUTSIDE}/worker').catch(()=>0);postMessage('up')"])));
  w.onmessage = () => report("worker", "up"); }} catch (e) {{ report("worker", "failed") }}
report("webrtc", typeof RTCPeerConnection);
try {{ const pc = new RTCPeerConnection({{iceServers: [{{urls: "stun:outside.example:3478"}}]}}); pc.createDataChannel("x");
  pc.createOffer().then(o => pc.setLocalDescription(o)) }} catch (e) {{ }}
const hint = document.createElement("link"); hint.rel = "preconnect"; hint.href = "https://hint5.example"; document.head.append(hint);
const css = document.createElement("link"); css.rel = "stylesheet"; css.href = "{OUTSIDE}/late.css"; document.head.append(css);
const script = document.createElement("script"); script.src = "{CDN}/late.js"; document.body.append(script);
document.getElementById("leave").onclick = () => {{ top.location = "{OUTSIDE}/top"; }};
document.getElementById("open").onclick = () => {{ report("window", window.open("{OUTSIDE}/popup") ? "opened" : "refused"); }};
</script>
<script type="module">import {{ word }} from "{CDN}/module.js"; report("module", word);</script>
<embed src="{OUTSIDE}/embed.swf"></body></html>"""
# The embed comes last: wabac 2.27 makes a frame of it and writes the frame's end tag into the next script.


_TORTURE_DRAWING = """<svg xmlns="http://www.w3.org/2000/svg"><text id="drawn" y="20">drawn</text>
<script>document.getElementById("drawn").textContent = "ran"; new WebSocket("wss://outside.example/drawing");</script></svg>"""


def torture_site() -> list[Answer]:
    """The page, and what of its two captured hosts it needs."""
    when = at(2025, 5, 6)
    cross = (("Access-Control-Allow-Origin", "*"),)
    css = "@import 'second.css'; h1 { color: rgb(1, 2, 3); background: url(../outside.png) }"
    return [
        Answer(f"{TORTURE}/", _TORTURE_PAGE, when),
        Answer(f"{TORTURE}/second", "<title>Second</title><h1>The second page</h1>", when),
        Answer(f"{CDN}/torture.css", css, when, mime="text/css"),
        Answer(f"{CDN}/second.css", "#report { margin-left: 11px }", when, mime="text/css"),
        Answer(f"{CDN}/imported.css", "h1 { letter-spacing: 3px }", when, mime="text/css"),
        Answer(f"{CDN}/a.png", png(200, 30, 30), when, mime="image/png"),
        Answer(f"{CDN}/b.png", png(30, 30, 200), when, mime="image/png"),
        Answer(f"{CDN}/icon.png", png(30, 200, 30), when, mime="image/png"),
        Answer(f"{CDN}/data.json", '{"word": "archived"}', when, mime="application/json", headers=cross),
        Answer(f"{CDN}/module.js", 'export const word = "archived";', when, mime="text/javascript", headers=cross),
        Answer(f"{CDN}/late.js", 'report("late", "ran");', when, mime="text/javascript"),
        Answer(f"{CDN}/frame.html", f"<p>framed</p><img src='{OUTSIDE}/frame.png'>", when),
        Answer(f"{TORTURE}/takeover.js", "addEventListener('fetch', (e) => e.respondWith(new Response('forged')))", when, mime="text/javascript"),
        Answer(f"{TORTURE}/drawing.svg", _TORTURE_DRAWING, when, mime="image/svg+xml"),
        Answer(f"{TORTURE}/nothing", "", when, status=204),
    ]  # fmt: skip


def furnish(instance: Instance) -> Archive:
    """Both sites archived, indexed and searchable, under sources with names for people."""
    with instance.db.write() as conn:
        sources.add(
            conn, name="hc", title="Health Example", seeds=[f"{SITE}/en/vaccination", f"{SITE}/fr/vaccination"], actor=ACTOR
        )
        sources.add(conn, name="torture", title="Awkward Pages", seeds=[f"{TORTURE}/"], actor=ACTOR)
    archive = Archive(instance)
    archive.add(health_site(), source="hc")
    archive.add(torture_site(), source="torture")
    archive.index()
    archive.engine.catch_up()
    return archive
