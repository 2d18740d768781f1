"""The search engine: Tantivy, on local disk, behind `search.SearchBackend`. The only module that knows its index.

    <search root>/
        current             the name of the directory that is searched; replaced by rename
        writer.lock         held (flock) by the one process that writes; the kernel drops it with the process
        s1a1t0.27.0-000004/ an index: version of schema, of analysis, of the engine; serial

A commit is atomic, and the position in the search clock is a document of the index, so that a commit says by itself up to where
it goes (the bindings do not expose the commit's payload). SIGKILL around a commit leaves the one before or the one after
(evidence/index.md section 3).
"""

from __future__ import annotations

import fcntl
import logging
import os
import shutil
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from importlib.metadata import version
from pathlib import Path
from typing import Final, TypeVar

import tantivy

from healtharchive.access import analysis
from healtharchive.access.compiler import Compiler, Plan
from healtharchive.access.model import FacetCount, Facets
from healtharchive.access.query import Query, Term
from healtharchive.access.schema import (
    ENGINE_ERRORS,
    FACETS,
    POSITION_KEY,
    SCHEMA,
    SCHEMA_VERSION,
    document,
    is_engine_error,
    key_of,
    position_document,
    total_of,
)
from healtharchive.access.search import IndexUnusable, Match, Matches, Position, SearchDocument
from healtharchive.access.snippets import Matcher
from healtharchive.errors import Locked, StorageUnavailable
from healtharchive.host import Clock
from healtharchive.host.files import replace_atomically, sync_directory

log = logging.getLogger(__name__)

VERSION: Final = f"s{SCHEMA_VERSION}a{analysis.ANALYSIS}t{version('tantivy')}"

_POINTER: Final = "current"
_LOCK: Final = "writer.lock"
_POLL_SECONDS: Final = 0.05
_HEAP_BYTES_MIN: Final = 16_000_000  # the engine refuses less than 15 MB a thread

_EXACT_HITS_MAX: Final = 10_000
"""Up to as many hits, pages are counted one by one; beyond, their number is an estimate (HyperLogLog, about 1 %)."""

_READ_MAX: Final = 100_000  # best hits that are read to fill one page of URLs
_FACET_VALUES_MAX: Final = 100

_T = TypeVar("_T")


