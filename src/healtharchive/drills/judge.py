"""What the demo claims, one function a claim: each reads the archive back or counts the site's own log."""

from __future__ import annotations

import urllib.error
import urllib.request
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import quote, urlsplit

from healtharchive.access import captures, query
from healtharchive.access.model import Capture
from healtharchive.access.search import open_search
from healtharchive.crawl import ledger
from healtharchive.crawl.engine import FRONTIER_FILE, UrlState
from healtharchive.crawl.ledger import FrontierUrl
from healtharchive.drills.site.content import Edition, pages, site
from healtharchive.instance import Instance
from healtharchive.jobs import queries
from healtharchive.jobs.model import FailureClass, Job, Kind
from healtharchive.storage import spool
from healtharchive.warc.verify import Level, verify

if TYPE_CHECKING:
    from healtharchive.drills.demo import Played

_FETCH_SECONDS: Final = 10
_ARCHIVED: Final = (UrlState.CAPTURED, UrlState.UNCHANGED)

# What is asked, and the page that must come first.
SEARCHES: Final = (
    ("English", "dehydration", "/en/extreme-heat"),
    ("English, another form of the word", "vaccinated influenza", "/en/influenza"),
    ("French", "déshydratation", "/fr/chaleur-extreme"),
    ("French without accents", "deshydratation", "/fr/chaleur-extreme"),
    ("French, another form of the word", "engelures", "/fr/froid-hivernal"),
    ("a phrase", '"station de pompage"', "/fr/eau-potable"),
    ("inside a PDF", "manivelle", "/files/booklet-fr.pdf"),
    ("what only the sitemap knew", "sitemap knows this address", "/en/about"),
)


@dataclass(frozen=True)
class Assertion:
    """Something that must be so, whether it is, and what was seen."""

    claim: str
    holds: bool
    seen: str


def judge(done: Played) -> tuple[Assertion, ...]:
    """Every claim, in the order of the story."""
    return tuple(claim(done) for claim in _CLAIMS)


def _first_edition_whole(done: Played) -> Assertion:
    missing = _not_archived(done.instance, done.first, done.site.url, pages(1))
    return _nothing("Edition 1: every page is archived", missing, f"{len(pages(1))} pages")


def _kill_was_real(done: Played) -> Assertion:
    with done.instance.db.read() as conn:
        crawls = [each for each in queries.attempts(conn, done.second.id) if each.kind is Kind.CRAWL]
    killed = crawls[0]
    real = len(crawls) > 1 and done.killed.pending > 0 and str(done.killed.process) == killed.process and bool(killed.ended_at)
    return Assertion("The crawler was killed in mid-crawl", real, f"{done.killed.pending} URLs to go; {len(crawls)} attempts")


def _budget_untouched(done: Played) -> Assertion:
    with done.instance.db.read() as conn:
        ended = [each for each in queries.attempts(conn, done.second.id) if each.failure_class is not None]
    classes = {each.failure_class for each in ended}
    seen = "; ".join(f"attempt {each.n}: {each.reason}" for each in ended)
    return Assertion("The kill cost no retry: it was not the site's fault", classes == {FailureClass.INFRA}, seen)


def _second_edition_whole(done: Played) -> Assertion:
    missing = _not_archived(done.instance, done.second, done.site.url, pages(2))
    return _nothing("Edition 2: no page was lost", missing, f"{len(pages(2))} pages")


def _nothing_fetched_twice(done: Played) -> Assertion:
    """Finished before the kill means: not one visit more after it. The log is the site's."""
    after = done.site.counts(2)
    again = [path for path in map(_path, done.killed.finished) if after[path] > done.killed.visits[path]]
    return _nothing("No finished page was fetched again", again, f"{len(done.killed.finished)} were finished")


def _fetched_at_most_once_more(done: Played) -> Assertion:
    """Only what was in flight when the crawler died may be asked for twice; robots.txt is asked for by every attempt."""
    in_flight = done.instance.settings.crawl.connections
    twice = [path for path, visits in done.site.counts(2).items() if visits > 1 and path != "/robots.txt"]
    many = [path for path in twice if done.site.counts(2)[path] > 2]
    return Assertion(
        "Only what was in flight was asked for twice",
        len(twice) <= in_flight and not many,
        f"{len(twice)} URLs: {', '.join(twice) or '-'}",
    )


