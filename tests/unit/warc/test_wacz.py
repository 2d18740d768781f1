from __future__ import annotations

import gzip
import hashlib
import json
import struct
import zipfile
import zlib
from datetime import UTC, datetime
from pathlib import Path

import pytest
from tests.rigs.warcs import record_bytes, write_members
from wacz.main import main as wacz_tool  # type: ignore[import-untyped]

from healtharchive.errors import Refused
from healtharchive.warc import cdxj
from healtharchive.warc.wacz import LINES_PER_MEMBER, About, Page, WarcChanged, WarcFile, Written, write

NOW = datetime(2026, 3, 5, 10, 20, 30, tzinfo=UTC)
PAGE = Page("https://example.org/page/0", NOW, "L’hôpital")


def make(tmp_path: Path, count: int = 3) -> tuple[Written, WarcFile]:
    warc = write_members(tmp_path / "HC-000001.warc.gz", [record_bytes(n) for n in range(count)]).path
    file = WarcFile(warc.name, warc, hashlib.sha256(warc.read_bytes()).hexdigest())
    about = About("Health Canada", NOW, "HealthArchive test", "An export", PAGE)
    output = tmp_path / "out.wacz"
    return write(output, about, warcs=[file], lines=cdxj.sorted_lines([warc]), pages=[PAGE]), file


def test_the_reference_validator_accepts_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    written, _ = make(tmp_path)
    assert wacz_tool(["validate", "-f", str(written.path)]) == 0
    assert "is valid" in capsys.readouterr().out
    assert (written.warcs, written.captures, written.pages) == (1, 3, 1)


def test_every_file_is_listed_with_its_size_and_digest(tmp_path: Path) -> None:
    written, _ = make(tmp_path)
    with zipfile.ZipFile(written.path) as archive:
        package = json.loads(archive.read("datapackage.json"))
        listed = {resource["path"] for resource in package["resources"]}
        assert listed | {"datapackage.json", "datapackage-digest.json"} == set(archive.namelist())
        for resource in package["resources"]:
            data = archive.read(resource["path"])
            assert (resource["bytes"], resource["hash"]) == (len(data), f"sha256:{hashlib.sha256(data).hexdigest()}")
        digest = json.loads(archive.read("datapackage-digest.json"))["hash"]
        assert digest == f"sha256:{hashlib.sha256(archive.read('datapackage.json')).hexdigest()}" == f"sha256:{written.sha256}"
        assert package["wacz_version"] == "1.1.1"
        assert package["mainPageURL"] == PAGE.url


def test_warcs_are_stored_as_they_are(tmp_path: Path) -> None:
    written, file = make(tmp_path)
    with zipfile.ZipFile(written.path) as archive:
        info = archive.getinfo(f"archive/{file.name}")
        assert info.compress_type == zipfile.ZIP_STORED
        assert archive.read(info) == file.path.read_bytes()
        assert archive.getinfo("indexes/index.cdx.gz").compress_type == zipfile.ZIP_STORED


def test_the_index_is_read_a_member_at_a_time(tmp_path: Path) -> None:
    count = LINES_PER_MEMBER + 5
    written, file = make(tmp_path, count)
    with zipfile.ZipFile(written.path) as archive:
        packed = archive.read("indexes/index.cdx.gz")
        meta, *members = archive.read("indexes/index.idx").decode().splitlines()
    assert meta == '!meta 0 {"format": "cdxj-gzip-1.0", "filename": "index.cdx.gz"}'
    lines: list[str] = []
    for member in members:
        prefix, place = member.rpartition(" {")[0], json.loads("{" + member.partition("{")[2])
        part = packed[place["offset"] : place["offset"] + place["length"]]
        assert place["digest"] == f"sha256:{hashlib.sha256(part).hexdigest()}"
        block = gzip.decompress(part).decode().splitlines(keepends=True)
        assert block[0].startswith(prefix + " {")
        lines += block
    assert len(members) == 2
    assert lines == cdxj.sorted_lines([file.path])


def test_pages_carry_url_date_and_title(tmp_path: Path) -> None:
    written, _ = make(tmp_path)
    with zipfile.ZipFile(written.path) as archive:
        header, page = map(json.loads, archive.read("pages/pages.jsonl").decode().splitlines())
    assert header["format"] == "json-pages-1.0"
    assert page.pop("id")
    assert page == {"url": PAGE.url, "ts": "2026-03-05T10:20:30Z", "title": "L’hôpital"}


def test_the_same_input_gives_the_same_bytes(tmp_path: Path) -> None:
    first, _ = make(tmp_path)
    data = first.path.read_bytes()
    first.path.unlink()
    assert make(tmp_path)[0].path.read_bytes() == data


def test_an_existing_file_is_never_replaced(tmp_path: Path) -> None:
    (tmp_path / "out.wacz").write_text("precious")
    with pytest.raises(Refused, match="exists already"):
        make(tmp_path)
    assert (tmp_path / "out.wacz").read_text() == "precious"


def test_a_warc_that_changed_since_it_was_sealed_is_not_exported(tmp_path: Path) -> None:
    warc = write_members(tmp_path / "x.warc.gz", [record_bytes(0)]).path
    output = tmp_path / "out.wacz"
    with pytest.raises(WarcChanged, match="Nothing was exported"):
        write(output, About("x", NOW, "test"), warcs=[WarcFile(warc.name, warc, "0" * 64)], lines=[], pages=[])
    assert {path.name for path in tmp_path.iterdir()} == {"x.warc.gz"}


def test_players_that_trust_the_central_directory_find_the_data(tmp_path: Path) -> None:
    """wabac takes a local header for one without extra fields where the central directory has none."""
    written, _ = make(tmp_path)
    data = written.path.read_bytes()
    with zipfile.ZipFile(written.path) as archive:
        for info in archive.infolist():
            name_length, extra_length = struct.unpack_from("<HH", data, info.header_offset + 26)
            assert info.extra or not extra_length
            stored = data[info.header_offset + 30 + name_length + extra_length :][: info.compress_size]
            assert archive.read(info) == (stored if info.compress_type == zipfile.ZIP_STORED else zlib.decompress(stored, -15))
