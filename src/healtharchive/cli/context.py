"""What every command is given: where the instance is, how to answer, who asks."""

from __future__ import annotations

import shutil
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import typer

from healtharchive.cli.main import PROGRAM
from healtharchive.cli.render import Output
from healtharchive.instance import Instance, open_instance


@dataclass(frozen=True)
class Asked:
    """The options that may stand anywhere on the command line."""

    instance: Path | None
    out: Output


def asked(ctx: typer.Context) -> Asked:
    found = ctx.find_object(Asked)
    assert found is not None
    return found


@contextmanager
def opened(ctx: typer.Context) -> Iterator[tuple[Instance, Output]]:
    """The instance that the command is for, closed at the end."""
    call = asked(ctx)
    instance = open_instance(call.instance)
    try:
        yield instance, call.out
    finally:
        instance.close()


def program() -> str:
    """What to type for this program: its name if a shell finds it, else the path by which it was called this time."""
    called = Path(sys.argv[0])
    return str(called) if called.name in (PROGRAM, "ha-backend") and shutil.which(called.name) is None else PROGRAM


@contextmanager
def terminated_like_interrupted() -> Iterator[None]:
    """Let SIGTERM end a command the way Ctrl-C does, so that its cleaning up runs."""

    def interrupt(_number: int, _frame: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
