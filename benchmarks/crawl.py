"""How fast the embedded engine crawls, beside wget and Scrapy, each with its WARC, on the same site in the same run.

    python benchmarks/crawl.py [--rounds N] [--copies N] [--scrapy-rounds N] [--no-frontier]      or: make bench-crawl

The site is the HTML of Debian's documentation packages, served by nginx on loopback with precompressed files, so that the
server takes as little of the machine as it can. Politeness is off. Rounds are interleaved. A page is an answer 200 in nginx's
log; wall time, CPU and memory are those of all of a tool's processes from start to end, so that our start-up counts against us.
Loopback has no latency: rates are upper bounds, ratios and CPU per page are what carries over. Then the frontier with a million
URLs: memory and resume of a real engine.
"""

from __future__ import annotations

import argparse
import gzip
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from tests.rigs.nginx import Nginx, Site, nginx

from healtharchive.crawl.engine import FRONTIER_FILE, AttemptSpec, CrawlProfile, End, UrlState, read_events, write_lease
from healtharchive.crawl.frontier import Found, Frontier
from healtharchive.host import this_host

PACKAGES = {
    "debian-reference": "/usr/share/debian-reference",
    "python3-doc": "/usr/share/doc/python3.11/html",
    "postgresql-doc-15": "/usr/share/doc/postgresql-doc-15/html",
}
FRONTS = (
    "debian-reference/index.en.html",
    "debian-reference/index.fr.html",
    "python3-doc/index.html",
    "postgresql-doc-15/index.html",
)
COMPRESSED = {".html", ".css", ".js", ".txt", ".svg", ".xml"}
ROOT = Path(__file__).resolve().parents[1]
MILLION = 1_000_000
LEASE_SECONDS = 3600.0
LOOK_SECONDS = 0.5

SPIDER = """
import io
from urllib.parse import urlsplit
import scrapy
from scrapy.linkextractors import LinkExtractor
from warcio.statusandheaders import StatusAndHeaders
from warcio.warcwriter import WARCWriter


class WarcPipeline:
    def open_spider(self, spider=None):
        self.file = open(OUTPUT, "wb")
        self.writer = WARCWriter(self.file, gzip=True)

    def process_item(self, item, spider=None):
        answer = item["response"]
        headers = [(name.decode(), values[0].decode()) for name, values in answer.headers.items()]
        head = StatusAndHeaders(f"{answer.status} OK", headers, "HTTP/1.1")
        body = io.BytesIO(answer.body)
        self.writer.write_record(self.writer.create_warc_record(answer.url, "response", payload=body, http_headers=head))
        return {"url": answer.url}

    def close_spider(self, spider=None):
        self.file.close()


class Spider(scrapy.Spider):
    name = "bench"
    start_urls = [START]
    custom_settings = {
        "ROBOTSTXT_OBEY": False, "LOG_LEVEL": "ERROR", "CONCURRENT_REQUESTS": 16, "CONCURRENT_REQUESTS_PER_DOMAIN": 16,
        "DOWNLOAD_DELAY": 0, "AUTOTHROTTLE_ENABLED": False, "TELNETCONSOLE_ENABLED": False, "JOBDIR": JOBDIR,
        "ITEM_PIPELINES": {WarcPipeline: 100},
    }

    def parse(self, response):
        yield {"response": response}
        if "html" in response.headers.get("Content-Type", b"").decode():
            extractor = LinkExtractor(tags=("a", "area", "link", "img", "script"), attrs=("href", "src"), deny_extensions=[])
            for link in extractor.extract_links(response):
                if urlsplit(link.url).netloc == urlsplit(START).netloc:
                    yield scrapy.Request(link.url, self.parse)
"""


