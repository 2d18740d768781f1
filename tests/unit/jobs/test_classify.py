"""Whose fault it is: errno by place by wrapping, ends and silences."""

from __future__ import annotations

import errno
from pathlib import PurePath

import pytest

from healtharchive.crawl.engine import End
from healtharchive.errors import ConfigurationError, StaleFence, StorageUnavailable
from healtharchive.jobs import classify
from healtharchive.jobs.classify import Intent
from healtharchive.jobs.model import FailureClass

JOB = PurePath("/srv/archive/jobs/hc/20260101T000502Z__hc-20260101")
OWN = [PurePath("/srv/archive/jobs")]
LISTED = (5, 28, 101, 103, 107, 110, 111, 112, 113, 116, 117)  # design.md, section 5
INSIDE, OUTSIDE = str(JOB / "warcs"), "/usr/lib/python3/x.py"


@pytest.mark.parametrize("number", LISTED)
@pytest.mark.parametrize("place", [INSIDE, OUTSIDE, None])
def test_a_listed_errno_is_infra_wherever_it_shows(number: int, place: str | None) -> None:
    error = OSError(number, "trouble", place) if place else OSError(number, "trouble")
    found = classify.of_exception(error, own_paths=OWN)
    assert (found.failure_class, found.errno) == (FailureClass.INFRA, number)


@pytest.mark.parametrize("number", [errno.EACCES, errno.EPERM, errno.EROFS])
@pytest.mark.parametrize(
    ("place", "expected"),
    [
        (INSIDE, FailureClass.INFRA),
        (str(OWN[0]), FailureClass.INFRA),
        (OUTSIDE, FailureClass.CRAWL),
        ("/srv/archive/jobs-of-another/x", FailureClass.CRAWL),
        (INSIDE + "/../../../../../etc/shadow", FailureClass.CRAWL),
        (None, FailureClass.CRAWL),
    ],
)
def test_a_denied_permission_is_infra_only_in_our_own_directories(number: int, place: str | None, expected: FailureClass) -> None:
    error = OSError(number, "denied", place) if place else OSError(number, "denied")
    assert classify.of_exception(error, own_paths=OWN).failure_class is expected


def test_the_errno_is_found_however_deep_it_is_wrapped() -> None:
    try:
        try:
            try:
                raise OSError(107, "Transport endpoint is not connected", INSIDE)
            except OSError as inner:
                raise ValueError("could not read the state file") from inner
        except ValueError:
            raise RuntimeError("while preparing the job")  # noqa: B904 - the context alone must do
    except RuntimeError as outer:
        error: Exception = outer
    assert classify.of_exception(error).errno == 107
    assert classify.of_exception(ExceptionGroup("two", [ValueError("a"), error])).failure_class is FailureClass.INFRA


def test_a_cycle_of_causes_ends() -> None:
    first, second = ValueError("a"), ValueError("b")
    first.__cause__, second.__cause__ = second, first
    assert classify.of_exception(first).failure_class is FailureClass.CRAWL


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (ConfigurationError("bad"), FailureClass.CONFIG),
        (StorageUnavailable("away"), FailureClass.INFRA),
        (StaleFence("lost"), FailureClass.INFRA),
        (TimeoutError("prober"), FailureClass.INFRA),
        (MemoryError(), FailureClass.INFRA),
        (ValueError("Transport endpoint is not connected, Permission denied"), FailureClass.CRAWL),
    ],
)
def test_other_exceptions(error: Exception, expected: FailureClass) -> None:
    found = classify.of_exception(error, own_paths=OWN)
    assert found.failure_class is expected
    assert found.reason
    assert "\n" not in found.reason


@pytest.mark.parametrize(
    ("end", "expected"),
    [
        (End.COMPLETE, None),
        (End.STOPPED, FailureClass.CANCELLED),
        (End.UNLEASED, FailureClass.INFRA),
        (End.RESERVE, FailureClass.INFRA),
        (End.INFRA, FailureClass.INFRA),
        (End.FENCED, FailureClass.INFRA),
        (End.CONFIG, FailureClass.CONFIG),
        (End.CRAWL, FailureClass.CRAWL),
    ],
)
def test_an_engines_last_word(end: End, expected: FailureClass | None) -> None:
    found = classify.of_end(end, reason="")
    assert (found.failure_class if found else None) is expected


@pytest.mark.parametrize("end", list(End))
@pytest.mark.parametrize("intent", list(Intent))
def test_an_intent_wins_over_every_end_but_complete(end: End, intent: Intent) -> None:
    found = classify.of_end(end, reason="", intent=intent)
    assert (found is None) is (end is End.COMPLETE)
    assert found is None or (found.failure_class, found.intent) == (FailureClass.CANCELLED, intent)


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        (-9, FailureClass.INFRA),  # the kernel short of memory, or an operator
        (-15, FailureClass.INFRA),
        (-11, FailureClass.CRAWL),
        (1, FailureClass.CRAWL),
        (0, FailureClass.CRAWL),
        (None, FailureClass.INFRA),
    ],
)
def test_an_engine_that_ends_without_a_last_word(code: int | None, expected: FailureClass) -> None:
    assert classify.of_silence(code).failure_class is expected
    assert classify.of_silence(code, intent=Intent.CANCEL).failure_class is FailureClass.CANCELLED
