"""Our crawl of four real sites against `wget --mirror` of them: whatever it finds is in our index, with the same bytes."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.rigs.nginx import Nginx, nginx
from tests.rigs.operated import Operated
from tests.rigs.sites import REAL_SITES, RealSite
from tests.rigs.wget import mirror

from healtharchive.access import captures
from healtharchive.instance import Instance
from healtharchive.warc.coding import decode
from healtharchive.warc.reader import read
from healtharchive.warc.urls import normalize

pytestmark = [pytest.mark.drill, pytest.mark.slow]

BODY_BYTES_MAX = 100_000_000


@dataclass(frozen=True)
class Answer:
    """What a URL answered: its status, and the SHA-256 of its body without codings."""

    status: int
    sha256: str


@dataclass(frozen=True)
class Crawled:
    """The four sites in one archive, while they are still served."""

    archive: Operated
    server: Nginx


@pytest.fixture(scope="module")
def crawled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Crawled]:
    directory = tmp_path_factory.mktemp("real-sites")
    with nginx(directory / "nginx", *(site.serve() for site in REAL_SITES)) as server:
        archive = Operated.create(directory / "instance")
        for site in REAL_SITES:
            archive.capture(server.url(site.name), site.name)
        yield Crawled(archive, server)


def answers_of_wget(warc: Path) -> dict[str, Answer]:
    """By URL in our normal form; of several answers of one URL the last."""
    answers = {}
    for record in read(warc):
        url = normalize(record.target_uri) if record.kind == "response" else None
        if url is not None:
            assert record.http is not None
            answers[url] = Answer(record.http.status, sha256(record.text_payload(BODY_BYTES_MAX)))
    return answers


def answers_of_ours(instance: Instance, source: str) -> dict[str, Answer]:
    """What the index holds of a source, each body read through the index from the WARC that holds it."""
    answers = {}
    with instance.db.read() as conn:
        for capture in captures.iterate(conn, source):
            payload = captures.payload_of(conn, instance.jobs_root, capture)
            body = decode([payload.body], payload.content_encoding, limit=BODY_BYTES_MAX)
            answers[capture.url] = Answer(capture.status or 0, sha256(body))
    return answers


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


@pytest.mark.parametrize("site", REAL_SITES, ids=lambda site: site.name)
def test_everything_that_wget_finds_is_in_our_index_with_the_same_bytes(
    crawled: Crawled, site: RealSite, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    theirs = answers_of_wget(mirror(crawled.server.url(site.name), tmp_path / "wget"))
    with crawled.archive.opened() as instance:
        ours = answers_of_ours(instance, site.name)
    missing = sorted(url for url in theirs if url not in ours)
    different = sorted(url for url in theirs if url in ours and ours[url] != theirs[url])
    more = sorted(url for url in ours if url not in theirs)
    counts = f"missing {len(missing)}, different {len(different)}, only ours {len(more)}"
    print(f"\n{site.name}: wget {len(theirs)}, ours {len(ours)}, {counts}")
    for url in more:
        print(f"  only ours: {ours[url].status} {url}")
    record_property("only_ours", json.dumps(more))
    assert len(theirs) > 20, "the judge itself found nothing"
    assert missing == []
    assert different == []


@pytest.mark.parametrize("site", REAL_SITES, ids=lambda site: site.name)
def test_no_page_is_fetched_twice(crawled: Crawled, site: RealSite) -> None:
    asked: dict[str, int] = {}
    for access in crawled.server.accesses(site.name):
        if access.agent.startswith("HealthArchive"):
            asked[access.uri] = asked.get(access.uri, 0) + 1
    assert asked
    assert {uri: count for uri, count in asked.items() if count > 1} == {}


@pytest.mark.parametrize("site", REAL_SITES, ids=lambda site: site.name)
def test_what_is_archived_is_what_lies_on_disk(crawled: Crawled, site: RealSite) -> None:
    root = site.serve().root
    compared = 0
    with crawled.archive.opened() as instance:
        for url, answer in answers_of_ours(instance, site.name).items():
            path = url.removeprefix(crawled.server.url(site.name, "/")).partition("?")[0]
            file = root / (path or site.front)
            if answer.status == 200 and file.is_file():
                compared += 1
                assert answer.sha256 == sha256(file.read_bytes()), url
    assert compared > 20