@dataclass(frozen=True)
class Run:
    """One tool's run over the whole site."""

    tool: str
    pages: int
    wall_seconds: float
    cpu_seconds: float
    peak_mb: float
    wire_mb: float
    warc_mb: float

    @property
    def rate(self) -> float:
        return self.pages / self.wall_seconds

    @property
    def cpu_ms(self) -> float:
        return self.cpu_seconds * 1000 / self.pages


def build_site(root: Path, copies: int) -> None:
    """`copies` of the documentation, each page different, with a `.gz` beside each text, and a front page that leads to all."""
    links = []
    for name, source in PACKAGES.items():
        if not Path(source).is_dir():
            sys.exit(
                f"{source} is missing: apt-get install debian-reference-en debian-reference-fr python3-doc postgresql-doc-15"
            )
        for number in range(copies):
            target = root / str(number) / name
            skip = shutil.ignore_patterns("*.gz")
            shutil.copytree(Path(source).resolve(), target, ignore=skip, ignore_dangling_symlinks=True)
            for path in target.rglob("*.html"):
                with open(path, "a") as page:
                    page.write(f"<!-- copy {number} -->")
    for number in range(copies):
        links += [f'<li><a href="{number}/{front}">{front}</a>' for front in FRONTS]
    (root / "index.html").write_text(f"<!doctype html><title>Benchmark</title><ul>{''.join(links)}</ul>")
    for path in list(root.rglob("*")):
        if path.suffix in COMPRESSED and path.is_file():
            path.with_name(path.name + ".gz").write_bytes(gzip.compress(path.read_bytes(), 6))


@contextmanager
def peak_of(process: int) -> Iterator[list[int]]:
    """The most memory (KiB) that a process and its children held at once; pages that they share count once."""
    peaks, over = [0], threading.Event()

    def watch() -> None:
        while not over.wait(LOOK_SECONDS):
            with suppress(OSError, IndexError):  # one of them ended meanwhile
                peaks.append(memory_of(process))

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield peaks
    finally:
        over.set()
        thread.join()


def memory_of(process: int) -> int:
    """KiB of a process and its children, by the kernel's proportional set size. Raises OSError if it is gone."""
    children = Path(f"/proc/{process}/task/{process}/children").read_text().split()
    rollups = [Path(f"/proc/{each}/smaps_rollup").read_text() for each in (process, *children)]
    return sum(int(rollup.partition("\nPss:")[2].split()[0]) for rollup in rollups)


def timed(tool: str, server: Nginx, argv: Sequence[str | Path], directory: Path, warcs: Callable[[], Sequence[Path]]) -> Run:
    """Run a tool to its end in `directory`; its own CPU and memory, and its answers by nginx's log."""
    before = len(server.accesses())
    os.sync()  # what the tool before wrote is not this one's to wait for
    with open(directory / "output.log", "wb") as output:
        started = time.monotonic()
        process = subprocess.Popen(
            [str(part) for part in argv], cwd=directory, stdout=output, stderr=output, stdin=subprocess.DEVNULL
        )
        with peak_of(process.pid) as peak:
            _, status, usage = os.wait4(process.pid, 0)
            wall = time.monotonic() - started
    process.returncode = os.waitstatus_to_exitcode(status)
    answers = [access for access in server.accesses()[before:] if access.status == 200]
    if not answers:
        sys.exit(f"{tool} fetched nothing:\n{(directory / 'output.log').read_text(errors='replace')[-3000:]}")
    return Run(
        tool=tool,
        pages=len(answers),
        wall_seconds=wall,
        cpu_seconds=usage.ru_utime + usage.ru_stime,
        peak_mb=max(peak) / 1024,
        wire_mb=sum(access.sent_bytes for access in answers) / 1e6,
        warc_mb=sum(path.stat().st_size for path in warcs()) / 1e6,
    )


def profile(seed: str, *, fsync: bool = True) -> CrawlProfile:
    return CrawlProfile(
        seeds=(seed,),
        user_agent="HealthArchive-benchmark",
        robots="ignore",
        allow_private=True,
        connections=16,
        connections_per_host=16,
        delay_factor=0.0,
        min_delay_ms=0,
        max_delay_ms=0,
        fsync=fsync,
    )


