"""PDF text comes out of a child that may hang, die or be fed with anything."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import pypdfium2
import pytest

from healtharchive.access import pdf
from healtharchive.host import Child, Host, ProcessId, this_host


def make_pdf(path: Path, words: str) -> bytes:
    """A one-page PDF with a line of text, written by hand: objects, then the table of their offsets."""
    stream = f"BT /F1 24 Tf 50 700 Td ({words}) Tj ET".encode()
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Contents 4 0 R /Resources << /Font << /F1 5 0 R >> >> >>",
        b"<< /Length %d >>\nstream\n%s\nendstream" % (len(stream), stream),
        b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
        b"<< /Title (A report) >>",
    ]
    data = b"%PDF-1.4\n"
    offsets = []
    for number, body in enumerate(objects, start=1):
        offsets.append(len(data))
        data += b"%d 0 obj\n%s\nendobj\n" % (number, body)
    table = b"".join(b"%010d 00000 n \n" % offset for offset in offsets)
    size = len(objects) + 1
    data += b"xref\n0 %d\n0000000000 65535 f \n%strailer\n<< /Size %d /Root 1 0 R /Info 6 0 R >>\nstartxref\n%d\n%%%%EOF\n" % (
        size, table, size, len(data),
    )  # fmt: skip
    path.write_bytes(data)
    return data


@pytest.fixture
def report(tmp_path: Path) -> bytes:
    return make_pdf(tmp_path / "report.pdf", "Measles surveillance report")


def test_text_and_title_come_out(report: bytes) -> None:
    (found,) = pdf.extract([report], this_host())
    assert found == pdf.PdfText("A report", "Measles surveillance report")


def test_a_file_that_is_none_costs_only_itself(report: bytes) -> None:
    found = pdf.extract([b"%PDF-1.4 broken", report, b"", report[:300], report], this_host())
    assert [item is not None for item in found] == [False, True, False, False, True]


class _Replaced:
    """Processes whose child is another program: the first start only."""

    def __init__(self, host: Host, program: str) -> None:
        self._host = host
        self._program: str | None = program

    def me(self) -> ProcessId:
        return self._host.processes.me()

    def spawn(self, argv: Sequence[str], *, cwd: Path, log: Path, env: Mapping[str, str] | None = None) -> Child:
        if self._program is not None:
            argv, self._program = [sys.executable, "-c", self._program], None
        return self._host.processes.spawn(argv, cwd=cwd, log=log, env=env)

    def is_alive(self, process: ProcessId) -> bool:
        return self._host.processes.is_alive(process)

    def signal(self, process: ProcessId, number: int) -> bool:
        return self._host.processes.signal(process, number)


@pytest.mark.parametrize("program", ["import os; os.abort()", "import time; time.sleep(600)"], ids=["dies", "hangs"])
def test_a_child_that_dies_or_hangs_costs_the_file_it_was_at(
    report: bytes, program: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pdf, "_START_SECONDS", 0.5)
    host = this_host()
    found = pdf.extract(
        [report, report], replace(host, processes=_Replaced(host, program)), seconds_max=30 if "abort" in program else 1
    )
    assert found[0] is None
    assert len(found) == 2


def test_the_parser_is_the_one_that_is_shipped() -> None:
    assert pypdfium2.PYPDFIUM_INFO.version
