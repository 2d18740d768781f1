"""Whose fault a failure is. Pure: an exception or an engine's end in, a `FailureClass` with its reason out.

Storage trouble is not the crawl's fault (incident 2026-01-24): it must consume no retry budget, wherever in a chain of wrapped
exceptions the errno hides. A denied permission is storage trouble only on our own directories: elsewhere it is a bug or a
configuration. Text that was crawled is never searched for the words of an error.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import PurePath

from healtharchive.crawl.engine import End
from healtharchive.errors import ConfigurationError, StaleFence, StorageUnavailable
from healtharchive.jobs.model import FailureClass

# The place or the machine is in trouble, wherever it shows.
INFRA_ERRNOS = frozenset(
    {
        errno.EIO,
        errno.ENOSPC,
        errno.ENETDOWN,
        errno.ENETUNREACH,
        errno.ECONNABORTED,
        errno.ENOTCONN,
        errno.ETIMEDOUT,
        errno.ECONNREFUSED,
        errno.EHOSTDOWN,
        errno.EHOSTUNREACH,
        errno.ESTALE,
        errno.EUCLEAN,
        # Not of the incidents, but of their kind: a quota is a full disk, and a machine out of memory, processes or
        # descriptors says nothing about the site.
        errno.EDQUOT,
        errno.ENOMEM,
        errno.EAGAIN,
        errno.EMFILE,
        errno.ENFILE,
        errno.ENODEV,
        errno.ENXIO,
        errno.EREMOTEIO,
    }
)
# Of these, and beside them, what says that a disk or directory of ours is full, away or closed to us.
STORAGE_ERRNOS = frozenset(
    {
        errno.EIO,
        errno.ENOSPC,
        errno.EDQUOT,
        errno.EFBIG,
        errno.EROFS,
        errno.EACCES,
        errno.EPERM,
        errno.ENOTCONN,
        errno.ESTALE,
        errno.EUCLEAN,
        errno.ENODEV,
        errno.ENXIO,
        errno.EREMOTEIO,
    }
)
# Trouble of ours only if the path is one of ours.
OWN_PATH_ERRNOS = frozenset({errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOENT, errno.ENOTDIR, errno.ELOOP})

_CHAIN_MAX = 50


class Intent(StrEnum):
    """Why we asked an engine to stop; stored before the signal, because no exit code can tell it."""

    CANCEL = "cancel"
    PAUSE = "pause"
    DRAIN = "drain"


@dataclass(frozen=True)
class Failure:
    """Why an attempt did not do all of its work."""

    failure_class: FailureClass
    reason: str
    errno: int | None = None
    intent: Intent | None = None  # with class cancelled: what to do with the job


def of_exception(error: BaseException, *, own_paths: Sequence[PurePath] = ()) -> Failure:
    """The class of an exception, its causes and contexts included; the first that is not the crawl's decides.

    `own_paths` are the directories that we write: the job's directory and what is above it up to the jobs root.
    """
    for link in _chain(error):
        found = _class_of(link, own_paths)
        if found is not None:
            number = link.errno if isinstance(link, OSError) else None
            return Failure(found, _one_line(link), number)
    return Failure(FailureClass.CRAWL, _one_line(error))


def of_end(end: End, *, reason: str, number: int | None = None, intent: Intent | None = None) -> Failure | None:
    """The failure that an engine's own last word means; None: it did all of its work.

    An intent wins over every unfinished end: whatever a cancelled engine says on its way out, it was cancelled.
    """
    if end is End.COMPLETE:
        return None
    if intent is not None:
        return Failure(FailureClass.CANCELLED, reason or f"stopped: {intent.value}", number, intent)
    match end:
        case End.STOPPED:  # somebody else's signal: nothing failed, go on later
            return Failure(FailureClass.CANCELLED, reason or "stopped by a signal", number, Intent.DRAIN)
        case End.CONFIG:
            failure_class = FailureClass.CONFIG
        case End.CRAWL:
            failure_class = FailureClass.CRAWL
        case End.UNLEASED | End.RESERVE | End.INFRA | End.FENCED:
            failure_class = FailureClass.INFRA
    return Failure(failure_class, reason or end.value, number)


def of_silence(exit_code: int | None, *, intent: Intent | None = None) -> Failure:
    """The failure of an engine that ended without a last word. `exit_code` is None if it was not our child.

    A negative code is a signal. SIGKILL comes from outside (the kernel short of memory, an operator): the machine's trouble. A
    code of its own, or a crash, is the engine choking on what it crawled, and counts against the budget.
    """
    if intent is not None:
        return Failure(FailureClass.CANCELLED, f"stopped: {intent.value}", intent=intent)
    if exit_code is None:
        return Failure(FailureClass.INFRA, "the engine vanished without a last word")
    if exit_code in (-9, -15, -2, -1):
        return Failure(FailureClass.INFRA, f"the engine was killed by signal {-exit_code}")
    if exit_code < 0:
        return Failure(FailureClass.CRAWL, f"the engine crashed with signal {-exit_code}")
    return Failure(FailureClass.CRAWL, f"the engine ended with code {exit_code} without a last word")


def _class_of(error: BaseException, own_paths: Sequence[PurePath]) -> FailureClass | None:
    if isinstance(error, ConfigurationError):
        return FailureClass.CONFIG
    if isinstance(error, StorageUnavailable | StaleFence | MemoryError):
        return FailureClass.INFRA
    if not isinstance(error, OSError):
        return None
    if error.errno in INFRA_ERRNOS or isinstance(error, TimeoutError):
        return FailureClass.INFRA
    if error.errno in OWN_PATH_ERRNOS and any(_within(name, own_paths) for name in (error.filename, error.filename2)):
        return FailureClass.INFRA
    return None


def _within(name: object, own_paths: Sequence[PurePath]) -> bool:
    if not isinstance(name, str | bytes | os.PathLike):
        return False
    path = PurePath(os.path.normpath(os.fsdecode(name)))
    return any(path.is_relative_to(own) for own in own_paths)


def _chain(error: BaseException) -> Iterator[BaseException]:
    """The exception, then what it wraps: members of groups, causes, contexts. Bounded; a cycle ends."""
    waiting, seen = [error], set[int]()
    while waiting and len(seen) < _CHAIN_MAX:
        link = waiting.pop(0)
        if id(link) in seen:
            continue
        seen.add(id(link))
        yield link
        if isinstance(link, BaseExceptionGroup):
            waiting.extend(link.exceptions)
        waiting.extend(inner for inner in (link.__cause__, link.__context__) if inner is not None)


def _one_line(error: BaseException) -> str:
    text = " ".join(str(error).split()) or type(error).__name__
    return text if isinstance(error, OSError | ConfigurationError | StorageUnavailable) else f"{type(error).__name__}: {text}"
