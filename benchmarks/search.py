"""Indexing and searching real documentation sites: rates, sizes and latencies, on an instance made for it.

    .venv/bin/python benchmarks/search.py [--editions N] [--pages N] [--database URL]

Reads the HTML of Debian packages, writes it into WARCs (each edition one WARC a site, every page changed a little,
so that none is skipped as known), indexes and searches them. Timings are printed, they decide nothing.
"""

from __future__ import annotations

import argparse
import resource
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import TypeVar

from tests.rigs.archive import BEGIN, Answer, Archive

from healtharchive.access.query import parse
from healtharchive.access.search import Search, open_search
from healtharchive.instance import DEFAULT_DATABASE, create_instance

T = TypeVar("T")

SITES = {
    "debian-reference": ("/usr/share/debian-reference", "*.html"),
    "python3-doc": ("/usr/share/doc/python3-doc/html", "**/*.html"),
    "postgresql-doc-15": ("/usr/share/doc/postgresql-doc-15/html", "*.html"),
}

QUERIES = {
    "two words": [
        "file system",
        "connection timeout",
        "memory error",
        "configuration réseau",
        "transaction isolation",
        "clé publique",
    ],
    "one common word": ["file", "function", "table", "système", "python", "value"],
    "phrase": ['"file system"', '"return value"', '"standard input"', '"ligne de commande"', '"data type"', '"for example"'],
    "prefix": ["conf*", "trans*", "crypt*", "inst*", "param*", "auth*"],
    "typo": ["conection", "functoin", "databse", "pyhton", "exmaple", "instalation"],
    "filters": [
        "file source:python3-doc",
        "table year:2024",
        "réseau lang:fr",
        "file site:python3-doc.example",
        "type:html table",
        "error lang:en",
    ],
    "browse": ["", "lang:fr", "year:2025", "source:debian-reference", "type:html", "site:example"],
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--editions", type=int, default=3)
    parser.add_argument("--pages", type=int, default=100_000, help="at most so many of each site")
    parser.add_argument("--database", default=DEFAULT_DATABASE)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bench-search-") as directory:
        instance = create_instance(Path(directory) / "instance", options.database)
        archive = Archive(instance)
        for edition in range(options.editions):
            for name in SITES:
                archive.add(list(pages(name, edition, options.pages)), source=name, job=f"edition{edition}")
        size = sum(warc.size_bytes for warc, _ in archive.warcs)
        print(f"{len(archive.warcs)} WARCs, {size / 1e6:.0f} MB")
        counts = timed("index", archive.index, lambda found: found.captures)
        engine = open_search(instance)
        timed("search catch_up", engine.catch_up, lambda count: count)
        timed("search rebuild", engine.rebuild, lambda count: count)
        index_bytes = sum(path.stat().st_size for path in instance.search_root.rglob("*") if path.is_file())
        print(f"search index {index_bytes / 1e6:.1f} MB, {index_bytes / max(1, counts.captures):.0f} bytes a capture")
        for kind, texts in QUERIES.items():
            for view in ("pages", "captures"):
                latencies(f"{kind}, {view}", engine, texts, view)
        print(f"peak memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MB")
        instance.close()


def pages(site: str, edition: int, limit: int) -> Iterator[Answer]:
    directory, pattern = SITES[site]
    for number, path in enumerate(sorted(Path(directory).glob(pattern))[:limit]):
        url = f"https://{site}.example/{path.relative_to(directory).as_posix()}"
        at = BEGIN + timedelta(days=300 * edition, seconds=number)
        yield Answer(url, path.read_bytes() + f"<p>edition {edition}</p>".encode(), at=at, mime="text/html")


def timed(name: str, action: Callable[[], T], size: Callable[[T], int]) -> T:
    wall, cpu = time.perf_counter(), time.process_time()
    found = action()
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    print(f"{name}: {size(found):,} in {wall:.1f} s wall, {cpu:.1f} s CPU: {size(found) / wall:.0f} a second")
    return found


def latencies(name: str, engine: Search, texts: list[str], view: str) -> None:
    taken = []
    totals = []
    for turn in range(6):
        for text in texts:
            query = parse(text, view=view)  # type: ignore[arg-type]
            begin = time.perf_counter()
            answer = engine.search(query, limit=10)
            if turn:  # the first turn warms up
                taken.append((time.perf_counter() - begin) * 1000)
                totals.append(answer.total)
    taken.sort()
    p95 = taken[int(len(taken) * 0.95) - 1]
    print(f"{name}: p50 {statistics.median(taken):.1f} ms, p95 {p95:.1f} ms, {statistics.mean(totals):.0f} found on average")


if __name__ == "__main__":
    main()
