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
from healtharchive.access.compiler import Compiler
from healtharchive.access.query import Query, Term
from healtharchive.access.ranking import EXACT_HITS_MAX, Question
from healtharchive.access.schema import (
    ENGINE_ERRORS,
    POSITION_KEY,
    SCHEMA,
    SCHEMA_VERSION,
    document,
    is_engine_error,
    key_of,
    position_document,
    total_of,
)
from healtharchive.access.search import IndexUnusable, Matches, Position, SearchDocument
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

_T = TypeVar("_T")


class TantivyBackend:
    """An index in a directory of its own, followed as it is replaced. Threads may share it."""

    def __init__(self, root: Path, *, heap_mb: int, clock: Clock, exact_hits_max: int = EXACT_HITS_MAX) -> None:
        self._root = root
        self._exact_hits_max = exact_hits_max
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
        return self._read(lambda searcher: Question(searcher, query, plan, self._exact_hits_max).page(limit, offset))

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