def _ledgers_balance(done: Played) -> Assertion:
    seen, good = [], True
    for job in (done.first, done.second):
        counts = ledger.ledger(_frontier(done.instance, job))
        listed = list(ledger.urls(_frontier(done.instance, job)))
        good &= sum(counts.values()) == len(listed) == len({each.url for each in listed}) and not counts.get(UrlState.PENDING)
        seen.append(" + ".join(f"{count} {state}" for state, count in counts.items() if count) + f" = {len(listed)}")
    return Assertion("Both ledgers balance, nothing is pending", good, "; ".join(seen))


def _unchanged_are_revisits(done: Played) -> Assertion:
    same = {path for path in set(pages(1)) & set(pages(2)) if site(1)[path].body == site(2)[path].body}
    states = _states(done.instance, done.second)
    wrong = [path for path in sorted(same) if states.get(path) is not UrlState.UNCHANGED]
    wrong += [path for path in sorted(set(pages(2)) - same) if states.get(path) is not UrlState.CAPTURED]
    return _nothing("Unchanged pages are revisits, changed ones captures", wrong, f"{len(same)} and {len(pages(2)) - len(same)}")


def _gone_is_told(done: Played) -> Assertion:
    gone = sorted(set(pages(1)) - set(pages(2)))
    states = _states(done.instance, done.second)
    return _nothing(
        "What the site removed is known as gone",
        [path for path in gone if states.get(path) is not UrlState.GONE],
        ", ".join(gone),
    )


def _robots_obeyed(done: Played) -> Assertion:
    visited = [path for edition in (1, 2) for path in done.site.counts(_edition(edition)) if path.startswith("/private/")]
    known = _states(done.instance, done.second).get("/private/roster")
    return Assertion(
        "What robots.txt forbids was not visited", not visited and known is UrlState.ROBOTS, f"/private/roster: {known}"
    )


def _trap_parked(done: Played) -> Assertion:
    parked = [each for each in ledger.urls(_frontier(done.instance, done.first)) if each.state is UrlState.TRAP]
    visits = sum(count for path, count in done.site.counts(1).items() if "?" in path)
    seen = f"{len(parked)} parked ({', '.join(sorted({each.rule for each in parked}))}), {visits} visits"
    return Assertion("The endless tide tables ended", bool(parked) and visits <= 12, seen)


def _warcs_verify(done: Played) -> Assertion:
    with done.instance.db.read() as conn:
        warcs = spool.warcs_of(conn)
    looked = [verify(done.instance.jobs_root / warc.path, Level.DIGESTS) for warc in warcs]
    bad = [f"{found.path.name}: {found.findings[0].message}" for found in looked if not found.ok]
    return _nothing(
        "Every WARC is whole, every digest holds",
        bad,
        f"{len(looked)} WARCs, {sum(found.digest_count for found in looked)} digests",
    )


def _search_agrees(done: Played) -> Assertion:
    search = open_search(done.instance)
    search.catch_up()
    return Assertion("Search and database agree", search.agrees(), f"{search.count()} documents")


def _search_finds(language: str, asked: str, wanted: str) -> Callable[[Played], Assertion]:
    def claim(done: Played) -> Assertion:
        page = open_search(done.instance).search(query.parse(asked), limit=3)
        first = urlsplit(page.hits[0].capture.url).path if page.hits else "nothing"
        return Assertion(f"Search, {language}: {asked}", first == wanted, first)

    return claim


def _old_text_at_old_date(done: Played) -> Assertion:
    old = _fetch(_raw(done, "/en/extreme-heat", done.first))
    new = _fetch(_raw(done, "/en/extreme-heat", done.second))
    both = old == site(1)["/en/extreme-heat"].body and new == site(2)["/en/extreme-heat"].body
    return Assertion("Replay gives each date its own text, byte for byte", both, f"{len(old)} and {len(new)} bytes")


