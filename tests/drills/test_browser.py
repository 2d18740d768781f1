"""Real Chromium reads the archive: search, a history, a replayed page and one that tries every way out, with scripts and without.

Every host but loopback leads into a trap, and every request is logged: nothing may leave the origin that the reader is on.
Screenshots are kept in `test-output/screenshots/`.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Frame, Page, Request, expect
from tests.rigs import exhibits
from tests.rigs.browser import Trap, axe_source, chromium
from tests.rigs.reading_room import ReadingRoom, reading_room
from tests.rigs.require import missing

from healtharchive.web import assets

pytestmark = pytest.mark.drill

SCREENSHOTS = Path(__file__).parents[2] / "test-output" / "screenshots"
HOME = f"{exhibits.SITE}/en/vaccination"
EDITION_2025 = "20250203140509"
TORTURE_AT = "20250506140509"
_WAIT_MS = 20_000
_CLIMB = """async (archived) => {
  const outside = document, told = {};
  // Later, because the debugger's own code may evaluate strings.
  await new Promise((done) => setTimeout(() => {
    try { window.eval("1"); told.eval = "ran"; } catch (error) { told.eval = error.name; }
    done();
  }, 0));
  const inline = outside.createElement("script");
  inline.textContent = "document.documentElement.dataset.climbed = 'yes'";
  outside.head.append(inline);
  told.inline = outside.documentElement.dataset.climbed ? "ran" : "blocked";
  const script = outside.createElement("script");
  told.archived = await new Promise((done) => {
    script.onload = () => done("ran"); script.onerror = () => done("blocked");
    script.src = archived; outside.head.append(script);
  });
  return told;
}"""


@pytest.fixture(scope="module")
def room(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ReadingRoom]:
    if assets.player() is None:
        missing("the replay player", "python -m healtharchive.web.assets")
    with reading_room(tmp_path_factory.mktemp("web") / "archive") as running:
        yield running


@pytest.fixture(scope="module")
def started() -> Iterator[tuple[Browser, Trap]]:
    with chromium() as pair:
        yield pair


@dataclass
class Reader:
    """One browser window of a new visitor, and everything it asked for."""

    page: Page
    requests: list[Request] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    def shoot(self, name: str, *, full: bool = False) -> None:
        SCREENSHOTS.mkdir(parents=True, exist_ok=True)
        self.page.screenshot(path=SCREENSHOTS / f"{name}.png", full_page=full)

    def foreign(self, *origins: str) -> list[str]:
        """Requests that went elsewhere. Those to data: and blob: go nowhere, nor do those that a policy stopped."""
        ours = tuple(f"{origin}/" for origin in origins)
        return [
            request.url
            for request in self.requests
            if not request.url.startswith((*ours, "data:", "blob:", "about:")) and request.failure != "csp"
        ]

    def copy(self) -> Frame:
        """The frame with the archived page, once it is there."""
        handle = self.page.locator("iframe#copy").element_handle(timeout=_WAIT_MS)
        frame = handle.content_frame()
        assert frame is not None
        frame.wait_for_load_state()
        return frame


@contextmanager
def reader(browser: Browser, **options: Any) -> Iterator[Reader]:
    context: BrowserContext = browser.new_context(**{"viewport": {"width": 1280, "height": 900}, **options})
    seen = Reader(context.new_page())
    context.on("request", lambda request: seen.requests.append(request))
    context.on("weberror", lambda error: seen.problems.append(str(error.error)))
    try:
        yield seen
    finally:
        context.close()


@pytest.fixture
def sealed(started: tuple[Browser, Trap]) -> Iterator[Browser]:
    """The browser; afterwards, nobody may have been in the trap."""
    browser, trap = started
    trap.caught.clear()
    yield browser
    assert trap.caught == []


# -- our own pages -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "query", "heading", "count"),
    [("en", "vaccination schedule", "Immunization schedule", "1 result"), ("fr", "rougeole", "Rougeole", "2 résultats")],
)
def test_search_finds_pages_in_the_readers_language(
    room: ReadingRoom, sealed: Browser, code: str, query: str, heading: str, count: str
) -> None:
    with reader(sealed, locale=code, java_script_enabled=False) as seen:
        page = seen.page
        page.goto(f"{room.public}/")
        assert page.url == f"{room.public}/{code}/", "the browser's language chooses"
        assert page.locator("html").get_attribute("lang") == code
        seen.shoot(f"home-{code}", full=True)
        page.locator("#q").fill(query)
        page.locator("form[role=search] button").click()
        expect(page.locator(".results-count")).to_have_text(count)
        expect(page.locator(".hit-title").first).to_have_text(heading)
        assert page.locator("mark").count() > 0
        seen.shoot(f"search-{code}", full=True)
        page.locator(".switch").click()
        other = "fr" if code == "en" else "en"
        assert page.url.startswith(f"{room.public}/{other}/search?q=")
        assert page.locator("html").get_attribute("lang") == other
        assert seen.foreign(room.public) == []
        assert page.context.cookies() == []


def test_filters_narrow_and_can_be_removed(room: ReadingRoom, sealed: Browser) -> None:
    with reader(sealed) as seen:
        page = seen.page
        page.goto(f"{room.public}/en/search?q=vaccination")
        everything = page.locator(".results-count").inner_text()
        page.locator(".facet a", has_text="French").click()
        assert "language=fr" in page.url
        assert page.locator(".results-count").inner_text() != everything
        seen.shoot("search-filtered-en", full=True)
        page.locator(".chip.is-on").click()
        assert page.locator(".results-count").inner_text() == everything
        page.goto(f"{room.public}/en/search?q=topic")
        page.locator("a[rel=next]").click()
        expect(page.locator(".hit")).to_have_count(4)


@pytest.mark.parametrize("code", ["en", "fr"])
def test_history_tells_changed_from_unchanged(room: ReadingRoom, sealed: Browser, code: str) -> None:
    with reader(sealed, java_script_enabled=False) as seen:
        page = seen.page
        page.goto(f"{room.public}/{code}/history?url=health.example/en/vaccination")
        kinds = [item.get_attribute("class") for item in page.locator(".visit").all()]
        assert [str(kind).removeprefix("visit is-") for kind in kinds] == [
            "changed", "unchanged", "changed", "unchanged", "error", "unchanged", "first",
        ]  # fmt: skip
        assert [year.inner_text() for year in page.locator(".year h2").all()] == ["2025", "2024", "2023"]
        seen.shoot(f"history-{code}", full=True)
        href = page.locator(".visit time a").first.get_attribute("href")
        assert href == f"{room.replay}/{code}/hc/20250930140509/{HOME}"
        assert seen.foreign(room.public) == []


# -- replay ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "date", "unofficial"),
    [("en", "February 3, 2025", "Not an official site"), ("fr", "3 février 2025", "Pas un site officiel")],
)
def test_a_copy_replays_with_its_scripts_under_our_bar(
    room: ReadingRoom, sealed: Browser, code: str, date: str, unofficial: str
) -> None:
    with reader(sealed) as seen:
        page = seen.page
        page.goto(f"{room.replay}/{code}/hc/{EDITION_2025}/{HOME}")
        copy = seen.copy()
        expect(copy.locator("#enhanced")).to_have_text("Enhanced by script.", timeout=_WAIT_MS)
        assert copy.evaluate("getComputedStyle(document.querySelector('header')).backgroundColor") == "rgb(18, 69, 107)"
        assert copy.evaluate("document.images[0].naturalWidth") == 8
        assert page.locator("#bar-date").inner_text() == date
        assert page.locator("#bar-source").inner_text() == "Health Example"
        expect(page.locator(".bar-unofficial")).to_have_text(unofficial)
        seen.shoot(f"replay-{code}")
        assert any(f"/hc/{EDITION_2025}ir_/{HOME}" in r.url for r in seen.requests), "the worker reads our raw endpoint"
        assert seen.foreign(room.replay) == []
        assert seen.problems == []


def test_the_bar_follows_the_reader_from_copy_to_copy(room: ReadingRoom, sealed: Browser) -> None:
    with reader(sealed) as seen:
        page = seen.page
        page.goto(f"{room.replay}/en/hc/{EDITION_2025}/{HOME}")
        seen.copy().locator("nav a", has_text="Measles").click()
        # The nearest copy of that page is a year older: the bar must say so.
        expect(page.locator("#bar-date")).to_have_text("January 15, 2024", timeout=_WAIT_MS)
        expect(page.locator("#bar-url")).to_have_text("health.example/en/measles")
        assert page.url == f"{room.replay}/en/hc/20240115140509/{exhibits.SITE}/en/measles"
        page.locator("#bar-history").click()
        assert page.url.startswith(f"{room.public}/en/history?url=")
        assert seen.foreign(room.replay, room.public) == []


def test_archived_redirects_and_errors_show_what_was_archived(room: ReadingRoom, sealed: Browser) -> None:
    with reader(sealed) as seen:
        seen.page.goto(f"{room.replay}/en/hc/20240115/{exhibits.SITE}/en/old-schedule")
        expect(seen.copy().locator("h1")).to_have_text("Vaccination schedule", timeout=_WAIT_MS)
        seen.page.goto(f"{room.replay}/en/hc/20240115/{exhibits.SITE}/en/forbidden")
        expect(seen.copy().locator("h1")).to_have_text("Members only", timeout=_WAIT_MS)
        assert seen.foreign(room.replay) == []


def test_a_document_opens_in_the_browsers_own_viewer(room: ReadingRoom, sealed: Browser) -> None:
    with reader(sealed) as seen:
        page = seen.page
        page.goto(f"{room.replay}/en/hc/2024/{exhibits.SITE}/en/leaflets")
        seen.copy().locator("a").click()
        expect(page.locator("#document-note")).to_contain_text("This copy is a document (PDF,", timeout=_WAIT_MS)
        assert page.url == f"{room.replay}/en/hc/20240115140509/{exhibits.SITE}/files/leaflet.pdf"
        page.wait_for_timeout(1_500)  # the viewer is no page of ours to wait for
        seen.shoot("document-en")
        page.goto(f"{room.replay}/fr/hc/2024/{exhibits.SITE}/files/data.zip")
        expect(page.locator(".stage-file a")).to_have_text("Le télécharger")


@pytest.mark.parametrize("how", ["no scripts in the browser", "asked for"])
def test_a_copy_reads_without_scripts(room: ReadingRoom, sealed: Browser, how: str) -> None:
    asked = how == "asked for"
    with reader(sealed, java_script_enabled=asked) as seen:
        page = seen.page
        page.goto(f"{room.replay}/en/hc/{EDITION_2025}{'nj_' if asked else ''}/{HOME}")
        shown = page.frame_locator("iframe:not([hidden])")
        expect(shown.locator("h1")).to_have_text("Vaccination schedule", timeout=_WAIT_MS)
        expect(shown.locator("#enhanced")).to_have_text("")
        expect(page.locator("#bar-date")).to_have_text("February 3, 2025")
        if asked:
            # A link takes the whole window along, so that the bar is always that of the copy in the frame.
            shown.locator("nav a", has_text="Measles").click()
            expect(page.locator("#bar-date")).to_have_text("January 15, 2024", timeout=_WAIT_MS)
        seen.shoot(f"plain-{'asked' if asked else 'noscript'}-en")
        assert seen.foreign(room.replay) == []


# -- a page that tries to get out --------------------------------------------------------------------------------------


def test_the_torture_page_works_and_stays_inside(room: ReadingRoom, sealed: Browser) -> None:
    with reader(sealed) as seen:
        page = seen.page
        page.goto(f"{room.replay}/en/torture/{TORTURE_AT}/{exhibits.TORTURE}/")
        copy = seen.copy()
        told = copy.locator("#report")
        for line in (
            "inline: ran",
            "fetch: archived",
            "xhr: archived",
            "module: archived",
            "late: ran",
            "worker: up",
            "image: loaded",
        ):
            expect(told).to_contain_text(line, timeout=_WAIT_MS)
        expect(told).to_contain_text(f"location: {exhibits.TORTURE}/")
        expect(told).to_contain_text("webrtc: undefined")
        assert copy.evaluate("document.getElementById('written').textContent") == "written"
        assert copy.evaluate("document.getElementById('set').naturalWidth") in (4, 8)  # either candidate
        assert copy.evaluate("document.getElementById('lazy').naturalWidth") == 8
        assert copy.evaluate("getComputedStyle(document.querySelector('h1')).color") == "rgb(1, 2, 3)"
        assert copy.evaluate("getComputedStyle(document.querySelector('h1')).letterSpacing") == "3px"
        assert copy.evaluate("getComputedStyle(document.getElementById('report')).marginLeft") == "11px"
        page.wait_for_timeout(2_000)  # beacons, events and late fetches
        seen.shoot("torture-scripted", full=True)
        # An archived script can reach the page around it; what it puts there must not run.
        climbs = page.evaluate(_CLIMB, f"/torture/{TORTURE_AT}ir_/{exhibits.CDN}/late.js")
        assert climbs == {"eval": "EvalError", "inline": "blocked", "archived": "blocked"}
        copy.locator("#leave").click()
        expect(page.locator("#bar-date")).to_have_text("This address was never captured", timeout=_WAIT_MS)
        assert page.url.startswith(f"{room.replay}/en/torture/"), "the page could not take the window away"
        seen.shoot("torture-left")
        assert seen.foreign(room.replay) == []


def test_the_torture_page_without_scripts_runs_and_fetches_nothing(room: ReadingRoom, sealed: Browser) -> None:
    with reader(sealed) as seen:
        page = seen.page
        page.goto(f"{room.replay}/en/torture/{TORTURE_AT}nj_/{exhibits.TORTURE}/")
        copy = seen.copy()
        expect(copy.locator("#noscript")).to_be_visible(timeout=_WAIT_MS)
        assert copy.locator("script").count() == 0
        assert copy.locator("#report li").count() == 0
        for picture in ("absolute", "relative-protocol", "set", "lazy"):
            assert copy.locator(f"#{picture}").evaluate("image => image.naturalWidth") in (4, 8), picture
        expect(copy.frame_locator("#frame").locator("p")).to_have_text("framed")
        expect(copy.frame_locator("#docframe").locator("#inside")).to_have_text("inside")
        page.wait_for_timeout(1_000)
        seen.shoot("torture-plain", full=True)
        assert seen.foreign(room.replay) == []
        assert page.url.startswith(f"{room.replay}/en/torture/")


_CLIENT_ORDERS = """async () => {
  const container = parent.navigator.serviceWorker, told = [];
  container.addEventListener("message", (event) => told.push(event.data.msg_type));
  container.startMessages();
  for (const order of [
    { msg_type: "addColl", name: "hc", type: "live", skipExisting: false, file: { sourceUrl: `proxy:${location.origin}/x/` } },
    { msg_type: "removeColl", name: "torture" },
    { msg_type: "listAll" },
  ]) container.controller.postMessage(order);
  const answer = await parent.fetch("/api/c/torture", { method: "DELETE" });
  const register = Object.getPrototypeOf(container).register;
  const workers = [];
  for (const path of ["/-/worker/torture/ir_/", "/torture/ir_/", "/-/plain/en/torture//", "/-/document/en/torture//"]) {
    try { await register.call(container, `${location.origin}${path}https://torture.example/takeover.js`); workers.push(path); }
    catch { /* as it should be */ }
  }
  await new Promise((done) => setTimeout(done, 1000));
  return { told, api: answer.status, workers };
}"""


def test_the_worker_takes_no_orders_from_an_archived_page(room: ReadingRoom, sealed: Browser) -> None:
    with reader(sealed) as seen:
        seen.page.goto(f"{room.replay}/en/torture/{TORTURE_AT}/{exhibits.TORTURE}/second")
        copy = seen.copy()
        expect(copy.locator("h1")).to_have_text("The second page", timeout=_WAIT_MS)
        assert copy.evaluate(_CLIENT_ORDERS) == {"told": [], "api": 404, "workers": []}


@pytest.mark.parametrize("form", ["ir_", "id_"])
def test_raw_is_raw_also_when_the_worker_runs(room: ReadingRoom, sealed: Browser, form: str) -> None:
    with reader(sealed) as seen:
        page = seen.page
        page.goto(f"{room.replay}/en/torture/{TORTURE_AT}/{exhibits.TORTURE}/second")
        expect(seen.copy().locator("h1")).to_be_visible(timeout=_WAIT_MS)
        answer = page.goto(f"{room.replay}/torture/{TORTURE_AT}{form}/{exhibits.TORTURE}/")
        assert answer is not None
        assert answer.from_service_worker
        assert answer.headers["content-security-policy"].startswith("sandbox; default-src 'none'")
        assert page.locator("#report li").count() == 0


def test_a_copy_in_a_window_of_its_own_comes_under_the_bar(room: ReadingRoom, sealed: Browser) -> None:
    with reader(sealed) as seen:
        page = seen.page
        page.goto(f"{room.replay}/en/torture/{TORTURE_AT}/{exhibits.TORTURE}/second")
        expect(seen.copy().locator("h1")).to_be_visible(timeout=_WAIT_MS)
        page.goto(f"{room.replay}/torture/{TORTURE_AT}mp_/{exhibits.TORTURE}/second?a=1")
        assert page.url == f"{room.replay}/torture/{TORTURE_AT}/{exhibits.TORTURE}/second?a=1"


def test_a_drawing_opens_without_its_scripts(room: ReadingRoom, sealed: Browser) -> None:
    with reader(sealed) as seen:
        seen.page.goto(f"{room.replay}/en/torture/{TORTURE_AT}/{exhibits.TORTURE}/drawing.svg")
        expect(seen.page.locator("#note")).to_be_hidden(timeout=_WAIT_MS)
        assert seen.copy().locator("#drawn").text_content() == "drawn"


def test_a_copy_without_a_body_does_not_keep_the_reader_waiting(room: ReadingRoom, sealed: Browser) -> None:
    with reader(sealed) as seen:
        seen.page.goto(f"{room.replay}/en/torture/{TORTURE_AT}/{exhibits.TORTURE}/nothing")
        expect(seen.page.locator("#copy")).to_be_visible(timeout=_WAIT_MS)
        expect(seen.page.locator("#note")).to_be_hidden(timeout=_WAIT_MS)


# -- honest absence ----------------------------------------------------------------------------------------------------


def test_never_captured_and_captured_but_away_are_two_answers(room: ReadingRoom, sealed: Browser) -> None:
    with reader(sealed) as seen:
        page = seen.page
        answer = page.goto(f"{room.replay}/fr/hc/2025/https://health.example/never")
        assert answer is not None
        assert answer.status == 404
        assert page.locator("h1").inner_text() == "Cette adresse n’a jamais été capturée"
        assert page.locator("h2").inner_text() == "This address was never captured"
        assert page.locator("section").nth(1).get_attribute("lang") == "en"
        seen.shoot("never-captured-fr")
        warcs = room.root / "jobs" / "hc"
        away = warcs.rename(warcs.with_name("hc-away"))
        try:
            answer = page.goto(f"{room.replay}/en/hc/{EDITION_2025}/{HOME}")
            assert answer is not None
            assert answer.status == 503
            assert answer.headers["retry-after"]
            assert page.locator("h1").inner_text() == "Captured, but its storage is away"
            seen.shoot("storage-away-en")
        finally:
            away.rename(warcs)


# -- accessibility -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("code", ["en", "fr"])
def test_every_page_passes_axe_at_wcag_22_aa(room: ReadingRoom, sealed: Browser, code: str, scheme: str) -> None:
    paths = [
        f"{room.public}/{code}/",
        f"{room.public}/{code}/search?q=vaccination&language=en&from=20x5",
        f"{room.public}/{code}/history?url={HOME}",
        f"{room.public}/{code}/history?url=nonsense",
        f"{room.public}/{code}/snapshot/1",
        f"{room.public}/{code}/sources",
        f"{room.public}/{code}/about",
        f"{room.public}/{code}/data",
        f"{room.public}/{code}/nothing",
        f"{room.replay}/{code}/hc/{EDITION_2025}nj_/{HOME}",
        f"{room.replay}/{code}/hc/2025/https://health.example/never",
    ]
    axe = axe_source()
    found: list[str] = []
    # The checker is a script, which our own policy rightly forbids on these pages.
    with reader(sealed, bypass_csp=True, color_scheme=scheme) as seen:
        for path in paths:
            seen.page.goto(path)
            seen.page.evaluate(axe)
            tags = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
            result = seen.page.evaluate("tags => axe.run(document, {runOnly: tags, iframes: false})", tags)
            for violation in result["violations"]:
                found += [f"{path} {violation['id']}: {node['target']} {node['html'][:120]}" for node in violation["nodes"]]
    assert found == []


@pytest.mark.parametrize("path", ["/en/", "/en/search?q=vaccination", f"/en/history?url={HOME}", "/en/snapshot/1", "/fr/sources"])
def test_pages_fit_a_narrow_screen(room: ReadingRoom, sealed: Browser, path: str) -> None:
    with reader(sealed, viewport={"width": 320, "height": 640}, color_scheme="dark") as seen:
        seen.page.goto(f"{room.public}{path}")
        overflow = seen.page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        name = path.strip("/").partition("?")[0].replace("/", "-")
        seen.shoot(f"narrow-dark-{name}", full=True)
        assert overflow <= 0


def test_the_bar_leaves_room_for_the_copy_on_a_narrow_screen(room: ReadingRoom, sealed: Browser) -> None:
    with reader(sealed, viewport={"width": 360, "height": 640}) as seen:
        seen.page.goto(f"{room.replay}/fr/hc/{EDITION_2025}nj_/{HOME}")
        seen.copy()
        height = seen.page.locator(".bar").evaluate("bar => bar.offsetHeight")
        seen.shoot("narrow-replay-fr")
        assert height < 160, "a quarter of the screen"
        assert seen.page.evaluate("document.documentElement.scrollWidth") <= 360
