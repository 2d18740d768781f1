"""The frontier: every URL ever found by a job, each in exactly one state, in one SQLite file on local disk.

A page is finished by one transaction and by nothing else: it carries the page's new links, its state, where its record lies,
and how long the WARC was when its data had been synced. Whatever an earlier instant of death left behind is either below that
length and known, or above it and looked at by `crawl.recovery`. Each transaction first compares the fence, so that an engine
whose job was taken over cannot write a row, however late it wakes up.

    url      one row a URL; `next_try` 0 is "at once", 1 and above an instant (epoch seconds) before which it waits
    host     queues; claims go round the hosts, so that one large site cannot starve the others
    tally    how many URLs each state holds, kept by triggers: no writer can forget it
    warc     files written by this job: committed length, records, sealed or not
    robots   the robots.txt last seen of each origin, so that a resume does not ask again

Claims are kept in memory only: a URL that was being fetched when the engine died is still pending, and needs no repair.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Final

from healtharchive.crawl.engine import UrlState
from healtharchive.crawl.entries import Batch, Claim, Found, Outcome, Position, RobotsSeen, WarcLength, WarcRow
from healtharchive.crawl.frontier_file import Fenced, Transaction, connect, open_file
from healtharchive.crawl.ledger import CODE, STATES, FrontierUrl, ledger, urls
from healtharchive.warc.urls import split, url_key

__all__ = [
    "Batch",
    "Claim",
    "Fenced",
    "Found",
    "Frontier",
    "FrontierUrl",
    "Outcome",
    "Position",
    "RobotsSeen",
    "WarcLength",
    "WarcRow",
    "ledger",
    "urls",
]

CLOCK_STEP_SECONDS: Final = 86_400  # a wait longer than any policy asks for: the clock was set back, and nobody waits for it
HOSTS_PER_CLAIM: Final = 256
HOSTS_REMEMBERED_MAX: Final = 50_000

_CLAIM: Final = """SELECT u.id, u.key, u.url, u.hop, u.hops, u.embeds, u.redirects, u.tries, v.url, u.host
  FROM url u LEFT JOIN url v ON v.id = u.via """

_FIND: Final = """INSERT INTO url (key, url, host, state, hop, hops, embeds, redirects, via, attempt, reason, rule)
  VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
  ON CONFLICT (key) DO UPDATE SET state = excluded.state, hop = excluded.hop, hops = excluded.hops, embeds = excluded.embeds,
    redirects = excluded.redirects, via = excluded.via, attempt = excluded.attempt, reason = excluded.reason,
    rule = excluded.rule, next_try = 1
  WHERE url.state = 3 AND excluded.state = 0"""


class Frontier:
    """The one writer. A second thread may ask `robots`, `same_payload`, `holds`, `seed_states` and `has_captures` meanwhile.

    Raises Fenced if a newer fence is stored, StorageUnavailable if the file is not a frontier of this version, sqlite3.Error if
    the disk fails. The numbers in the statements are places in `UrlState`: 0 pending, 1 captured, 2 unchanged, 3 excluded.
    """

    def __init__(self, path: Path, fence: int, *, attempt: int = 0, sync: bool = True) -> None:
        self.path = path
        self.fence = fence
        self._attempt = attempt
        self._hosts: dict[str, int] = {}
        self._cursor: dict[int, int] = {}  # host -> highest id claimed from its queue
        self._turn = 0  # the host after which the next claim begins
        self._held: dict[int, int] = {}  # host -> claims not yet committed
        self._claimed: dict[int, int] = {}  # id -> host
        self._db = open_file(path, fence, sync=sync)
        self._reader = connect(path)
        self._reader.execute("PRAGMA query_only = 1")
        self.resumed = self._db.execute("SELECT 1 FROM url LIMIT 1").fetchone() is not None

    def close(self) -> None:
        """Close, folding the write-ahead log into the file."""
        self._reader.close()
        self._db.close()

    # -- claims ------------------------------------------------------------------------------------------------------------------

    def claim(self, wanted: int, *, per_host: int, now: float) -> list[Claim]:
        """Up to `wanted` pending URLs not handed out before: those whose wait is over, then round the hosts.

        At most `per_host` of a host are held at a time.
        """
        claims = self._claim_waiting(wanted, now)
        looked = 0
        first = True
        while len(claims) < wanted and looked < HOSTS_PER_CLAIM:
            host = self._next_host()
            if host is None:
                break
            if first:
                start, first = host, False
            elif host == start:
                break
            looked += 1
            room = min(per_host - self._held.get(host, 0), wanted - len(claims))
            if room > 0:
                rows = self._db.execute(
                    _CLAIM + "WHERE u.state = 0 AND u.next_try = 0 AND u.host = ? AND u.id > ? ORDER BY u.id LIMIT ?",
                    (host, self._cursor.get(host, 0), room),
                ).fetchall()
                if rows:
                    self._cursor[host] = rows[-1][0]
                claims += [self._hold(row) for row in rows]
        return claims

    def _claim_waiting(self, wanted: int, now: float) -> list[Claim]:
        rows = self._db.execute(
            _CLAIM + "WHERE u.state = 0 AND u.next_try > 0 AND (u.next_try <= ? OR u.next_try > ?) ORDER BY u.next_try LIMIT ?",
            (now, now + CLOCK_STEP_SECONDS, wanted + len(self._claimed)),
        ).fetchall()
        return [self._hold(row) for row in [row for row in rows if row[0] not in self._claimed][:wanted]]

    def _next_host(self) -> int | None:
        """The next host with a URL in its queue: one step down the index each, however many URLs a host has."""
        sql = "SELECT host FROM url WHERE state = 0 AND next_try = 0 AND host > ? ORDER BY host LIMIT 1"
        row = self._db.execute(sql, (self._turn,)).fetchone() or self._db.execute(sql, (0,)).fetchone()
        if row is None:
            return None
        self._turn = int(row[0])
        return self._turn

    def _hold(self, row: tuple[Any, ...]) -> Claim:
        identity, host = row[0], row[9]
        self._claimed[identity] = host
        self._held[host] = self._held.get(host, 0) + 1
        return Claim(*row[:9])

    @property
    def claimed(self) -> int:
        """Claims handed out and not yet committed."""
        return len(self._claimed)

    def next_try(self) -> float | None:
        """The earliest instant at which a waiting URL that nobody holds is due, None if none waits."""
        sql = "SELECT id, next_try FROM url WHERE state = 0 AND next_try > 0 ORDER BY next_try LIMIT ?"
        for identity, instant in self._db.execute(sql, (len(self._claimed) + 1,)):
            if identity not in self._claimed:
                return float(instant)
        return None

    # -- commits -----------------------------------------------------------------------------------------------------------------

    def commit(self, batch: Batch) -> None:
        """Make a batch durable in one transaction. Raises Fenced, having written nothing, if the job was taken over."""
        with Transaction(self._db, self.fence):
            if batch.found:
                self._insert(batch.found)
            for warc in batch.warcs:
                self._db.execute(
                    "INSERT INTO warc (name, committed_length, responses) VALUES (?, ?, ?) ON CONFLICT (name) DO UPDATE "
                    "SET committed_length = excluded.committed_length, responses = excluded.responses",
                    warc,
                )
            finished = self._finish(batch.outcomes) if batch.outcomes else []
            if batch.robots:
                self._db.executemany("INSERT OR REPLACE INTO robots VALUES (?, ?, ?, ?)", batch.robots)
            self._db.execute("INSERT OR REPLACE INTO meta VALUES ('in_flight', ?)", (json.dumps(list(batch.in_flight)),))
        for identity in finished:
            self._release(identity)

    def find(self, found: Sequence[Found]) -> None:
        """Add URLs outside of a crawl's groups: seeds, and what the last edition had."""
        self.commit(Batch(found=list(found)))

    def has_priors(self) -> bool:
        """Whether the last edition's URLs are all in: an attempt that died while it added them leaves this to the next."""
        return self._db.execute("SELECT 1 FROM meta WHERE name = 'priors'").fetchone() is not None

    def note_priors(self) -> None:
        with Transaction(self._db, self.fence):
            self._db.execute("INSERT OR REPLACE INTO meta VALUES ('priors', 1)")

    def _insert(self, found: Iterable[Found]) -> None:
        attempt = self._attempt
        self._db.executemany(
            _FIND,
            [
                (
                    url_key(f.url),
                    f.url,
                    self._host(f.url),
                    CODE[f.state],
                    f.hop,
                    f.hops,
                    f.embeds,
                    f.redirects,
                    f.via,
                    attempt,
                    f.reason,
                    f.rule,
                )
                for f in found
            ],
        )

    def _finish(self, outcomes: Iterable[Outcome]) -> list[int]:
        """Write how tries ended; returns the rows' ids."""
        stored, bare, ids = [], [], []
        warcs: dict[str, int] = {}
        for outcome in outcomes:
            common = (CODE[outcome.state], outcome.reason, outcome.rule, outcome.tries, outcome.next_try, self._attempt)
            where = outcome.claim.id if outcome.claim.id is not None else self._id(outcome.claim.key)
            ids.append(where)
            at = outcome.position
            if at is None:
                bare.append((*common, outcome.status, where))
                continue
            if at.warc not in warcs:
                warcs[at.warc] = self._db.execute("SELECT id FROM warc WHERE name = ?", (at.warc,)).fetchone()[0]
            kind = 2 if at.revisit else 1
            place = (kind, warcs[at.warc], at.offset, at.length, at.digest, at.payload_size, at.captured_at)
            stored.append((*common, outcome.status, *place, where))
        head = (
            "UPDATE url SET state = ?, reason = ?, rule = coalesce(nullif(?, ''), rule), tries = ?, next_try = ?, attempt = ?, "
        )
        if bare:
            self._db.executemany(head + "status = coalesce(?, status) WHERE id = ?", bare)
        if stored:
            self._db.executemany(
                head + "status = ?, record = ?, warc = ?, offset = ?, length = ?, digest = ?, payload_size = ?, captured_at = ? "
                "WHERE id = ?",
                stored,
            )
        return ids

    def _release(self, identity: int) -> None:
        host = self._claimed.pop(identity, None)
        if host is None:
            return
        self._held[host] -= 1
        if not self._held[host]:
            del self._held[host]

    def _id(self, key: bytes) -> int:
        return int(self._db.execute("SELECT id FROM url WHERE key = ?", (key,)).fetchone()[0])

    def _host(self, url: str) -> int:
        try:
            name = split(url).host
        except ValueError:
            name = ""  # of a scheme that is not ours: counted and explained, never fetched
        found = self._hosts.get(name)
        if found is None:
            if len(self._hosts) >= HOSTS_REMEMBERED_MAX:
                self._hosts.clear()
            self._db.execute("INSERT OR IGNORE INTO host (name) VALUES (?)", (name,))
            found = self._hosts[name] = int(self._db.execute("SELECT id FROM host WHERE name = ?", (name,)).fetchone()[0])
        return found

    # -- repairs, each in a transaction of its own -------------------------------------------------------------------------------

    def interrupted(self, now: float) -> int:
        """Note which URLs were being fetched when the last engine died; returns how many.

        One that three engines died over waits behind the others, up to a minute: should it be the cause, the rest comes first.
        """
        row = self._db.execute("SELECT value FROM meta WHERE name = 'in_flight'").fetchone()
        ids = json.loads(row[0]) if row else []
        with Transaction(self._db, self.fence):
            self._db.executemany(
                "UPDATE url SET interrupted = interrupted + 1, next_try = CASE WHEN interrupted >= 2 "
                "THEN max(next_try, ? + min(60, 1 << min(interrupted, 6))) ELSE next_try END WHERE id = ? AND state = 0",
                [(now, identity) for identity in ids],
            )
            self._db.execute("INSERT OR REPLACE INTO meta VALUES ('in_flight', '[]')")
        return len(ids)

    def retry_seeds(self) -> int:
        """Give seeds that came to nothing a new budget of tries; returns how many."""
        with Transaction(self._db, self.fence):
            changed = self._db.execute(
                "UPDATE url SET state = 0, tries = 0, next_try = 1 WHERE hop = 'S' AND state IN (?, ?, ?)",
                (CODE[UrlState.FAILED], CODE[UrlState.BLOCKED], CODE[UrlState.ROBOTS]),
            )
        return changed.rowcount

    def requeue_lost(self, warc: str, *, beyond: int, reason: str) -> int:
        """Give back the URLs whose record ends after `beyond` in a WARC that lost its tail: a debt. Returns how many."""
        with Transaction(self._db, self.fence):
            changed = self._db.execute(
                "UPDATE url SET state = 0, reason = ?, tries = 0, next_try = 1, record = 0, warc = NULL, offset = NULL, "
                "length = NULL, digest = NULL WHERE warc = (SELECT id FROM warc WHERE name = ?) AND offset + length > ?",
                (reason, warc, beyond),
            )
            self._db.execute(
                "UPDATE warc SET committed_length = ?, responses = (SELECT count(*) FROM url WHERE url.warc = warc.id) "
                "WHERE name = ?",
                (beyond, warc),
            )
            # Which of the replaced records were behind the cut is not known, and of no use any more.
            self._db.execute("UPDATE balance SET superseded = (SELECT coalesce(sum(responses), 0) FROM warc) - recorded")
        return changed.rowcount

    def sealed(self, name: str) -> None:
        """Note that a WARC was published and is in the manifest."""
        with Transaction(self._db, self.fence):
            self._db.execute("UPDATE warc SET sealed = 1 WHERE name = ?", (name,))

    def forget_warc(self, name: str) -> None:
        """Note that a WARC without any record of a page was removed."""
        with Transaction(self._db, self.fence):
            self._db.execute("DELETE FROM warc WHERE name = ?", (name,))

    # -- questions ---------------------------------------------------------------------------------------------------------------

    def counts(self) -> dict[str, int]:
        """URLs by state, zeros included."""
        return {STATES[code]: urls for code, urls in self._db.execute("SELECT state, urls FROM tally ORDER BY state")}

    def pages(self) -> int:
        """Pages that count against `max_pages`: captured or unchanged, and no requisite, sitemap or robots.txt."""
        return int(self._db.execute("SELECT count(*) FROM url WHERE state IN (1, 2) AND embeds = 0 AND hop <> 'P'").fetchone()[0])

    def imbalances(self, *, thorough: bool = False) -> list[str]:
        """What does not add up, as sentences; empty if the ledger balances.

        Records written and records known must agree always. `thorough` also counts every row, which takes a second a million.
        """
        problems = []
        recorded, superseded = self._db.execute("SELECT recorded, superseded FROM balance").fetchone()
        written = self._db.execute("SELECT coalesce(sum(responses), 0) FROM warc").fetchone()[0]
        if written != recorded + superseded:
            problems.append(
                f"{written} response records were written, but {recorded} URLs have one and {superseded} were replaced"
            )
        if thorough:
            tally = {state: urls for state, urls in self.counts().items() if urls}
            rows = {
                STATES[code]: urls
                for code, urls in self._db.execute("SELECT state, count(*) FROM url GROUP BY state ORDER BY state")
            }
            if tally != rows:
                problems.append(f"the tally says {tally}, the rows say {rows}")
            bare = self._db.execute("SELECT count(*) FROM url WHERE state IN (1, 2) AND record = 0").fetchone()[0]
            if bare:
                problems.append(f"{bare} URLs are captured without a record")
        return problems

    def responses(self, warc: str) -> int:
        """Response and revisit records that a WARC is known to hold."""
        row = self._db.execute("SELECT responses FROM warc WHERE name = ?", (warc,)).fetchone()
        return int(row[0]) if row else 0

    def warcs(self) -> list[WarcRow]:
        rows = self._db.execute("SELECT name, committed_length, responses, sealed FROM warc ORDER BY id")
        return [WarcRow(name, length, responses, bool(sealed)) for name, length, responses, sealed in rows]

    def seed_states(self) -> dict[str, tuple[UrlState, str]]:
        """State and reason of each seed, and of what seeds redirect to."""
        rows = self._reader.execute("SELECT url, state, reason FROM url WHERE hop = 'S' ORDER BY id")
        return {url: (STATES[state], reason) for url, state, reason in rows}

    def has_captures(self) -> bool:
        """Whether any page answered: a redirect alone is no answer, nor is a robots.txt or a sitemap."""
        sql = """SELECT 1 FROM url WHERE state IN (1, 2, 5)
          AND hop <> 'P' AND (status < 300 OR status >= 400 OR state = 2) LIMIT 1"""
        return self._reader.execute(sql).fetchone() is not None

    def holds(self, url: str) -> tuple[UrlState, int, int | None] | None:
        """State, tries and id of a URL, None if it was never found."""
        row = self._reader.execute("SELECT state, tries, id FROM url WHERE key = ?", (url_key(url),)).fetchone()
        return None if row is None else (STATES[row[0]], row[1], row[2])

    def pending(self, url: str) -> Claim | None:
        """A URL that waits to be fetched, as a claim that nobody counts; None if none waits under this name."""
        row = self._db.execute(_CLAIM + "WHERE u.key = ? AND u.state = 0", (url_key(url),)).fetchone()
        return None if row is None else Claim(*row[:9])

    def robots(self, origin: str) -> RobotsSeen | None:
        row = self._reader.execute("SELECT origin, status, body, fetched_at FROM robots WHERE origin = ?", (origin,)).fetchone()
        return None if row is None else RobotsSeen(*row)

    def same_payload(self, digest: bytes) -> tuple[str, str] | None:
        """URL and instant of a stored response with this payload in this job, None if there is none."""
        row = self._reader.execute(
            "SELECT url, captured_at FROM url WHERE record = 1 AND substr(digest, 1, 16) = ? AND digest = ? LIMIT 1",
            (digest[:16], digest),
        ).fetchone()
        return None if row is None else (row[0], row[1])
