"""What our engine and our exports write, in the hands of the tools that everybody else uses."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
import urllib.request
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.rigs.browser import chromium
from tests.rigs.nginx import Nginx, Site, nginx
from tests.rigs.operated import Operated
from tests.rigs.pywb import pywb
from tests.rigs.require import require
from tests.rigs.sites import DEBIAN_REFERENCE_EN, DEBIAN_REFERENCE_FR

from healtharchive import web
from healtharchive.access import captures
from healtharchive.access.model import Capture
from healtharchive.warc import cdxj
from healtharchive.warc.coding import decode
from healtharchive.warc.reader import read
from healtharchive.warc.verify import verify

pytestmark = pytest.mark.drill

SITES = (DEBIAN_REFERENCE_EN, DEBIAN_REFERENCE_FR)
# A page of every kind of answer that a replay tool must carry.
ODD_LOCATIONS = """
        location = /moved { return 301 /index.html; }
        location = /gone { return 410 "no longer here"; }
        location = /empty { return 204; }
        location = /refused { return 403; }
"""


@dataclass(frozen=True)
class Crawled:
    """Two real sites, one of them crawled twice, and a small one with odd answers."""

    archive: Operated
    server: Nginx


@pytest.fixture(scope="module")
def crawled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Crawled]:
    directory = tmp_path_factory.mktemp("clients")
    odd = directory / "odd"
    odd.mkdir()
    links = "".join(
        f'<a href="{path}">{path}</a> ' for path in ("moved", "gone", "empty", "refused", "none", "caf%C3%A9.html?q=a b")
    )
    (odd / "index.html").write_text(f"<!doctype html><title>Odd</title>{links}")
    (odd / "café.html").write_text("<!doctype html><title>Café</title><p>Un café crème.")
    sites = [*(site.serve() for site in SITES), Site("odd", odd, extra=ODD_LOCATIONS)]
    with nginx(directory / "nginx", *sites) as server:
        archive = Operated.create(directory / "instance")
        for name in ("debian-reference-en", "debian-reference-fr", "odd", "debian-reference-en"):
            archive.capture(server.url(name), name)
        yield Crawled(archive, server)


def tool(name: str) -> Path:
    return require(Path(sys.executable).with_name(name), "make setup")


def run(*command: str | Path) -> str:
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, f"{command} ended with {done.returncode}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
    return done.stdout


def test_the_second_edition_is_made_of_revisits(crawled: Crawled) -> None:
    """Else the tests below would say nothing about them."""
    kinds = [record.kind for warc in crawled.archive.warcs() for record in read(warc)]
    assert kinds.count("revisit") > 20
    assert kinds.count("response") > 40
    assert kinds[0] == "warcinfo"


def test_the_second_edition_has_every_url_of_the_first(crawled: Crawled) -> None:
    """Also those whose pages had the bytes of another URL, although pages that had not changed name no links."""
    urls: dict[int, set[str]] = {}
    with crawled.archive.opened() as instance, instance.db.read() as conn:
        for capture in captures.iterate(conn, "debian-reference-en"):
            urls.setdefault(capture.job_id, set()).add(capture.url)
    first, second = (urls[job_id] for job_id in sorted(urls))
    assert len(first) > 20
    assert first - second == set()


def test_warcio_check_passes_on_every_warc(crawled: Crawled) -> None:
    warcs = crawled.archive.warcs()
    assert len(warcs) >= 4
    printed = run(tool("warcio"), "check", "-v", *warcs)
    assert "digest pass" in printed
    assert "failed" not in printed


def test_our_own_verification_agrees(crawled: Crawled) -> None:
    for warc in crawled.archive.warcs():
        found = verify(warc)
        assert (found.findings, found.notes) == ((), ())
        assert found.digest_count > found.record_count / 2


def test_fastwarc_check_passes_on_every_warc(crawled: Crawled) -> None:
    for warc in crawled.archive.warcs():
        run(tool("fastwarc"), "check", warc)


def test_cdxj_indexer_and_our_cdxj_agree(crawled: Crawled) -> None:
    """On URL, offset, length and digest, and on the key and the time that tools look them up by."""
    theirs = [cdxj.parse(line) for line in run(tool("cdxj-indexer"), "-s", *crawled.archive.warcs()).splitlines()]
    ours = [cdxj.parse(line) for line in crawled.archive.run("export", "cdxj").splitlines()]
    wanted = ("url", "offset", "length", "digest", "filename")
    place = [(key, timestamp, *(fields.get(name) for name in wanted)) for key, timestamp, fields in theirs]
    assert len(ours) > 60
    assert sorted((key, timestamp, *(fields.get(name) for name in wanted)) for key, timestamp, fields in ours) == sorted(place)


def test_our_cdxj_of_the_files_equals_that_of_cdxj_indexer(crawled: Crawled) -> None:
    warcs = crawled.archive.warcs()
    assert "".join(cdxj.sorted_lines(warcs)) == run(tool("cdxj-indexer"), "-s", *warcs)


def test_our_cdxj_is_sorted_by_bytes(crawled: Crawled) -> None:
    lines = [line.encode() for line in crawled.archive.run("export", "cdxj").splitlines()]
    prefixes = [line.partition(b" {")[0] for line in lines]
    assert prefixes == sorted(prefixes)


def pages_of(crawled: Crawled, *names: str) -> list[Capture]:
    with crawled.archive.opened() as instance, instance.db.read() as conn:
        return [capture for name in names for capture in captures.iterate(conn, name) if capture.is_page]


def test_pywb_replays_ten_pages_byte_for_byte(crawled: Crawled, tmp_path: Path) -> None:
    index = crawled.archive.run("export", "cdxj")
    captured = pages_of(crawled, *(site.name for site in SITES))
    pages = [page for page in captured if page.record_type == "response" and page.status == 200][::3]
    assert len(pages) >= 10
    with pywb(tmp_path / "pywb", crawled.archive.warcs(), index) as collection:
        for page in pages:
            assert fetched(f"{collection}/{page.timestamp}id_/{page.url}") == fetched(page.url), page.url


def test_pywb_replays_the_second_edition_too(crawled: Crawled, tmp_path: Path) -> None:
    """Its visits found nothing changed; pywb has no page for them, unless the index leads it to what they refer to."""
    revisits = [page for page in pages_of(crawled, "debian-reference-en") if page.is_revisit]
    index = crawled.archive.run("export", "cdxj", "--for-replay")
    assert len(revisits) > 10
    with pywb(tmp_path / "pywb", crawled.archive.warcs(), index) as collection:
        for page in revisits[:5]:
            assert fetched(f"{collection}/{page.timestamp}id_/{page.url}") == fetched(page.url), page.url


def test_pywb_finds_every_capture_of_our_index(crawled: Crawled, tmp_path: Path) -> None:
    index = crawled.archive.run("export", "cdxj", "--source", "odd")
    statuses = {}
    with pywb(tmp_path / "pywb", crawled.archive.warcs(), index) as collection:
        for line in index.splitlines():
            _, timestamp, fields = cdxj.parse(line)
            statuses[fields["url"].removeprefix(crawled.server.url("odd"))] = status_of(
                f"{collection}/{timestamp}id_/{fields['url']}"
            )
    wanted = {"": 200, "moved": 301, "gone": 410, "empty": 204, "refused": 403, "none": 404, "caf%C3%A9.html?q=a%20b": 200}
    assert {path: statuses.get(path) for path in wanted} == wanted


def test_wacz_validate_accepts_our_export(crawled: Crawled, tmp_path: Path) -> None:
    output = tmp_path / "everything.wacz"
    crawled.archive.run("export", "wacz", "--output", str(output))
    assert "is valid" in run(tool("wacz"), "validate", "-f", output)
    with zipfile.ZipFile(output) as archive:
        names = {name.rpartition("/")[2] for name in archive.namelist() if name.startswith("archive/")}
        assert names == {warc.name for warc in crawled.archive.warcs()}
        pages = archive.read("pages/pages.jsonl").decode().splitlines()
    assert len(pages) > 50  # both editions, whether a page had changed or not
    assert json.loads(pages[1])["title"]


def test_a_wacz_of_one_job_brings_what_its_revisits_refer_to(crawled: Crawled, tmp_path: Path) -> None:
    pages = pages_of(crawled, "debian-reference-en")
    job_id = max(page.job_id for page in pages)
    chosen = [page for page in pages if page.job_id == job_id and page.is_revisit]
    output = tmp_path / "second.wacz"
    done = crawled.archive.run("--json", "export", "wacz", "--job", str(job_id), "--output", str(output))
    summary = json.loads(done)["summary"]
    assert summary["referred"] > 20
    assert summary["missing"] == 0
    assert "is valid" in run(tool("wacz"), "validate", "-f", output)
    assert len(chosen) > 10
    assert read_through_player(tmp_path, output, chosen[::4]) == originals(chosen[::4])


# In the page: start the player's service worker, give it a WACZ, then ask for originals; SHA-256 of each in hex.
READ_THROUGH_PLAYER = """async ([wacz, captures]) => {
    await navigator.serviceWorker.register("/sw.js?replayPrefix=w", {scope: "/"});
    const worker = (await navigator.serviceWorker.ready).active;
    if (!navigator.serviceWorker.controller)
        await new Promise(done => navigator.serviceWorker.addEventListener("controllerchange", done, {once: true}));
    await new Promise((done, failed) => {
        navigator.serviceWorker.addEventListener("message", ({data}) => {
            if (data.msg_type === "collAdded") done();
            if (data.error) failed(new Error(data.error));
        });
        worker.postMessage({msg_type: "addColl", name: "ours", file: {sourceUrl: wacz}});
    });
    const digests = [];
    for (const [timestamp, url] of captures) {
        const response = await fetch(`/w/ours/${timestamp}id_/${url}`);
        const digest = await crypto.subtle.digest("SHA-256", await response.arrayBuffer());
        digests.push(Array.from(new Uint8Array(digest), byte => byte.toString(16).padStart(2, "0")).join(""));
    }
    return digests;
}"""


def read_through_player(directory: Path, wacz: Path, pages: Sequence[Capture]) -> list[tuple[str, str, str]]:
    """Time, URL and SHA-256 of what the player of ReplayWeb.page gives for each page out of a WACZ."""
    root = directory / "player"
    root.mkdir()
    shutil.copyfile(require(Path(web.__file__).parent / "static" / "vendor" / "sw.js", "make frontend"), root / "sw.js")
    (root / "index.html").write_text("<!doctype html><title>Player</title>")
    (root / "archive.wacz").symlink_to(wacz)
    with nginx(directory / "nginx", Site("player", root)) as server, chromium() as (browser, _):
        tab = browser.new_page()
        tab.goto(server.url("player"))
        asked = [[page.timestamp, page.url] for page in pages]
        digests = tab.evaluate(READ_THROUGH_PLAYER, [server.url("player", "/archive.wacz"), asked])
    return [(page.timestamp, page.url, digest) for page, digest in zip(pages, digests, strict=True)]


def originals(pages: Sequence[Capture]) -> list[tuple[str, str, str]]:
    return [(page.timestamp, page.url, hashlib.sha256(fetched(page.url)).hexdigest()) for page in pages]


def test_the_player_of_replaywebpage_reads_our_wacz_byte_for_byte(crawled: Crawled, tmp_path: Path) -> None:
    """Both editions, so also visits that found nothing changed, and a page that has the bytes of another URL."""
    output = tmp_path / "everything.wacz"
    crawled.archive.run("export", "wacz", "--output", str(output))
    captured = [page for page in pages_of(crawled, *(site.name for site in SITES)) if page.status in (200, 304)]
    pages = [page for number, page in enumerate(captured) if number % 3 == 0 or page.url.endswith("/index.en.html")]
    assert len(pages) >= 10
    assert read_through_player(tmp_path, output, pages) == originals(pages)


def fetched(url: str) -> bytes:
    """The body of a URL, without its content coding."""
    request = urllib.request.Request(url, headers={"Accept-Encoding": "gzip"})
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=30) as response:
        body = response.read()
        assert isinstance(body, bytes)
        return decode([body], response.headers.get("Content-Encoding", ""), limit=10**9)


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *arguments: object) -> None:
        return None


def status_of(url: str) -> int:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), _NoRedirects())
    try:
        with opener.open(url, timeout=30) as response:
            return int(response.status)
    except urllib.error.HTTPError as error:
        return error.code
