"""Text of PDF files, by a child that may be killed: the parser is a large C++ library fed with whatever the web holds.

The parent writes the files into a directory and starts one child for all of them. The child, under a limit of memory, answers
each with a JSON file of its own, in order. When an answer is late or the child dies, the file it was at is given up and another
child goes on behind it.
"""

from __future__ import annotations

import json
import os
import resource
import sys
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from signal import SIGKILL
from typing import Final

from healtharchive.host import Child, Host

PDF_SECONDS_MAX: Final = 30.0
"""What one file may take. pypdfium2 reads about 1,000 pages a second (evidence/index.md section 2)."""

_START_SECONDS: Final = 15.0  # for the interpreter, on a busy machine
_MEMORY_BYTES_MAX: Final = 1 << 30
_CHARACTERS_MAX: Final = 4_000_000
_POLL_SECONDS: Final = 0.02


@dataclass(frozen=True)
class PdfText:
    title: str
    text: str


def extract(payloads: Sequence[bytes], host: Host, *, seconds_max: float = PDF_SECONDS_MAX) -> list[PdfText | None]:
    """The text of each PDF; None where it could not be read, or not within `seconds_max`. Raises OSError if no child starts."""
    if not payloads:
        return []
    with tempfile.TemporaryDirectory(prefix="healtharchive-pdf-") as name:
        directory = Path(name)
        for number, payload in enumerate(payloads):
            _input(directory, number).write_bytes(payload)
        answers: list[PdfText | None] = []
        while len(answers) < len(payloads):
            child = host.processes.spawn(
                [sys.executable, "-m", __name__, name, str(len(answers)), str(len(payloads))],
                cwd=directory,
                log=directory / "log",
            )
            try:
                _collect(directory, answers, len(payloads), child, host, seconds_max)
            finally:
                _end(child, host)
        return answers


def _collect(directory: Path, answers: list[PdfText | None], wanted: int, child: Child, host: Host, seconds_max: float) -> None:
    """Append the child's answers until it has given all, or is late or dead: then None stands for the file it was at."""
    deadline = host.clock.monotonic() + seconds_max + _START_SECONDS
    while len(answers) < wanted:
        is_over = child.poll() is not None
        path = _output(directory, len(answers))
        if path.exists():
            data = json.loads(path.read_bytes())
            answers.append(PdfText(data["title"], data["text"]) if data else None)
            deadline = host.clock.monotonic() + seconds_max
        elif is_over or host.clock.monotonic() > deadline:
            answers.append(None)
            return
        else:
            host.clock.sleep(_POLL_SECONDS)


def _end(child: Child, host: Host) -> None:
    while child.poll() is None:
        host.processes.signal(child.id, SIGKILL)
        host.clock.sleep(_POLL_SECONDS)


def _input(directory: Path, number: int) -> Path:
    return directory / f"{number}.pdf"


def _output(directory: Path, number: int) -> Path:
    return directory / f"{number}.json"


def _main(directory: Path, first: int, end: int) -> None:
    """The child."""
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY_BYTES_MAX, _MEMORY_BYTES_MAX))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    os.nice(5)
    for number in range(first, end):
        answer = _read(_input(directory, number))
        beside = directory / f"{number}.new"
        beside.write_text(json.dumps(answer), encoding="utf-8")
        beside.rename(_output(directory, number))


def _read(path: Path) -> dict[str, str] | None:
    import pypdfium2

    try:
        document = pypdfium2.PdfDocument(path)
    except pypdfium2.PdfiumError:  # damaged, or protected by a password
        return None
    pages: list[str] = []
    size = 0
    for page in document:
        # A page that cannot be read does not cost the others.
        with suppress(pypdfium2.PdfiumError):
            pages.append(page.get_textpage().get_text_range())
            size += len(pages[-1])
        if size > _CHARACTERS_MAX:
            break
    title = document.get_metadata_value("Title")
    text = "\n".join(pages)[:_CHARACTERS_MAX]
    # Lone surrogates of damaged text maps are no text and fit no UTF-8.
    return {"title": _clean(title), "text": _clean(text)}


def _clean(text: str) -> str:
    return text.encode("utf-8", "replace").decode("utf-8").replace("\r\n", "\n").replace("\ufffe", "")


if __name__ == "__main__":
    _main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
