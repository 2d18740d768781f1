"""Typed settings: one `healtharchive.toml`, then `HEALTHARCHIVE_<SECTION>_<KEY>` variables; each value knows where it came from.

An unknown key is an error with a suggestion: a typing mistake must never be a silently ignored setting. There is no default
database: an instance names its own (incident: a command without its environment fell back to an empty SQLite file).
"""

from __future__ import annotations

import difflib
import os
import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_origin

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic_core import ErrorDetails

from healtharchive.errors import ConfigurationError

CONFIG_NAME = "healtharchive.toml"
ENV_PREFIX = "HEALTHARCHIVE_"
# Variables that share the prefix but are not settings.
ENV_RESERVED = frozenset({"HEALTHARCHIVE_INSTANCE", "HEALTHARCHIVE_DEBUG", "HEALTHARCHIVE_TEST_PEERS"})

Positive = Annotated[int, Field(gt=0)]
PositiveFloat = Annotated[float, Field(gt=0)]


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class DatabaseSettings(_Section):
    url: str = Field(description="SQLAlchemy URL; a SQLite path is relative to the instance directory. Required.")


class PathSettings(_Section):
    jobs: Path = Field(Path("jobs"), description="Job directories (frontier, spool, WARCs), on local disk.")
    search: Path = Field(Path("search"), description="Search index, rebuildable from the database, on local disk.")


class WorkerSettings(_Section):
    max_jobs: Positive = Field(2, description="Attempts that one worker runs at once.")
    lease_seconds: Positive = Field(90, description="A job whose lease is not renewed for this long may be taken over.")
    heartbeat_seconds: PositiveFloat = Field(15.0, description="Interval of lease renewals; at most a quarter of the lease.")
    poll_seconds: PositiveFloat = Field(2.0, description="Pause between two looks at the queue when nothing is due.")
    drain_seconds: Positive = Field(90, description="Time that running crawls get to checkpoint when a worker stops.")


class RetrySettings(_Section):
    crawl_budget: Positive = Field(3, description="Failures of class crawl that a job survives.")
    infra_backoff_min_seconds: Positive = Field(60, description="First wait after an infra failure; doubles each time.")
    infra_backoff_max_seconds: Positive = Field(3600, description="Longest wait after an infra failure.")
    infra_park_after: Positive = Field(10, description="Infra failures in a row after which a job is parked.")


class CrawlSettings(_Section):
    user_agent: str = Field("HealthArchive/0.1 (web archive; see robots.txt)", description="What the crawler calls itself.")
    robots_agent: str = Field("HealthArchive", description="Product token that is looked up in robots.txt.")
    robots: Literal["obey", "ignore"] = Field("obey", description="Whether robots.txt is obeyed.")
    allow_private: bool = Field(False, description="Whether crawls may reach private and loopback addresses.")
    connections: Positive = Field(16, description="Open connections of one crawl, all hosts together.")
    connections_per_host: Positive = Field(2, description="Open connections to one host.")
    delay_factor: Annotated[float, Field(ge=0)] = Field(5.0, description="Pause after a fetch, in multiples of its time.")
    min_delay_ms: Annotated[int, Field(ge=0)] = Field(500, description="Shortest pause between two fetches from a host.")
    max_delay_ms: Annotated[int, Field(ge=0)] = Field(30_000, description="Longest pause that adapts by itself.")
    respect_crawl_delay_up_to_seconds: Positive = Field(300, description="Longest Crawl-delay of robots.txt obeyed as is.")
    timeout_seconds: PositiveFloat = Field(60.0, description="Longest silence of a server before a fetch is given up.")
    fetch_seconds_max: PositiveFloat = Field(1200.0, description="Longest time that one response may take in all.")
    body_bytes_max: Positive = Field(1_000_000_000, description="Longest response stored; the rest is cut and marked.")
    header_bytes_max: Positive = Field(262_144, description="Longest response header accepted.")
    redirects_max: Positive = Field(20, description="Redirects in a row before the chain is called endless.")
    url_retries: Positive = Field(3, description="Tries of one URL before it is final as failed.")
    warc_bytes: Positive = Field(1_000_000_000, description="Size at which a WARC is sealed and a new one begun.")
    http2: bool = Field(True, description="Whether HTTP/2 is offered on https; one decision per host.")


class StorageSettings(_Section):
    reserve_bytes: Annotated[int, Field(ge=0)] = Field(
        2_000_000_000, description="Free space on local disk at which crawls pause by themselves."
    )


class SearchSettings(_Section):
    languages: tuple[Literal["en", "fr"], ...] = Field(("en", "fr"), description="Languages that texts are told apart by.")
    heap_mb: Annotated[int, Field(ge=16)] = Field(64, description="Memory of the search writer.")


class WebSettings(_Section):
    host: str = Field("127.0.0.1", description="Address that the web server listens on.")
    port: Annotated[int, Field(ge=0, le=65535)] = Field(8080, description="Port of search and API; 0 picks one.")
    replay_port: Annotated[int, Field(ge=0, le=65535)] = Field(8081, description="Port of the replay origin; 0 picks one.")
    public_url: str = Field("", description="How readers reach search, if not at host and port.")
    replay_url: str = Field("", description="How readers reach replay, if not at host and replay_port.")
    archive_name: str = Field("HealthArchive", description="Name shown on every page.")


class Settings(_Section):
    """Everything that can be configured. Sections are tables of the TOML file."""

    database: DatabaseSettings
    paths: PathSettings = PathSettings()
    worker: WorkerSettings = WorkerSettings()
    retry: RetrySettings = RetrySettings()
    crawl: CrawlSettings = CrawlSettings()
    storage: StorageSettings = StorageSettings()
    search: SearchSettings = SearchSettings()
    web: WebSettings = WebSettings()