def _revisit_replays(done: Played) -> Assertion:
    body = _fetch(_raw(done, "/fr/lavage-des-mains", done.second))
    return Assertion("Replay of a revisit gives the page", body == site(2)["/fr/lavage-des-mains"].body, f"{len(body)} bytes")


def _plain_view_reads(done: Played) -> Assertion:
    at = _capture(done, "/fr/chaleur-extreme", done.first)
    page = _fetch(f"{done.web.replay}/fr/{at.source}/{at.timestamp}nj_/{at.url}").decode()
    inside = _fetch(f"{done.web.replay}/-/plain/fr/{at.source}/{at.timestamp}/{at.url}").decode()
    good = (
        str(at.captured_at.year) in page and "Port Laurier" in page and "La déshydratation" in inside and "<script" not in inside
    )
    return Assertion("The view without scripts has banner and text", good, f"{len(page)} and {len(inside)} bytes")


def _pages_answer(done: Played) -> Assertion:
    url = done.site.url + "en/extreme-heat"
    found = _fetch(f"{done.web.search}/en/search?q=dehydration").decode()
    history = _fetch(f"{done.web.search}/fr/history?url={quote(url, safe='')}").decode()
    good = "extreme-heat" in found and 'lang="fr"' in history
    return Assertion("Search page and history answer, English and French", good, done.web.search)


_CLAIMS: Final[tuple[Callable[[Played], Assertion], ...]] = (
    _first_edition_whole,
    _kill_was_real,
    _budget_untouched,
    _second_edition_whole,
    _nothing_fetched_twice,
    _fetched_at_most_once_more,
    _ledgers_balance,
    _unchanged_are_revisits,
    _gone_is_told,
    _robots_obeyed,
    _trap_parked,
    _warcs_verify,
    _search_agrees,
    *(_search_finds(*each) for each in SEARCHES),
    _old_text_at_old_date,
    _revisit_replays,
    _plain_view_reads,
    _pages_answer,
)


def _nothing(claim: str, wrong: Iterable[str], seen: str) -> Assertion:
    """A claim that holds if nothing is wrong; else the first few wrong things are what was seen."""
    found = list(wrong)
    return Assertion(claim, not found, seen if not found else f"{len(found)} wrong: {', '.join(found[:5])}")


def _frontier(instance: Instance, job: Job) -> Path:
    return instance.jobs_root / job.output_dir / FRONTIER_FILE


def _states(instance: Instance, job: Job) -> dict[str, UrlState]:
    return {_path(each): each.state for each in ledger.urls(_frontier(instance, job))}


def _not_archived(instance: Instance, job: Job, base: str, wanted: Iterable[str]) -> list[str]:
    """Pages without a capture in the index that readers use: the frontier's word is not enough."""
    with instance.db.read() as conn:
        held = {capture.url for capture in captures.iterate(conn, job_id=job.id) if capture.status in (200, 304)}
    return [path for path in wanted if base.rstrip("/") + path not in held]


def _path(url: FrontierUrl) -> str:
    parts = urlsplit(url.url)
    return parts.path + (f"?{parts.query}" if parts.query else "")


def _capture(done: Played, path: str, job: Job) -> Capture:
    with done.instance.db.read() as conn:
        found = captures.of_url(conn, done.site.url.rstrip("/") + path)
    return next(capture for capture in found if capture.job_id == job.id)


def _raw(done: Played, path: str, job: Job) -> str:
    at = _capture(done, path, job)
    return f"{done.web.replay}/{at.source}/{at.timestamp}ir_/{at.url}"


def _edition(number: int) -> Edition:
    return 1 if number == 1 else 2


def _fetch(url: str) -> bytes:
    """The body of an answer of our own servers; of an error too, for then the claim fails with what it says."""
    try:
        with urllib.request.urlopen(url, timeout=_FETCH_SECONDS) as answer:  # noqa: S310 - an address that we made
            return bytes(answer.read())
    except urllib.error.HTTPError as error:
        return error.read()
    except OSError as error:  # nobody answers
        return str(error).encode()