def attempt(job: Path, number: int, crawl: CrawlProfile) -> Path:
    directory = job / "attempts" / f"{number:04d}"
    directory.mkdir(parents=True)
    AttemptSpec(1, number, number, "bench", str(job), "bench-1", crawl).write(directory)
    write_lease(directory, this_host().clock.boottime() + LEASE_SECONDS)
    return directory


def ours(server: Nginx, directory: Path, *, fsync: bool = True) -> Run:
    job = directory / "job"
    job.mkdir()
    where = attempt(job, 1, profile(server.url("site"), fsync=fsync))
    argv: list[str | Path] = [sys.executable, "-m", "healtharchive.crawl.http", where]
    run = timed("ours" if fsync else "ours, no fsync", server, argv, directory, lambda: list((job / "warcs").glob("*.warc.gz")))
    last = list(read_events(where))[-1][0]
    if last.data.get("end") != End.COMPLETE:
        sys.exit(f"our crawl did not complete: {last}\n{(directory / 'output.log').read_text()[-3000:]}")
    return run


def wget(server: Nginx, directory: Path) -> Run:
    program = shutil.which("wget") or sys.exit("wget is missing: apt-get install wget")
    argv: list[str | Path] = [program, "--no-config", "--mirror", "--execute", "robots=off", "--no-verbose", "--no-proxy",
            "--warc-file=wget", "--warc-tempdir=.", server.url("site")]  # fmt: skip
    return timed("wget", server, argv, directory, lambda: list(directory.glob("wget*.warc.gz")))


def scrapy(server: Nginx, directory: Path) -> Run | None:
    """Scrapy of the peers' environment: HEALTHARCHIVE_TEST_PEERS, or what `make peers` made. None if there is none."""
    program = Path(os.environ.get("HEALTHARCHIVE_TEST_PEERS", ROOT / ".cache" / "peers")) / "bin" / "scrapy"
    if not program.exists():
        return None
    constants = {"OUTPUT": str(directory / "scrapy.warc.gz"), "START": server.url("site"), "JOBDIR": str(directory / "jobdir")}
    head = "".join(f"{name} = {value!r}\n" for name, value in constants.items())
    (directory / "spider.py").write_text(head + SPIDER)
    return timed("scrapy", server, [program, "runspider", "spider.py"], directory, lambda: [directory / "scrapy.warc.gz"])


def median(runs: Sequence[Run], value: Callable[[Run], float]) -> float:
    return statistics.median(value(run) for run in runs)


def table(runs: dict[str, list[Run]]) -> None:
    print(
        f"{'tool':<15} {'runs':>4} {'pages':>6} {'pages/s':>8} {'MB/s':>6} {'CPU ms/page':>12} {'peak MB':>8} {'WARC MB':>8}"
        "  pages/s of each run"
    )
    for tool, done in runs.items():
        cells = [median(done, value) for value in (_pages, _rate, _wire_rate, _cpu, _peak, _warc)]
        each = " ".join(f"{run.rate:.0f}" for run in done)
        print("{:<15} {:>4} {:>6.0f} {:>8.0f} {:>6.1f} {:>12.2f} {:>8.0f} {:>8.1f}".format(tool, len(done), *cells) + f"  {each}")


def _pages(run: Run) -> float:
    return run.pages


def _rate(run: Run) -> float:
    return run.rate


def _wire_rate(run: Run) -> float:
    return run.wire_mb / run.wall_seconds


def _cpu(run: Run) -> float:
    return run.cpu_ms


def _peak(run: Run) -> float:
    return run.peak_mb


def _warc(run: Run) -> float:
    return run.warc_mb