@dataclass(frozen=True)
class Origin:
    """Where a value came from: `default`, `healtharchive.toml:14` or `env HEALTHARCHIVE_WEB_PORT`."""

    key: str
    value: Any
    source: str


def known_keys() -> dict[str, str]:
    """Every setting as `section.key`, with its description."""
    return {
        f"{section}.{key}": field.description or "" for section, model in _sections() for key, field in model.model_fields.items()
    }


def load(root: Path, environ: Mapping[str, str] | None = None) -> tuple[Settings, list[Origin]]:
    """Settings of the instance in `root`, and the origin of each value in the order of `known_keys()`.

    Raises ConfigurationError naming the key, the line or variable, and the nearest known key.
    """
    env = os.environ if environ is None else environ
    path = root / CONFIG_NAME
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be read: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        raise ConfigurationError(f"{path} is not UTF-8 text (byte {error.start}).") from error
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigurationError(f"{path} is not valid TOML: {error}.") from error
    values: dict[str, Any] = {}
    sources: dict[str, str] = {}
    for key, value in _flatten(data):
        line = _line_of(text, key)
        where = f"{CONFIG_NAME}, line {line}" if line else CONFIG_NAME
        _require_known(key, where)
        values[key] = value
        sources[key] = f"{CONFIG_NAME}:{line}" if line else CONFIG_NAME
    for key, name, raw in _from_environment(env):
        values[key] = _coerce(key, raw, name)
        sources[key] = f"env {name}"
    settings = _validate(values, sources)
    resolved = settings.model_dump()
    origins = [
        Origin(key, resolved[section][name], sources.get(key, "default"))
        for key in known_keys()
        for section, _, name in [key.partition(".")]
    ]
    return settings, origins


def _sections() -> Iterator[tuple[str, type[BaseModel]]]:
    for name, field in Settings.model_fields.items():
        assert isinstance(field.annotation, type)
        assert issubclass(field.annotation, BaseModel)
        yield name, field.annotation


def _flatten(data: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for section, table in data.items():
        if isinstance(table, dict):
            for key, value in table.items():
                yield f"{section}.{key}", value
            if not table:
                yield from ()
        else:
            yield section, table


def _line_of(text: str, dotted: str) -> int:
    """The line of `section.key` in the TOML text, or 0. Good enough to point at; the parser has no positions."""
    section, _, key = dotted.partition(".")
    current = ""
    for number, line in enumerate(text.splitlines(), start=1):
        header = re.match(r"\s*\[\s*([^\]]+?)\s*\]", line)
        if header:
            current = header[1].strip('"')
            continue
        name = re.match(r"\s*\"?([\w.-]+)\"?\s*=", line)
        if name and (f"{current}.{name[1]}" if current else name[1]) == (dotted if key else section):
            return number
    return 0


def _require_known(key: str, where: str) -> None:
    known = known_keys()
    if key in known:
        return
    raise ConfigurationError(f"Unknown setting {key} ({where}).", hint=_suggestion(key, known))


def _suggestion(key: str, known: Mapping[str, str]) -> str:
    close = difflib.get_close_matches(key, known, n=1, cutoff=0.6)
    if not close:
        close = [name for name in known if name.rpartition(".")[2] == key.rpartition(".")[2]][:1]
    return f"Did you mean {close[0]}?" if close else "All settings: healtharchive config show"


def _from_environment(env: Mapping[str, str]) -> Iterator[tuple[str, str, str]]:
    by_name = {ENV_PREFIX + key.replace(".", "_").upper(): key for key in known_keys()}
    for name in sorted(env):
        if not name.startswith(ENV_PREFIX) or name in ENV_RESERVED:
            continue
        if name not in by_name:
            close = difflib.get_close_matches(name, by_name, n=1, cutoff=0.6)
            hint = f"Did you mean {close[0]}?" if close else "All settings: healtharchive config show"
            raise ConfigurationError(f"Unknown setting {name} (environment).", hint=hint)
        yield by_name[name], name, env[name]


def _coerce(key: str, raw: str, name: str) -> Any:
    """An environment string in the shape of its field: lists are comma-separated, the rest is left to validation."""
    section, _, field_name = key.partition(".")
    annotation = dict(_sections())[section].model_fields[field_name].annotation
    if get_origin(annotation) is tuple or (get_args(annotation) and get_origin(annotation) is list):
        return [part.strip() for part in raw.split(",") if part.strip()]
    return raw


def _validate(values: Mapping[str, Any], sources: Mapping[str, str]) -> Settings:
    nested: dict[str, dict[str, Any]] = {}
    for key, value in values.items():
        section, _, name = key.partition(".")
        nested.setdefault(section, {})[name] = value
    if "url" not in nested.get("database", {}):
        raise ConfigurationError(
            "No database is configured: database.url is missing.",
            hint="Name one in healtharchive.toml, section [database]. Nothing is used in its place.",
        )
    try:
        return Settings.model_validate(nested)
    except ValidationError as error:
        raise ConfigurationError(_sentence(error.errors()[0], sources)) from error


def _sentence(error: ErrorDetails, sources: Mapping[str, str]) -> str:
    key = ".".join(str(part) for part in error["loc"][:2])
    where = sources.get(key, CONFIG_NAME)
    message = error["msg"][0].lower() + error["msg"][1:]
    return f"Setting {key} ({where}) is {error['input']!r}: {message}."
