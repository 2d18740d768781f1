"""After a death: make the open WARCs and the frontier agree again, without losing a record and without fetching one twice.

An open WARC is continued by nobody but the process that made it. Its writer holds a lock that the kernel frees when it dies;
until then recovery refuses. For each file that was left:

    shorter than its committed length   the disk lost what it had confirmed: a finding, and the URLs behind the cut are a debt
    longer                              whole responses behind the committed length are adopted: links read again, URL finished
    the rest                            cut

and the file is sealed under our fence. A file that was being sealed is found at one of four steps (open and published,
published without a line in the manifest, in the manifest but not marked in the frontier, or none of it), and the missing steps
are made.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from healtharchive.crawl.engine import OPEN_DIR, WARC_DIR
from healtharchive.crawl.entries import Batch, Claim, Found, Outcome, Position, WarcLength
from healtharchive.crawl.exchange import Exchange
from healtharchive.crawl.frontier import Frontier
from healtharchive.crawl.recorder import exchange_of
from healtharchive.crawl.sealing import OPEN_SUFFIX, read_manifest, repair_manifest, seal_file
from healtharchive.errors import Locked
from healtharchive.storage.model import SealedWarc
from healtharchive.warc.reader import ReadRecord
from healtharchive.warc.writer import is_held, truncate, walk

Settle = Callable[[Claim, Exchange, Position], tuple[Outcome, list[Found]]]
"""What the crawl makes of an answer; the same function that a live answer goes through."""


@dataclass
class Recovery:
    """What was done, for the `started` event."""

    adopted: int = 0
    requeued: int = 0
    cut_bytes: int = 0
    sealed: list[SealedWarc] = field(default_factory=list)
    findings: list[tuple[str, str]] = field(default_factory=list)


def recover(directory: Path, frontier: Frontier, settle: Settle, *, now: float) -> Recovery:
    """Bring a job directory in order before its next crawl. May be interrupted and repeated at any step.

    Raises Locked if an earlier engine still lives, OSError and sqlite3.Error if the disk fails.
    """
    done = Recovery()
    open_dir, warc_dir = directory / OPEN_DIR, directory / WARC_DIR
    for path in open_dir.glob(f"*{OPEN_SUFFIX}"):
        if is_held(path):
            raise Locked(f"{path.name} is still being written by an engine of an earlier attempt; nothing was changed.")
    done.requeued += frontier.interrupted(now)
    known = {row.name: row for row in frontier.warcs()}
    for path in sorted(open_dir.glob(f"*{OPEN_SUFFIX}")):
        name = path.name.removesuffix(OPEN_SUFFIX)
        row = known.get(name)
        if not (warc_dir / name).exists():
            adopted = _repair(path, name, row.committed_length if row else 0, row.responses if row else 0, frontier, settle, done)
            if not adopted and (row is None or row.responses == 0):
                path.unlink()
                frontier.forget_warc(name)
                continue
        done.sealed.append(seal_file(path, warc_dir, fence=frontier.fence))
    done.sealed += repair_manifest(warc_dir, fence=frontier.fence)
    published = {warc.name for warc in read_manifest(warc_dir)}
    for row_ in frontier.warcs():
        if row_.sealed:
            continue
        if row_.name in published:
            frontier.sealed(row_.name)
            continue
        lost = frontier.requeue_lost(row_.name, beyond=0, reason=f"{row_.name} is gone; fetched again")
        done.requeued += lost
        done.findings.append(("warc_missing", f"{row_.name} was being written and is gone: {lost} URLs are fetched again"))
        frontier.forget_warc(row_.name)
    return done


def _repair(path: Path, name: str, committed: int, responses: int, frontier: Frontier, settle: Settle, done: Recovery) -> int:
    """Adopt and cut one open file; returns how many responses were adopted."""
    size = path.stat().st_size
    if size < committed:
        whole = walk(path)
        for _ in whole:
            pass
        lost = frontier.requeue_lost(name, beyond=whole.end, reason=f"{name} lost its tail; fetched again")
        done.requeued += lost
        done.findings.append(
            (
                "committed_data_lost",
                f"{name} has {size} of {committed} bytes that the disk had confirmed: {lost} URLs are fetched again",
            )
        )
        committed, responses = whole.end, frontier.responses(name)
    walked = walk(path, start=committed)
    end, count = committed, 0
    batch = Batch()
    for claim, exchange, position, after in _pages(walked, name, frontier, spill=path.parent):
        outcome, found = settle(claim, exchange, position)
        exchange.close()
        batch.found += found
        batch.outcomes.append(outcome)
        end, count = after, count + 1
    if size > end:
        truncate(path, end)
        done.cut_bytes += size - end
    if count:
        batch.warcs.append(WarcLength(name, end, responses + count))
        frontier.commit(batch)
        done.adopted += count
    return count


def _pages(
    records: Iterable[ReadRecord], name: str, frontier: Frontier, *, spill: Path
) -> Iterator[tuple[Claim, Exchange, Position, int]]:
    """Whole pages from the committed length on, each with the offset behind it. The response is the last record of a page.

    Ends at the first that cannot be finished from the file alone: a revisit, whose links are in no record here, or an answer to a
    URL that no row waits for (a robots.txt). Those are fetched again.
    """
    for record in records:
        if record.kind in ("warcinfo", "request", "metadata"):
            continue
        claim = frontier.pending(record.target_uri) if record.kind == "response" else None
        digest = record.payload_digest or ""
        if claim is None or not digest.startswith("sha256:"):
            return
        exchange = exchange_of(record, spill=spill)
        payload = bytes.fromhex(digest.removeprefix("sha256:"))
        position = Position(name, record.offset, record.length, False, payload, exchange.body.size, record.date.isoformat())
        yield claim, exchange, position, record.offset + record.length
