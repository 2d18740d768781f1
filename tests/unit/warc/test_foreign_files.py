"""WARCs of other programs, made on the spot."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from tests.rigs.nginx import Site, nginx
from tests.rigs.wget import mirror

from healtharchive.warc.cdxj import parse, sorted_lines
from healtharchive.warc.reader import read, record_at
from healtharchive.warc.verify import verify

pytestmark = pytest.mark.drill


@pytest.fixture(scope="module")
def by_wget(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("by-wget")
    root = directory / "root"
    root.mkdir()
    for number in range(20):
        links = "".join(f'<a href="p{other}.html">{other}</a>' for other in range(20))
        (root / f"p{number}.html").write_text(f"<title>{number}</title>{links}" + "text " * number * 50)
    (root / "index.html").write_text('<a href="p0.html">first</a> <a href="none.html">broken</a> <img src="i.bin">')
    (root / "i.bin").write_bytes(bytes(range(256)) * 40_000)  # a body above what is kept in memory
    with nginx(directory / "nginx", Site("small", root)) as server:
        return mirror(server.url("small"), directory / "mirror")


def test_a_file_of_wget_is_read_whole(by_wget: Path) -> None:
    records = [(record.kind, record.target_uri, record.http.status if record.http else None) for record in read(by_wget)]
    statuses = [status for kind, _, status in records if kind == "response"]
    assert sorted(statuses, key=str) == [200] * 22 + [404]
    assert not any("<" in url for _, url, _ in records)  # wget writes its URLs in angle brackets


def test_a_file_of_wget_holds_its_digests(by_wget: Path) -> None:
    found = verify(by_wget)
    assert found.findings == ()
    assert found.digest_count > 60


def test_each_record_of_wget_is_found_by_its_line(by_wget: Path) -> None:
    for line in sorted_lines([by_wget]):
        _, _, fields = parse(line)
        with record_at(by_wget, int(fields["offset"])) as record:
            assert (record.target_uri, record.length) == (fields["url"], int(fields["length"]))


def test_lines_of_a_file_of_wget_equal_those_of_cdxj_indexer(by_wget: Path) -> None:
    tool = Path(sys.executable).with_name("cdxj-indexer")
    judged = subprocess.run([tool, "-s", by_wget], capture_output=True, check=True, text=True).stdout
    assert "".join(sorted_lines([by_wget])) == judged
    assert json.loads(judged.splitlines()[0].split(" ", 2)[2])["filename"] == "wget.warc.gz"
