"""What an attempt is told to crawl: the instance's settings, then the source's profile, then what the job itself asks for.

Resolved when an attempt starts, never copied into a job: a corrected setting must reach the jobs that wait.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping
from dataclasses import fields
from typing import Any

from pydantic import ValidationError

from healtharchive.campaigns.model import Source
from healtharchive.crawl.engine import CrawlProfile
from healtharchive.errors import ConfigurationError, UsageError
from healtharchive.settings import Settings

# Where a job keeps what differs from its source, in `job.config`.
JOB_PROFILE = "profile"

# `seeds` belong to the source, or to a job's own profile; `fsync` off is for benchmarks and never stored.
_NOT_OF_A_SOURCE = frozenset({"seeds", "fsync"})
SOURCE_KEYS = tuple(field.name for field in fields(CrawlProfile) if field.name not in _NOT_OF_A_SOURCE)
JOB_KEYS = ("seeds", *SOURCE_KEYS)


def resolve(settings: Settings, source: Source, overrides: Mapping[str, Any]) -> CrawlProfile:
    """Settings, overridden by the source's profile, overridden by the job's. Raises ConfigurationError (exit 13)."""
    known = set(SOURCE_KEYS)
    values: dict[str, Any] = {key: value for key, value in settings.crawl.model_dump().items() if key in known}
    values["reserve_bytes"] = settings.storage.reserve_bytes
    values["seeds"] = source.seeds
    for origin, layer in ((f"source {source.name}", source.profile), ("the job", overrides)):
        values |= _checked(layer, JOB_KEYS, origin, ConfigurationError)
    return _profile(values, f"source {source.name}", ConfigurationError)


def check_overrides(overrides: Mapping[str, Any], *, keys: Iterable[str] = SOURCE_KEYS) -> dict[str, Any]:
    """What a person wants a source or job to do differently, in the shape it is stored. Raises UsageError (exit 2)."""
    chosen = _checked(overrides, tuple(keys), "this profile", UsageError)
    if chosen:
        complete = {"seeds": ("http://seed.invalid/",), "user_agent": "none", **chosen}
        profile = _profile(complete, "this profile", UsageError)
        chosen = {key: getattr(profile, key) for key in chosen}
    return {key: list(value) if isinstance(value, tuple) else value for key, value in chosen.items()}


def parse_assignments(assignments: Iterable[str]) -> dict[str, Any]:
    """`key=value` words of a command line as profile values; a key of many values may be given many times.

    Values stay text where the profile wants text and become numbers and truth values where it wants those.
    """
    kinds = {field.name: str(field.type) for field in fields(CrawlProfile)}
    values: dict[str, Any] = {}
    for assignment in assignments:
        key, equals, text = assignment.partition("=")
        key = key.strip().replace("-", "_")
        if not equals:
            raise UsageError(f"'{assignment}' sets nothing.", expected="key=value")
        _require_known(key, SOURCE_KEYS, "this profile", UsageError)
        if kinds[key].startswith("tuple"):
            values.setdefault(key, []).append(text)
        else:
            values[key] = _scalar(text, kinds[key])
    return values


def nearest(word: str, known: Iterable[str]) -> str | None:
    """The known word that was probably meant."""
    close = difflib.get_close_matches(word, list(known), n=1, cutoff=0.6)
    return close[0] if close else None


def _scalar(text: str, kind: str) -> Any:
    """A word of the command line as the nearest JSON value of its field; a misfit stays text and fails validation."""
    if kind.startswith("bool"):
        return {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False}.get(text.lower(), text)
    if "None" in kind and text.lower() in ("none", ""):
        return None
    number = int if "int" in kind else float if "float" in kind else None
    if number is None:
        return text
    try:
        return number(text)
    except ValueError:
        return text


def _checked(
    layer: Mapping[str, Any], keys: tuple[str, ...], where: str, error: type[UsageError] | type[ConfigurationError]
) -> dict[str, Any]:
    for key in layer:
        _require_known(key, keys, where, error)
    for key in ("include", "exclude"):
        for pattern in layer.get(key, ()):
            try:
                re.compile(pattern)
            except (re.error, TypeError) as problem:
                raise error(f"'{pattern}' in {key} of {where} is not a regular expression: {problem}.") from problem
    return dict(layer)


def _require_known(key: str, keys: tuple[str, ...], where: str, error: type[UsageError] | type[ConfigurationError]) -> None:
    if key in keys:
        return
    near = nearest(key, keys)
    hint = f"Did you mean {near}?" if near else f"Known keys: {', '.join(keys)}."
    raise error(f"Unknown key {key} in {where}.", hint=hint)


def _profile(values: Mapping[str, Any], where: str, error: type[UsageError] | type[ConfigurationError]) -> CrawlProfile:
    try:
        return CrawlProfile.from_json(values)
    except ValidationError as problem:
        first = problem.errors()[0]
        key = str(first["loc"][0]) if first["loc"] else "profile"
        message = first["msg"][0].lower() + first["msg"][1:]
        raise error(f"{key} of {where} is {first['input']!r}: {message}.") from problem