class TantivyBackend:
    """An index in a directory of its own, followed as it is replaced. Threads may share it."""

    def __init__(self, root: Path, *, heap_mb: int, clock: Clock) -> None:
        self._root = root
        self._heap_bytes = max(heap_mb * 1_000_000, _HEAP_BYTES_MIN)
        self._clock = clock
        self._reader: _Reader | None = None
        self._opening = threading.Lock()

    # -- reading ---------------------------------------------------------------------------------------------------------

    def position(self) -> Position:
        return self._read(_position)

    def count(self) -> int:
        return self._read(lambda searcher: total_of(searcher.search(_all_captures(), limit=1)))

    def search(self, query: Query, *, limit: int, offset: int) -> Matches:
        plan = Compiler(query).plan()
        return self._read(lambda searcher: _Search(searcher, query, plan).page(limit, offset))

    def rare_words(self, query: Query, *, below: int) -> frozenset[Term]:
        compiler = Compiler(query)
        return self._read(lambda searcher: compiler.rare_words(searcher, below))

    def matcher(self, query: Query) -> Matcher:
        return Compiler(query).matcher()

    def explain(self, query: Query, capture_id: int) -> str | None:
        plan = Compiler(query).plan()
        asked = plan.with_filter(tantivy.Query.term_query(SCHEMA, "key", key_of(capture_id)))

        def read(searcher: tantivy.Searcher) -> str | None:
            found = searcher.search(asked, limit=1).hits
            return str(asked.explain(searcher, found[0][1]).to_json()) if found else None

        return self._read(read)

    def _read(self, action: Callable[[tantivy.Searcher], _T]) -> _T:
        """Run on the newest commit. An error of the engine counts as damage only where a plain look fails, too."""
        reader = self._newest()
        try:
            return action(reader.searcher())
        except ENGINE_ERRORS as error:
            if not is_engine_error(error):
                raise
            if reader.answers():
                raise
            self._reader = None
            raise IndexUnusable(f"it is damaged ({error})") from error

    def _newest(self) -> _Reader:
        with self._opening:
            directory = self._current()
            if self._reader is None or self._reader.directory != directory:
                self._reader = _Reader(directory)
            self._reader.refresh()
            return self._reader

    def _current(self) -> Path:
        """The directory that the pointer names. Raises IndexUnusable."""
        try:
            name = (self._root / _POINTER).read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise IndexUnusable("there is none") from error
        if "/" in name or not name.startswith(f"{VERSION}-"):
            raise IndexUnusable(f"it is of another version ({name[:80]!r}; this program's is {VERSION})")
        if not (self._root / name / "meta.json").is_file():
            raise IndexUnusable(f"its directory {name} is gone")
        return self._root / name

    # -- writing ---------------------------------------------------------------------------------------------------------

    @contextmanager
    def writing(self, *, wait_seconds: float) -> Iterator[_Writer]:
        with self._lock(wait_seconds), _opened_writer(self._current(), self._heap_bytes) as writer:
            yield writer

    @contextmanager
    def rebuilding(self, *, wait_seconds: float) -> Iterator[_Writer]:
        with self._lock(wait_seconds):
            directory = self._fresh_directory()
            with _opened_writer(directory, self._heap_bytes, is_new=True) as writer:
                yield writer
            replace_atomically(self._root / _POINTER, f"{directory.name}\n".encode())
            self._sweep(keep=directory)

    def _fresh_directory(self) -> Path:
        serials = [int(path.name.rpartition("-")[2]) for path in self._directories()]
        directory = self._root / f"{VERSION}-{max(serials, default=0) + 1:06d}"
        directory.mkdir()
        sync_directory(self._root)
        return directory

    def _directories(self) -> list[Path]:
        return [p for p in self._root.iterdir() if p.is_dir() and p.name.rpartition("-")[2].isdigit() and p.name.startswith("s")]

    def _sweep(self, *, keep: Path) -> None:
        """Drop what nobody will open again: readers hold their old files open until they follow the pointer."""
        for path in self._directories():
            if path != keep:
                shutil.rmtree(path, ignore_errors=True)

    @contextmanager
    def _lock(self, wait_seconds: float) -> Iterator[None]:
        try:
            self._root.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(self._root / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except OSError as error:
            raise StorageUnavailable(
                f"The search index in {self._root} cannot be written: {error.strerror}.", hint="No capture is affected."
            ) from error
        try:
            deadline = self._clock.monotonic() + wait_seconds
            while not _try_lock(descriptor):
                if self._clock.monotonic() >= deadline:
                    raise Locked(
                        f"Another process is writing the search index in {self._root}.",
                        hint="It will take what is new; nothing is lost.",
                    )
                self._clock.sleep(_POLL_SECONDS)
            yield
        finally:
            os.close(descriptor)


class _Reader:
    """One index directory as the last commit left it."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._meta: tuple[int, int, int] | None = None
        try:
            self._index = _open_index(directory)
            self._index.config_reader("manual")
        except ENGINE_ERRORS as error:
            if not is_engine_error(error):
                raise
            raise IndexUnusable(f"it is damaged ({error})") from error

    def refresh(self) -> None:
        """Follow the last commit. A look at one file tells whether there is a new one: no thread watches."""
        try:
            stat = os.stat(self.directory / "meta.json")
            meta = (stat.st_ino, stat.st_mtime_ns, stat.st_size)
            if meta != self._meta:
                self._index.reload()
                self._meta = meta
        except ENGINE_ERRORS as error:
            if not is_engine_error(error):
                raise
            raise IndexUnusable(f"it is damaged ({error})") from error

    def searcher(self) -> tantivy.Searcher:
        return self._index.searcher()

    def answers(self) -> bool:
        """Whether the simplest question is answered."""
        try:
            _position(self.searcher())
        except ENGINE_ERRORS as error:
            if not is_engine_error(error):
                raise
            return False
        return True


class _Writer:
    """`search.IndexWriter`."""

    def __init__(self, writer: tantivy.IndexWriter, position: Position) -> None:
        self._writer = writer
        self._position = position

    def position(self) -> Position:
        return self._position

    def remove_edition(self, edition: str) -> None:
        self._writer.delete_documents_by_term("edition", edition)

    def put(self, documents: Sequence[SearchDocument]) -> None:
        for item in documents:
            # By a raw text key: on a number field a delete finds nothing and does not say so (evidence/index.md section 3).
            self._writer.delete_documents_by_term("key", key_of(item.capture_id))
            self._writer.add_document(document(item))

    def commit(self, position: Position) -> None:
        self._writer.delete_documents_by_term("key", POSITION_KEY)
        self._writer.add_document(position_document(position))
        self._writer.commit()
        self._position = position


@contextmanager
def _opened_writer(directory: Path, heap_bytes: int, *, is_new: bool = False) -> Iterator[_Writer]:
    """The writer of an index. What was not committed when the block ends is dropped."""
    try:
        index = tantivy.Index(SCHEMA, path=str(directory)) if is_new else _open_index(directory)
        _register(index)
        index.config_reader("manual")
        index.reload()
        position = Position() if is_new else _position(index.searcher())
        # One thread: more make segments whose order, and so the order of equal hits, is chance.
        writer = index.writer(heap_bytes, 1)
    except ENGINE_ERRORS as error:
        if not is_engine_error(error):
            raise
        raise IndexUnusable(f"it cannot be written ({error})") from error
    try:
        yield _Writer(writer, position)
    except BaseException as error:
        with suppress(*ENGINE_ERRORS):
            writer.rollback()
        if is_engine_error(error):
            raise StorageUnavailable(
                f"The search index in {directory} could not be written: {error}.",
                hint="What was committed before stays, no capture is affected; the next run goes on there.",
            ) from error
        raise
    finally:
        with suppress(*ENGINE_ERRORS):
            writer.garbage_collect_files()
            writer.wait_merging_threads()


class _Search:
    """One question to one commit."""

    def __init__(self, searcher: tantivy.Searcher, query: Query, plan: Plan) -> None:
        self._searcher = searcher
        self._query = query
        self._plan = plan

    def page(self, limit: int, offset: int) -> Matches:
        if self._query.view == "captures":
            return self._captures(limit, offset)
        return self._pages(limit, offset)

    def _captures(self, limit: int, offset: int) -> Matches:
        query = self._plan.query
        found = self._hits(query, max(limit, 1), offset)
        total = total_of(found)
        ids = self._searcher.fast_field_values("id", [address for _, address in found.hits])
        matches = [
            Match(int(number), self._score(score))
            for (score, _), number in zip(found.hits, ids, strict=True)
            if number is not None
        ]
        return Matches(tuple(matches[:limit]), total, True, self._facets())

    def _pages(self, limit: int, offset: int) -> Matches:
        """Hits by URL, each as the latest capture that matches (the earliest when sorting so), in the order of its best hit."""
        wanted = offset + limit
        size = min(max(200, wanted * 4), _READ_MAX)
        while True:
            found = self._hits(self._plan.query, size)
            total = total_of(found)
            if total <= _EXACT_HITS_MAX and size < total:
                size = max(total, 1)
                continue
            groups = self._grouped(found.hits)
            if len(groups) >= wanted or size >= min(total, _READ_MAX):
                break
            size = min(size * 4, _READ_MAX)
        is_exact = len(found.hits) >= total
        count = len(groups) if is_exact else int(self._searcher.cardinality(self._plan.query, "page"))
        shown = groups[offset:wanted]
        if not is_exact:
            shown = self._represented(shown)
        return Matches(tuple(Match(group.capture_id, group.score) for group in shown), count, is_exact, self._facets())

    def _hits(self, query: tantivy.Query, limit: int, offset: int = 0) -> tantivy.SearchResult:
        if self._query.sort == "relevance" and self._query.has_terms:
            return self._searcher.search(query, limit=limit, offset=offset)
        order = tantivy.Order.Asc if self._query.sort == "oldest" else tantivy.Order.Desc
        return self._searcher.search(query, limit=limit, offset=offset, order_by_field="at", order=order)

    def _score(self, score: float) -> float:
        return float(score) if self._query.sort == "relevance" and self._query.has_terms else 0.0

    def _grouped(self, hits: list[tuple[float, tantivy.DocAddress]]) -> list[_Group]:
        addresses = [address for _, address in hits]
        columns = (self._searcher.fast_field_values(name, addresses) for name in ("page", "id", "at"))
        groups: dict[int, _Group] = {}
        for (score, _), page, number, at in zip(hits, *columns, strict=True):
            if page is None or number is None or at is None:
                continue
            group = groups.get(int(page))
            if group is None:
                groups[int(page)] = _Group(int(page), self._score(score), int(number), int(at))
            else:
                group.offer(int(number), int(at), is_oldest=self._query.sort == "oldest")
        if self._query.sort == "relevance" and self._query.has_terms:
            # Equal scores come in the order of segments, which is chance: newest first instead.
            return sorted(groups.values(), key=lambda group: (-group.score, -group.at, group.capture_id))
        return list(groups.values())

    def _represented(self, groups: list[_Group]) -> list[_Group]:
        """With all their hits, where only the best were read."""
        if not groups:
            return groups
        pages = tantivy.Query.term_set_query(SCHEMA, "page", [group.page for group in groups])
        found = self._searcher.search(self._plan.with_filter(pages), limit=_READ_MAX, order_by_field="at")
        by_page = {group.page: group for group in self._grouped(found.hits)}
        for group in groups:
            newest = by_page.get(group.page)
            if newest is not None:
                group.offer(newest.capture_id, newest.at, is_oldest=self._query.sort == "oldest")
        return groups

    def _facets(self) -> Facets:
        """Counts of the hits; a facet that is filtered by counts as if it were not, so that it can be widened."""
        shared: dict[str, tuple[FacetCount, ...]] = {}
        open_names = [name for name in FACETS if not self._plan.filters_by(name)]
        if open_names:
            shared = self._counted(self._plan.query, open_names)
        for name in FACETS:
            if name not in shared:
                shared |= self._counted(self._plan.without(name), [name])
        return Facets(**shared)

    def _counted(self, query: tantivy.Query, names: Sequence[str]) -> dict[str, tuple[FacetCount, ...]]:
        by_page = {"aggs": {"pages": {"cardinality": {"field": "page"}}}} if self._query.view == "pages" else {}
        asked = {name: {"terms": {"field": name, "size": _FACET_VALUES_MAX}, **by_page} for name in names}
        answer = self._searcher.aggregate(query, asked)
        counted = {}
        for name in names:
            counts = [
                FacetCount(str(bucket["key"]), int(bucket["pages"]["value"] if by_page else bucket["doc_count"]))
                for bucket in answer[name]["buckets"]
            ]
            counted[name] = tuple(sorted(counts, key=lambda count: (-count.count, count.value)))
        return counted


class _Group:
    """The hits of one URL."""

    __slots__ = ("at", "capture_id", "page", "score")

    def __init__(self, page: int, score: float, capture_id: int, at: int) -> None:
        self.page = page
        self.score = score
        self.capture_id = capture_id
        self.at = at

    def offer(self, capture_id: int, at: int, *, is_oldest: bool) -> None:
        """Let a capture represent the URL if it is later (earlier, when sorting so)."""
        here, there = (self.at, self.capture_id), (at, capture_id)
        if (there < here) if is_oldest else (there > here):
            self.at, self.capture_id = at, capture_id


def _all_captures() -> tantivy.Query:
    return tantivy.Query.term_query(SCHEMA, "kind", "capture")


def _position(searcher: tantivy.Searcher) -> Position:
    found = searcher.search(tantivy.Query.term_query(SCHEMA, "key", POSITION_KEY), limit=1).hits
    if not found:
        raise IndexUnusable("it does not say how far it goes")
    stored = searcher.doc(found[0][1])
    return Position(int(stored["seq"][0]), int(stored["row"][0]))


def _open_index(directory: Path) -> tantivy.Index:
    index = tantivy.Index.open(str(directory))
    _register(index)
    return index


def _register(index: tantivy.Index) -> None:
    for name, analyzer in analysis.ANALYZERS.items():
        index.register_tokenizer(name, analyzer)


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


__all__ = ["VERSION", "TantivyBackend"]
