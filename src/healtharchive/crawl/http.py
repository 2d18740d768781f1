"""The embedded engine's process: `python -m healtharchive.crawl.http ATTEMPT_DIR`.

It reads `attempt.json`, puts the job directory in order, crawls until nothing is pending, and says in the last line of
`progress.jsonl` how it ended. It stops by itself when nobody renews its lease, when the local disk's reserve is reached, when a
newer attempt owns the directory, and when our own disk fails. SIGTERM: checkpoint and end. SIGUSR1: checkpoint and go on.
"""

from __future__ import annotations

import asyncio
import ctypes
import gc
import logging
import os
import signal
import sqlite3
import sys
from collections.abc import Sequence
from pathlib import Path

from pydantic import ValidationError

from healtharchive import __version__
from healtharchive.crawl.crawl import Crawl, Ended
from healtharchive.crawl.engine import FRONTIER_FILE, OPEN_DIR, WARC_DIR, AttemptSpec, End
from healtharchive.crawl.frontier import Fenced, Frontier
from healtharchive.crawl.harvest import seeds_of
from healtharchive.crawl.priors import Priors
from healtharchive.crawl.progress import Progress
from healtharchive.crawl.reader import LinkReader
from healtharchive.crawl.trouble import errno_of
from healtharchive.errors import HealthArchiveError, Locked
from healtharchive.host import this_host

log = logging.getLogger(__name__)

GC_THRESHOLD = 20_000
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # glibc, malloc.h
MEMORY_KEPT_BYTES = 32 << 20


def main(arguments: list[str] | None = None) -> int:
    """0 when the attempt ended in order and said so; 1 if not even that was possible."""
    (directory,) = sys.argv[1:] if arguments is None else arguments
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s", stream=sys.stderr)
    # Pages come and go by the hundred thousand and refer to nothing in a circle: the collector looks at them a tenth as often.
    gc.freeze()
    gc.set_threshold(GC_THRESHOLD, 20, 20)
    _keep_memory()
    host = this_host()
    try:
        progress = Progress(Path(directory), host.clock)
    except OSError as error:
        log.critical("attempt.unreported errno=%s directory=%s", error.errno, directory)
        return 1
    counts: dict[str, int] = {}
    try:
        ended = attempt(Path(directory), progress, counts)
    except Fenced as error:
        ended = Ended(End.FENCED, str(error))
    except Locked as error:
        ended = Ended(End.INFRA, f"The previous engine is still alive: {error}", None)
    except (OSError, sqlite3.Error) as error:
        log.exception("attempt.broken")
        ended = Ended(End.INFRA, f"Our own disk or machine failed: {error}", errno_of(error))
    except (ValidationError, ValueError, HealthArchiveError) as error:
        log.exception("attempt.refused")
        ended = Ended(End.CONFIG, f"The profile cannot be run: {error}")
    log.info("attempt.ended end=%s reason=%s", ended.end, ended.reason)
    try:
        progress.end(ended.end, ended.reason, ended.errno, counts)
        progress.close()
    except OSError as error:
        log.critical("attempt.unreported end=%s errno=%s", ended.end, error.errno)
        return 1
    return 0


def _keep_memory() -> None:
    """Have the C library keep what is freed: a parsed page's tree would else go back to the kernel and be asked for again.

    A hundred page faults a page, as costly as the parse itself. Without glibc nothing happens.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(M_TRIM_THRESHOLD, MEMORY_KEPT_BYTES)
        mallopt(M_MMAP_THRESHOLD, MEMORY_KEPT_BYTES)


def attempt(directory: Path, progress: Progress, counts: dict[str, int]) -> Ended:
    """Run one attempt to its end. `counts` receives the ledger as last committed, however it ends."""
    spec = AttemptSpec.read(directory)
    seeds = seeds_of(spec.profile)
    job = Path(spec.job_directory)
    for name in (OPEN_DIR, WARC_DIR):
        (job / name).mkdir(parents=True, exist_ok=True)
    reader = LinkReader.start()  # before there is a lock, a connection or a thread that it would share
    try:
        return _attempt(spec, job, directory, seeds, reader, progress, counts)
    finally:
        reader.close()


def _attempt(
    spec: AttemptSpec,
    job: Path,
    directory: Path,
    seeds: Sequence[str],
    reader: LinkReader,
    progress: Progress,
    counts: dict[str, int],
) -> Ended:
    frontier = Frontier(job / FRONTIER_FILE, spec.fence, attempt=spec.attempt, sync=spec.profile.fsync)
    try:
        priors = Priors(Path(spec.prior)) if spec.prior and Path(spec.prior).exists() else None
        crawl = Crawl(
            spec,
            job,
            frontier,
            priors,
            progress,
            this_host(),
            reader,
            software=f"HealthArchive/{__version__}",
            lease_dir=directory,
        )
        crawl.prepare(seeds)
        return asyncio.run(_run(crawl))
    finally:
        try:
            counts.update(frontier.counts())
        except sqlite3.Error:
            log.exception("attempt.uncounted")
        frontier.close()


async def _run(crawl: Crawl) -> Ended:
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, crawl.stop, End.STOPPED, "asked to stop")
    loop.add_signal_handler(signal.SIGINT, crawl.stop, End.STOPPED, "asked to stop")
    loop.add_signal_handler(signal.SIGUSR1, crawl.ask_checkpoint)
    return await crawl.run()


if __name__ == "__main__":
    code = main()
    sys.stderr.flush()
    os._exit(code)  # everything is closed and synced: nothing that a library left running may hold the end up
