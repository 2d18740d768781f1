"""Give captures out in formats that other tools read: CDXJ of what is in the database, WACZ with the WARCs themselves."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Protocol

from sqlalchemy.engine import Connection

from healtharchive import __version__
from healtharchive.access import captures
from healtharchive.access.captures import NOT_MODIFIED
from healtharchive.access.model import Capture
from healtharchive.errors import NotFound
from healtharchive.host.clock import SystemClock
from healtharchive.storage import spool
from healtharchive.warc import cdxj, wacz

SOFTWARE = f"HealthArchive {__version__}"


class TextSink(Protocol):
    """Where lines go: a text file, or standard output."""

    def write(self, text: str, /) -> object: ...


@dataclass(frozen=True)
class WaczSummary:
    """What an export holds.

    `referred` captures lie outside the selection and came along because revisits in it refer to them; `missing` revisits refer to
    captures that this archive does not hold.
    """

    output: Path
    size_bytes: int
    warcs: int
    captures: int
    pages: int
    referred: int
    missing: int
    sha256: str  # of datapackage.json, which lists the digests of all other files


@dataclass(frozen=True)
class _Selection:
    """What belongs into a WACZ, found by one walk over the captures."""

    warc_ids: tuple[int, ...]
    outside: tuple[Capture, ...]  # in the order of a CDXJ file
    missing: int
    main_page: Capture | None


def export_cdxj(
    conn: Connection, out: TextSink, *, source: str | None = None, job_id: int | None = None, for_replay: bool = False
) -> int:
    """Write an index of captures, of everything if nothing is chosen, sorted as replay tools want it. Returns its lines.

    `for_replay` writes the index that pywb needs: a visit that the server answered with "not modified" leads to the record of
    what it refers to, at the visit's own time. Without a line pywb would show the nearest capture, which may be a later and
    different one.
    """
    count = 0
    for text in _lines(conn, source, job_id, _pywb_line if for_replay else None):
        out.write(text)
        count += 1
    return count


def export_wacz(
    conn: Connection,
    jobs_root: Path,
    output: Path,
    *,
    source: str | None = None,
    job_id: int | None = None,
    title: str = "",
    at: datetime | None = None,
) -> WaczSummary:
    """Write the chosen captures with their WARCs as one file that replays by itself: what its revisits refer to comes along.

    WARCs go in whole, as they were sealed, and their digests are proved on the way; the index lists what was chosen, in the way
    that players need. `at` is when the export says that it was made, now if not given. Raises NotFound if nothing is chosen,
    Refused if `output` exists, wacz.WarcChanged, OSError; then nothing is left behind.
    """
    selection = _select(conn, source, job_id)
    if not selection.warc_ids:
        raise NotFound("There is no capture to export.", hint="What is archived: healtharchive source list")
    about = wacz.About(
        title=title or source or "HealthArchive",
        created=at or SystemClock().now(),
        software=SOFTWARE,
        main_page=_page(selection.main_page) if selection.main_page else None,
    )
    written = wacz.write(
        output,
        about,
        warcs=_warcs(conn, jobs_root, selection.warc_ids),
        lines=heapq.merge(_lines(conn, source, job_id, _wabac_line), map(cdxj_line, selection.outside)),
        pages=(_page(capture) for capture in captures.iterate(conn, source, job_id) if _is_entry(capture)),
    )
    return WaczSummary(
        output=output,
        size_bytes=written.size_bytes,
        warcs=written.warcs,
        captures=written.captures,
        pages=written.pages,
        referred=len(selection.outside),
        missing=selection.missing,
        sha256=written.sha256,
    )


def cdxj_line(capture: Capture, *, record: Capture | None = None, status: int | None = None) -> str:
    """The line of one capture; with `record` it leads to another capture's record, with `status` it says another status."""
    found = record or capture
    said = status or found.status
    return cdxj.line(
        key=capture.surt,
        timestamp=capture.timestamp,
        url=capture.url,
        mime="warc/revisit" if found.is_revisit else found.mime or None,
        status=None if said is None else str(said),
        digest=found.payload_digest or "-",
        length=found.length,
        offset=found.offset,
        filename=found.warc_name,
    )


def _pywb_line(visit: Capture, holder: Capture) -> str:
    """pywb 2.10 shows a revisit of status 3xx without a body, but takes whatever record a line leads to at the line's time."""
    return cdxj_line(visit, record=holder)


def _wabac_line(visit: Capture, holder: Capture) -> str:
    """wabac 2.27 does the same by the status of the line, and insists that the record has the line's URL and time."""
    return cdxj_line(visit, status=holder.status)


def _lines(
    conn: Connection, source: str | None, job_id: int | None, not_modified: Callable[[Capture, Capture], str] | None
) -> Iterator[str]:
    """The lines of a selection; visits that were answered "not modified" as `not_modified` makes them of visit and holder."""
    for capture in captures.iterate(conn, source, job_id):
        if not_modified is None or not (capture.is_revisit and capture.status == NOT_MODIFIED):
            yield cdxj_line(capture)
            continue
        try:
            yield not_modified(capture, captures.holder_of(conn, capture))
        except captures.PayloadMissing:
            continue  # nothing could be shown


def _select(conn: Connection, source: str | None, job_id: int | None) -> _Selection:
    warc_ids: dict[int, None] = {}
    outside: dict[int, Capture] = {}
    missing = 0
    main_page: Capture | None = None
    for capture in captures.iterate(conn, source, job_id):
        warc_ids[capture.warc_id] = None
        if _is_entry(capture) and (main_page is None or len(capture.url) < len(main_page.url)):
            main_page = capture  # the shortest URL is the front page of most sites
        if capture.is_revisit:
            try:
                holder = captures.holder_of(conn, capture)
            except captures.PayloadMissing:
                missing += 1
                continue
            warc_ids[holder.warc_id] = None
            if (source is not None and holder.source != source) or (job_id is not None and holder.job_id != job_id):
                outside[holder.id] = holder
    ordered = sorted(outside.values(), key=cdxj_line)
    return _Selection(tuple(sorted(warc_ids)), tuple(ordered), missing, main_page)


def _is_entry(capture: Capture) -> bool:
    """Whether a reader may begin there: a page that was answered as one, or that had not changed since it was."""
    return capture.is_page and capture.status is not None and (200 <= capture.status < 300 or capture.status == NOT_MODIFIED)


def _page(capture: Capture) -> wacz.Page:
    return wacz.Page(url=capture.url, at=capture.captured_at, title=capture.title)


def _warcs(conn: Connection, jobs_root: Path, warc_ids: tuple[int, ...]) -> Iterator[wacz.WarcFile]:
    for warc_id in warc_ids:
        stored = spool.get(conn, warc_id)
        yield wacz.WarcFile(stored.name, jobs_root / stored.path, stored.sha256)
