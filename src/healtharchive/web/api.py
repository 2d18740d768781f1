"""The JSON API, `/api/v1`: the same reads as the pages. Read only; every error is one object of one shape."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, Final

from fastapi import APIRouter, Path, Query, Request
from fastapi.responses import JSONResponse, Response
from pydantic import BaseModel, ConfigDict, Field

from healtharchive import __version__
from healtharchive.access import replay
from healtharchive.access.captures import PayloadMissing
from healtharchive.access.model import Capture, Edition, Hit, SearchPage
from healtharchive.access.query import Sort, View, parse, period
from healtharchive.errors import HealthArchiveError, NotFound, StorageUnavailable, UsageError
from healtharchive.warc import urls
from healtharchive.warc.reader import WarcDamaged
from healtharchive.web import security
from healtharchive.web.links import Links
from healtharchive.web.reading import Reading
from healtharchive.web.serving import Origins

LIMIT_MAX: Final = 200
OFFSET_MAX: Final = 10_000


# -- errors ------------------------------------------------------------------------------------------------------------


class ErrorBody(BaseModel):
    """What went wrong. `code` is for programs and never changes; `message` is for people."""

    code: str
    status: int
    message: str
    hint: str = ""


class ErrorAnswer(BaseModel):
    error: ErrorBody


_STATUS_MESSAGES: Final[Mapping[int, tuple[str, str]]] = {
    400: ("bad_request", "The request cannot be meant."),
    404: ("not_found", "There is nothing at this address."),
    405: ("method_not_allowed", "This can only be read: use GET."),
    500: ("internal", "The fault is ours and was logged. Nothing in the archive was changed."),
    503: ("storage_unavailable", "The storage or the database does not answer just now. Nothing is lost; try again later."),
}


@dataclass(frozen=True)
class Problem:
    """An error on its way to a client. It holds no path or address of the machine: those go to the log."""

    code: str
    status: int
    message: str
    hint: str = ""

    @classmethod
    def of_status(cls, status: int, detail: str = "") -> Problem:
        code, message = _STATUS_MESSAGES.get(status, ("error", detail or "The request was not answered."))
        return cls(code, status, message)

    @classmethod
    def of_error(cls, error: HealthArchiveError) -> Problem:
        match error:
            case PayloadMissing():
                return cls("payload_missing", 404, "The visit is recorded, but what it saw is not held in this archive.")
            case NotFound():
                return cls("not_found", 404, error.what, error.hint)
            case UsageError():
                return cls("bad_request", 400, error.what, error.hint)
            case StorageUnavailable():
                return cls.of_status(503)
            case WarcDamaged():
                return cls("record_damaged", 500, "The record is damaged. It is kept as it is, and was reported.")
            case _:
                return cls.of_status(500)

    def response(self, headers: Mapping[str, str] | None = None) -> JSONResponse:
        body = ErrorAnswer(error=ErrorBody(code=self.code, status=self.status, message=self.message, hint=self.hint))
        return JSONResponse(body.model_dump(), self.status, dict(headers or {}))


# -- answers -----------------------------------------------------------------------------------------------------------


class Answer(BaseModel):
    model_config = ConfigDict(frozen=True)


class HealthAnswer(Answer):
    status: str = Field(description="`ok`: the database answers and has this program's schema.")
    version: str
    captures: int
    latest_capture_at: datetime | None


class EditionAnswer(Answer):
    """What one crawl of a source added."""

    job_id: int
    captures: int
    pages: int
    first_at: datetime
    last_at: datetime

    @classmethod
    def of(cls, edition: Edition) -> EditionAnswer:
        return cls(
            job_id=edition.job_id,
            captures=edition.captures,
            pages=edition.pages,
            first_at=edition.first_at,
            last_at=edition.last_at,
        )


class SourceAnswer(Answer):
    name: str
    title: str
    seeds: list[str]
    captures: int
    pages: int = Field(description="Addresses that answered with a document.")
    first_at: datetime | None
    last_at: datetime | None
    editions: list[EditionAnswer]


class SourcesAnswer(Answer):
    sources: list[SourceAnswer]


class CaptureAnswer(Answer):
    """One archived response."""

    id: int
    url: str
    timestamp: str = Field(description="YYYYMMDDhhmmss, UTC")
    captured_at: datetime
    source: str
    job_id: int
    record_type: str
    status: int | None
    mime: str
    payload_digest: str
    title: str
    language: str | None
    redirect_url: str | None
    truncated: str | None
    is_page: bool
    warc: str
    offset: int
    length: int
    replay_url: str
    record_url: str
    history_url: str

    @classmethod
    def of(cls, capture: Capture, links: Links) -> CaptureAnswer:
        return cls(
            id=capture.id,
            url=capture.url,
            timestamp=capture.timestamp,
            captured_at=capture.captured_at,
            source=capture.source,
            job_id=capture.job_id,
            record_type=capture.record_type,
            status=capture.status,
            mime=capture.mime,
            payload_digest=capture.payload_digest,
            title=capture.title,
            language=capture.language,
            redirect_url=capture.redirect_url,
            truncated=capture.truncated,
            is_page=capture.is_page,
            warc=capture.warc_name,
            offset=capture.offset,
            length=capture.length,
            replay_url=links.copy("en", capture),
            record_url=links.record(capture.id),
            history_url=links.history("en", capture.url),
        )


class CapturesAnswer(Answer):
    url: str
    total: int
    limit: int
    offset: int
    captures: list[CaptureAnswer] = Field(description="Oldest first.")


class HitAnswer(Answer):
    capture: CaptureAnswer
    score: float
    title: str
    snippet: str = Field(description="Plain text.")
    highlights: list[str] = Field(description="Pieces of title and snippet that match.")
    captures: int = Field(description="Captures of this address in the archive.")

    @classmethod
    def of(cls, hit: Hit, links: Links) -> HitAnswer:
        parts = (*hit.title, *hit.snippet)
        return cls(
            capture=CaptureAnswer.of(hit.capture, links),
            score=hit.score,
            title="".join(part.text for part in hit.title) or hit.capture.title,
            snippet="".join(part.text for part in hit.snippet),
            highlights=list(dict.fromkeys(part.text for part in parts if part.highlighted)),
            captures=hit.captures,
        )


class FacetAnswer(Answer):
    value: str
    count: int


class SearchAnswer(Answer):
    query: str
    view: str
    total: int
    total_is_exact: bool
    corrected: bool = Field(description="Whether similar spellings were searched, too, for want of results.")
    notes: list[str] = Field(description="Parts of the query that were not understood.")
    limit: int
    offset: int
    hits: list[HitAnswer]
    facets: dict[str, list[FacetAnswer]]

    @classmethod
    def of(cls, found: SearchPage, links: Links, *, query: str, view: str, limit: int, offset: int) -> SearchAnswer:
        facets = {name: getattr(found.facets, name) for name in ("source", "language", "year", "type")}
        return cls(
            query=query,
            view=view,
            total=found.total,
            total_is_exact=found.total_is_exact,
            corrected=found.corrected,
            notes=list(found.notes),
            limit=limit,
            offset=offset,
            hits=[HitAnswer.of(hit, links) for hit in found.hits],
            facets={
                name: [FacetAnswer(value=count.value, count=count.count) for count in counts] for name, counts in facets.items()
            },
        )


# -- requests ----------------------------------------------------------------------------------------------------------

Limit = Annotated[int, Query(ge=1, le=LIMIT_MAX, description="Most entries of one answer.")]
Offset = Annotated[int, Query(ge=0, le=OFFSET_MAX, description="Entries to skip.")]
Values = Annotated[list[str], Query(max_length=20)]
CaptureId = Annotated[int, Path(ge=1, lt=2**63)]
_ERRORS: Final[dict[int | str, dict[str, Any]]] = {
    400: {"model": ErrorAnswer},
    404: {"model": ErrorAnswer},
    503: {"model": ErrorAnswer, "description": "Storage or database away; Retry-After says when to ask again."},
}


def routes(reading: Reading, origins: Origins) -> APIRouter:
    """Every request of the API. The handlers are synchronous: each runs in a thread, with a database connection of its own."""
    router = APIRouter(responses=_ERRORS)

    @router.get("/health", summary="Whether the archive can be read")
    def health() -> HealthAnswer:
        overview = reading.overview()
        return HealthAnswer(status="ok", version=__version__, captures=overview.captures, latest_capture_at=overview.last_at)

    @router.get("/sources", summary="The sources and what is kept of each")
    def sources() -> SourcesAnswer:
        answers = []
        for card in reading.overview().sources:
            held = card.summary
            answers.append(
                SourceAnswer(
                    name=card.name,
                    title=card.title,
                    seeds=list(card.seeds),
                    captures=held.captures if held else 0,
                    pages=held.pages if held else 0,
                    first_at=held.first_at if held else None,
                    last_at=held.last_at if held else None,
                    editions=[EditionAnswer.of(edition) for edition in held.editions] if held else [],
                )
            )
        return SourcesAnswer(sources=answers)

    @router.get("/search", summary="Pages or captures whose text matches")
    def search(
        request: Request,
        q: Annotated[str, Query(max_length=1000, description="Words, phrases and filters, as on the search page.")] = "",
        source: Values = [],  # noqa: B006 - read by the framework, never changed
        language: Values = [],  # noqa: B006
        type: Values = [],  # noqa: B006
        status: Annotated[list[int], Query(max_length=20)] = [],  # noqa: B006
        captured_from: Annotated[str, Query(alias="from", max_length=20, description="2025, 2025-06 or 2025-06-30")] = "",
        captured_to: Annotated[str, Query(alias="to", max_length=20, description="Inclusive.")] = "",
        view: View = "pages",
        sort: Sort = "relevance",
        limit: Limit = 20,
        offset: Offset = 0,
    ) -> SearchAnswer:
        query = parse(
            q,
            sources=source,
            languages=language,
            mimes=type,
            statuses=status,
            date_from=_bound(captured_from, "from")[0],
            date_to=_bound(captured_to, "to")[1],
            view=view,
            sort=sort,
        )
        found = reading.search(query, limit=limit, offset=offset)
        return SearchAnswer.of(found, origins.links(request), query=q, view=view, limit=limit, offset=offset)

    @router.get("/captures", summary="The captures of one address, oldest first")
    def captures(
        request: Request,
        url: Annotated[str, Query(max_length=urls.URL_BYTES_MAX)],
        source: Annotated[str | None, Query(max_length=100)] = None,
        limit: Limit = 100,
        offset: Offset = 0,
    ) -> CapturesAnswer:
        wanted = replay.complete_url(url)
        if wanted is None:
            raise UsageError("Parameter url is not a web address.", hint="Write a whole one: https://example.org/page")
        found = reading.history(wanted, source=source, limit=limit, offset=offset)
        links = origins.links(request)
        answers = [CaptureAnswer.of(capture, links) for capture in found.captures]
        return CapturesAnswer(url=found.url, total=found.total, limit=limit, offset=offset, captures=answers)

    @router.get("/snapshot/{capture_id}", summary="One capture")
    def snapshot(request: Request, capture_id: CaptureId) -> CaptureAnswer:
        return CaptureAnswer.of(reading.capture(capture_id), origins.links(request))

    @router.get(
        "/captures/{capture_id}/record",
        summary="The record as it lies in its WARC, read by offset: a gzip member, and so a whole WARC",
        response_class=Response,
        responses={200: {"content": {"application/gzip": {}}}},
    )
    def record(capture_id: CaptureId) -> Response:
        capture = reading.capture(capture_id)
        body = reading.member(capture)
        compressed = body.startswith(b"\x1f\x8b")
        name = f"capture-{capture.id}.warc{'.gz' if compressed else ''}"
        return _download(body, "application/gzip" if compressed else "application/warc", name)

    @router.get(
        "/captures/{capture_id}/payload",
        summary="The body that was captured, without transfer and content codings; never as a type that a browser runs",
        response_class=Response,
        responses={200: {"content": {"application/octet-stream": {}}}},
    )
    def payload(capture_id: CaptureId) -> Response:
        found = reading.payload(reading.capture(capture_id))
        answer = _download(replay.decoded_body(found), "application/octet-stream", f"capture-{capture_id}.bin")
        content_type = (found.header("Content-Type") or "").encode("latin-1", "replace").decode("latin-1")
        answer.headers["X-Archive-Content-Type"] = content_type.replace("\r", " ").replace("\n", " ")
        return answer

    return router


def _bound(text: str, name: str) -> tuple[datetime | None, datetime | None]:
    if not text:
        return None, None
    try:
        return period(text)
    except (ValueError, OverflowError) as error:
        raise UsageError(f"Parameter {name} is not a date.", hint="Write 2025, 2025-06 or 2025-06-30.") from error


def _download(body: bytes, media_type: str, name: str) -> Response:
    headers = {"Content-Disposition": f'attachment; filename="{name}"', **security.DOWNLOAD}
    return Response(body, media_type=media_type, headers=headers)
