"""`job logs`: the events that an attempt left in its `progress.jsonl`, as lines a person can follow."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from healtharchive.cli.render import Output, jsonable, size, to_json
from healtharchive.crawl.engine import Event, read_events
from healtharchive.errors import NotFound
from healtharchive.instance import Instance
from healtharchive.jobs import queries
from healtharchive.jobs.model import Attempt

_POLL_SECONDS = 0.5


def show_events(instance: Instance, out: Output, job_id: int, *, attempt: int | None, follow: bool) -> None:
    """Print what the chosen attempt reported; while following, until that attempt is over."""
    chosen = _choose(instance, job_id, attempt)
    directory = instance.jobs_root / chosen.directory
    offset = 0
    while True:
        # Asked before reading: what was written before the end is then read after it.
        over = not follow or _is_over(instance, job_id, chosen)
        for event, after in read_events(directory, offset):
            offset = after
            text = to_json({"event": event.name, "at": event.at, **event.data}) if out.as_json else line(event)
            out.write_raw(text + "\n")
        out.flush()
        if over:
            return
        instance.host.clock.sleep(_POLL_SECONDS)


def line(event: Event) -> str:
    """`at name field=value ...`, the noisy parts of progress folded into a sentence."""
    fields = " ".join(_fields(event))
    return f"{event.at} {event.name} {fields}".rstrip()


def _fields(event: Event) -> Iterator[str]:
    for key, value in event.data.items():
        if key == "active":
            yield f"active={len(value)}"
        elif key == "bytes" and isinstance(value, int):
            yield f"bytes={size(value).replace(' ', '')}"
        elif isinstance(value, Mapping):
            yield from (f"{name}={count}" for name, count in value.items() if count)
        else:
            yield f"{key}={_value(value)}"


def _value(value: Any) -> str:
    text = str(jsonable(value))
    return repr(text) if " " in text or not text else text


def _choose(instance: Instance, job_id: int, number: int | None) -> Attempt:
    with instance.db.read() as conn:
        queries.get(conn, job_id)
        found = queries.attempts(conn, job_id)
    if not found:
        raise NotFound(f"Job {job_id} has had no attempt yet.", hint="A worker starts one: healtharchive worker")
    if number is None:
        return found[-1]
    for each in found:
        if each.n == number:
            return each
    raise NotFound(f"Job {job_id} has no attempt {number}.", expected=f"1 to {found[-1].n}")


def _is_over(instance: Instance, job_id: int, chosen: Attempt) -> bool:
    with instance.db.read() as conn:
        return next(each for each in queries.attempts(conn, job_id) if each.id == chosen.id).ended_at is not None