def ratios(runs: dict[str, list[Run]]) -> None:
    for rival in ("wget", "scrapy"):
        if rival in runs:
            print(f"ratio pages_per_second ours/{rival} {median(runs['ours'], _rate) / median(runs[rival], _rate):.2f}")
            print(f"ratio cpu_per_page ours/{rival} {median(runs['ours'], _cpu) / median(runs[rival], _cpu):.2f}")
    if "scrapy" not in runs:
        print("scrapy: NOT RUN, it is missing: make peers")
    on, off = runs["ours"], runs["ours, no fsync"]
    print(f"fsync on {median(on, _rate):.0f} off {median(off, _rate):.0f} pages/s")
    print(f"ratio pages_per_second fsync/no_fsync {median(on, _rate) / median(off, _rate):.3f}")


def frontier(server: Nginx, directory: Path) -> None:
    """A million URLs of our server, none of which exists: fill, then let a real engine resume and crawl for some seconds."""
    job = directory / "job"
    job.mkdir()
    seed = server.url("site")
    started = time.monotonic()
    filled = Frontier(job / FRONTIER_FILE, 1, attempt=1)
    for first in range(0, MILLION, 10_000):
        filled.find(
            [Found(f"{seed}absent/section-{n % 997}/page-{n}.html", UrlState.PENDING, "L") for n in range(first, first + 10_000)]
        )
    filled.close()
    size = (job / FRONTIER_FILE).stat().st_size
    print(
        f"frontier: {MILLION} URLs in {time.monotonic() - started:.1f} s, {size / 1e6:.0f} MB, {size / MILLION:.0f} bytes a URL"
    )
    where = attempt(job, 2, profile(seed))
    started = time.monotonic()
    before = len(server.accesses())
    with open(directory / "output.log", "wb") as output:
        process = subprocess.Popen([sys.executable, "-m", "healtharchive.crawl.http", str(where)], stdout=output, stderr=output)
    while len(server.accesses()) <= before + 1:  # the first is robots.txt
        if process.poll() is not None:
            sys.exit(f"the engine ended:\n{(directory / 'output.log').read_text()[-3000:]}")
        time.sleep(0.005)
    resumed = time.monotonic() - started
    with peak_of(process.pid) as held:
        time.sleep(5)
    peak = max(held) / 1024
    process.terminate()
    process.wait()
    pages = len(server.accesses()) - before
    print(f"frontier: resume {resumed:.2f} s from start of the process to its first page, peak {peak:.0f} MB after {pages} pages")


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    options.add_argument("--rounds", type=int, default=3)
    options.add_argument("--copies", type=int, default=3, help="of the site's 1,731 pages, so that start-up does not decide")
    options.add_argument("--scrapy-rounds", type=int, default=1)
    options.add_argument("--no-frontier", action="store_true")
    arguments = options.parse_args()
    runs: dict[str, list[Run]] = {}
    with tempfile.TemporaryDirectory(prefix="bench-crawl-") as scratch:
        base = Path(scratch)
        site = base / "site"
        site.mkdir()
        build_site(site, arguments.copies)
        with nginx(base / "nginx", Site("site", site, gzip=False, extra="gzip_static on;")) as server:
            for number in range(arguments.rounds):
                tools: list[Callable[[Nginx, Path], Run | None]] = [ours, wget, lambda s, d: ours(s, d, fsync=False)]
                if number < arguments.scrapy_rounds:
                    tools.append(scrapy)
                first = number % len(tools)  # nobody comes first, or after the same rival, in each round
                for position, tool in enumerate(tools[first:] + tools[:first]):
                    directory = base / f"run-{number}-{position}"
                    directory.mkdir()
                    run = tool(server, directory)
                    if run is not None:
                        runs.setdefault(run.tool, []).append(run)
                    shutil.rmtree(directory)
            table(runs)
            ratios(runs)
            if not arguments.no_frontier:
                directory = base / "frontier"
                directory.mkdir()
                frontier(server, directory)


if __name__ == "__main__":
    main()
