"""The process that reads links: the same answers, whatever becomes of it."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from healtharchive.crawl.links import extract
from healtharchive.crawl.reader import About, LinkReader, LinksUnread

ABOUT: About = {"url": "https://site.example/a/b.html", "mime": "text/html", "charset": "utf-8", "headers": ()}
FIXTURES = sorted((Path(__file__).parent / "fixtures").rglob("*.html"))
PAGES = [
    b"<a href='%d.html'><img src=i.png><link rel=canonical href=/c><a href='mailto:a@b.example'>" % number for number in range(50)
]

ENGINE = """
import time
from healtharchive.crawl.reader import LinkReader
reader = LinkReader.start()
print(reader._process, flush=True)
time.sleep(60)
"""


@pytest.fixture
def reader() -> Iterator[LinkReader]:
    reader = LinkReader.start()
    yield reader
    reader.close()


def test_it_answers_what_reading_here_would(reader: LinkReader) -> None:
    pages = [*PAGES, *(path.read_bytes() for path in FIXTURES), b"<a href=x>" * 200_000, b""]

    async def read() -> None:
        await reader.open()
        answers = await asyncio.gather(*(reader.extract(page, **ABOUT) for page in pages))
        assert answers == [extract(page, **ABOUT) for page in pages]
        about: About = {**ABOUT, "headers": (("Link", "<https://site.example/n>; rel=next"),)}
        linked = await reader.extract(b"", **about)
        assert [link.url for link in linked.links] == ["https://site.example/n"]
        reader.close()

    asyncio.run(read())


def test_a_page_that_kills_it_is_unread_and_all_others_are_read(reader: LinkReader) -> None:
    async def read() -> None:
        await reader.open()
        os.kill(reader._process, signal.SIGSTOP)
        answers = [asyncio.ensure_future(reader.extract(page, **ABOUT)) for page in PAGES]
        await asyncio.sleep(0.01)
        os.kill(reader._process, signal.SIGKILL)
        done = await asyncio.gather(*answers, return_exceptions=True)
        assert isinstance(done[0], LinksUnread)
        assert done[1:] == [extract(page, **ABOUT) for page in PAGES[1:]]
        assert await reader.extract(PAGES[0], **ABOUT) == extract(PAGES[0], **ABOUT)
        reader.close()

    asyncio.run(read())


def test_a_cancelled_question_does_not_shift_the_answers(reader: LinkReader) -> None:
    async def read() -> None:
        await reader.open()
        first, second = (asyncio.ensure_future(reader.extract(page, **ABOUT)) for page in PAGES[:2])
        await asyncio.sleep(0)
        first.cancel()
        assert await second == extract(PAGES[1], **ABOUT)
        reader.close()

    asyncio.run(read())


def test_it_is_not_stopped_by_what_stops_the_engine_and_ends_when_the_engine_is_killed() -> None:
    engine = subprocess.Popen([sys.executable, "-c", ENGINE], stdout=subprocess.PIPE, text=True)
    assert engine.stdout is not None
    process = int(engine.stdout.readline())
    time.sleep(0.1)
    os.kill(process, signal.SIGTERM)
    time.sleep(0.1)
    assert _runs(process)
    engine.kill()
    engine.wait()
    engine.stdout.close()
    deadline = time.monotonic() + 10
    while _runs(process) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not _runs(process)


def _runs(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] not in ("Z", "X")
    except FileNotFoundError:
        return False
