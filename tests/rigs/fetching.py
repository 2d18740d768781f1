"""Fetch and record a few URLs in one call, and read the WARC back with three readers."""

from __future__ import annotations

import asyncio
import io
from collections.abc import Callable, Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from fastwarc.warc import ArchiveIterator
from warcio.checker import Checker

from healtharchive.crawl.engine import CrawlProfile
from healtharchive.crawl.exchange import Exchange, FetchError, FetchRequest
from healtharchive.crawl.fetch import Fetcher
from healtharchive.crawl.recorder import Recorder, Stored
from healtharchive.warc.reader import read

PROFILE = CrawlProfile(
    seeds=("http://127.0.0.1/",), user_agent="tests", allow_private=True, timeout_seconds=5.0, fetch_seconds_max=20.0
)


def fetch_all(
    urls: Sequence[str | FetchRequest], spill: Path, profile: CrawlProfile = PROFILE, *, at_once: bool = False, **changes: Any
) -> list[Exchange | FetchError]:
    """The outcome of each, one after another (or all at once) over one `Fetcher`. The exchanges are left open."""

    async def go() -> list[Exchange | FetchError]:
        fetcher = Fetcher(replace(profile, **changes), spill)

        async def one(url: str | FetchRequest) -> Exchange | FetchError:
            try:
                return await fetcher.fetch(url if isinstance(url, FetchRequest) else FetchRequest(url))
            except FetchError as error:
                return error

        try:
            if at_once:
                return list(await asyncio.gather(*map(one, urls)))
            return [await one(url) for url in urls]
        finally:
            await fetcher.close()

    return asyncio.run(go())


def fetch_one(url: str | FetchRequest, spill: Path, profile: CrawlProfile = PROFILE, **changes: Any) -> Exchange:
    """Fails the test if there is no response."""
    outcome = fetch_all([url], spill, profile, **changes)[0]
    assert isinstance(outcome, Exchange), outcome
    return outcome


def fetch_failure(url: str, spill: Path, profile: CrawlProfile = PROFILE, **changes: Any) -> FetchError:
    """Fails the test if there is a response."""
    outcome = fetch_all([url], spill, profile, **changes)[0]
    assert isinstance(outcome, FetchError), outcome
    return outcome


@dataclass(frozen=True)
class Written:
    """A record as read back: headers by name, and the whole block."""

    kind: str
    headers: dict[str, str]
    block: bytes
    offset: int
    length: int


def record_all(directory: Path, add: Callable[[Recorder], object]) -> tuple[Path, list[Written]]:
    """Record with `add` into a new WARC, seal it, prove it with warcio and FastWARC, and read it back."""
    recorder = Recorder(directory, prefix="test", fence=1, serial=1, warcinfo={"software": "tests"})
    try:
        add(recorder)
        sealed = recorder.seal(directory / "warcs")
    finally:
        recorder.close()
    path = directory / "warcs" / sealed.name
    prove(path)
    return path, records_of(path)


def record_one(exchange: Exchange, directory: Path, **options: Any) -> tuple[Stored, list[Written]]:
    stored: list[Stored] = []
    _, written = record_all(directory, lambda recorder: stored.append(recorder.add(exchange, **options)))
    return stored[0], written


def records_of(path: Path) -> list[Written]:
    findings: list[object] = []
    records = [
        Written(record.kind, dict(record.headers.items), b"".join(record.block()), record.offset, record.length)
        for record in read(path, on_finding=findings.append)
    ]
    assert findings == []
    return records


def prove(path: Path) -> None:
    """`warcio check` finds nothing, and FastWARC reads every record with its HTTP head and agrees on every block digest."""
    with redirect_stdout(io.StringIO()) as complaints:
        checker = Checker(_Arguments([str(path)]))
        assert checker.process_all() == 0, complaints.getvalue()
    assert complaints.getvalue() == ""
    count = 0
    with open(path, "rb") as file:
        for record in ArchiveIterator(file, parse_http=False):
            count += 1
            record.freeze()
            if "WARC-Block-Digest" in record.headers:
                assert record.verify_block_digest(), record.record_id
    with open(path, "rb") as file:
        assert sum(1 for _ in ArchiveIterator(file, parse_http=True)) == count


@dataclass(frozen=True)
class _Arguments:
    inputs: list[str]
    verbose: bool = False
