"""`archive URL...`: from an address to something searchable and replayable, in one command."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from ipaddress import ip_address
from typing import Annotated, Any, Literal
from urllib.parse import quote

import typer
from sqlalchemy.engine import Connection

from healtharchive import db, journal
from healtharchive.campaigns import profiles, sources
from healtharchive.campaigns.model import Source
from healtharchive.cli.context import opened, program
from healtharchive.cli.job_views import balance_lines, job_json, ledger_of
from healtharchive.cli.running import run, verdict
from healtharchive.crawl.address import refusal
from healtharchive.errors import ExitCode, Refused
from healtharchive.instance import Instance
from healtharchive.jobs import queue
from healtharchive.jobs.model import Job
from healtharchive.warc.urls import split


def archive(
    ctx: typer.Context,
    urls: Annotated[list[str], typer.Argument(metavar="URL...", help="Where the crawl begins, with http:// or https://.")],
    source: Annotated[str, typer.Option(help="The source that it belongs to; made from the host's name if not given.")] = "",
    name: Annotated[str, typer.Option(help="What to call the job; the date if not given.")] = "",
    scope: Annotated[
        Literal["host", "path", "domain"] | None,
        typer.Option(help="How far to go: the seed's host, below its directory, or the host and its subdomains."),
    ] = None,
    max_pages: Annotated[int | None, typer.Option(min=1, help="Stop after so many pages; no limit if not given.")] = None,
    max_hops: Annotated[int | None, typer.Option(min=0, help="Links to follow in a row; no limit if not given.")] = None,
    include: Annotated[list[str] | None, typer.Option(help="A regular expression that accepts further URLs.")] = None,
    exclude: Annotated[list[str] | None, typer.Option(help="A regular expression that rejects URLs.")] = None,
    delay_ms: Annotated[int | None, typer.Option(min=0, help="Pause between two fetches from a host, exactly.")] = None,
    connections: Annotated[int | None, typer.Option(min=1, help="Connections to one host at once.")] = None,
    ignore_robots: Annotated[bool, typer.Option("--ignore-robots", help="Do not obey robots.txt.")] = False,
    allow_private: Annotated[
        bool, typer.Option("--allow-private", help="Let the crawl reach private and loopback addresses.")
    ] = False,
    assignments: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Any other key of a profile.")
    ] = None,
) -> int:
    """Archive websites now: crawl, index, and say how to read them.

    Exit code 0 if all of it is archived and indexed, 3 if a worker has to go on with it, 4 if a person must look, 12 if a disk
    failed.
    """
    chosen: dict[str, Any] = profiles.parse_assignments(assignments or [])
    options = {
        "scope": scope,
        "max_pages": max_pages,
        "max_hops": max_hops,
        "include": include,
        "exclude": exclude,
        "connections_per_host": connections,
        "robots": "ignore" if ignore_robots else None,
        "allow_private": allow_private or None,
    }
    chosen |= {key: value for key, value in options.items() if value is not None}
    if delay_ms is not None:  # exactly: a pause that adapts would be another one
        chosen |= {"min_delay_ms": delay_ms, "max_delay_ms": delay_ms, "delay_factor": 0.0}
    seeds = sources.check_seeds(urls)
    overrides = profiles.check_overrides({"seeds": seeds, **chosen}, keys=profiles.JOB_KEYS)
    with opened(ctx) as (instance, out):
        with instance.db.write() as conn:
            owner = _source(conn, source or sources.name_for(seeds[0]), seeds)
            if not profiles.resolve(instance.settings, owner, overrides).allow_private:
                _refuse_private(seeds)
            job = queue.create_job(
                conn,
                source_id=owner.id,
                source=owner.name,
                name=name or f"{db.now(conn):%Y-%m-%d}",
                config={profiles.JOB_PROFILE: overrides},
                actor=journal.person(),
                reason="archive",
            )
        out.note(f"Job {job.id} of source {owner.name}, in {instance.jobs_root / job.output_dir}")
        job = run(instance, out, job.id)
        code, sentence = verdict(instance, job)
        counts = ledger_of(instance, job)
        read = list(how_to_read(instance, seeds[0])) if code == ExitCode.OK else []
        answer = {
            "job": job_json(job),
            "source": owner.name,
            "ledger": counts,
            "exit_code": code,
            "what": sentence,
            "read": [command for _, command in read],
        }
        out.answer(answer, _lines(job, counts or {}, sentence, read))
        return code


def how_to_read(instance: Instance, url: str) -> Iterator[tuple[str, str]]:
    """Each way to read what was archived: what it is for, and the exact command or address."""
    command = f"{program()} --instance {shlex.quote(str(instance.root))}"
    web = instance.settings.web
    yield "search", f"{command} search WORDS"
    yield "browse", f"{command} web"
    base = web.public_url.rstrip("/") or f"http://{web.host}:{web.port}"
    yield "then open", f"{base}/en/history?url={quote(url, safe='')}"
    yield "export", f"{command} export wacz --output archive.wacz"


def _refuse_private(seeds: Sequence[str]) -> None:
    """What is not public is refused before anything is made. A name's address is only known, and refused, while crawling."""
    for seed in seeds:
        host = split(seed).host
        why = "loopback" if host == "localhost" or host.endswith(".localhost") else refusal(host) if _is_address(host) else None
        if why is not None:
            raise Refused(
                f"{seed} is not public ({why}); nothing was archived.",
                hint="If it is meant: healtharchive archive --allow-private URL",
            )


def _is_address(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


def _source(conn: Connection, name: str, seeds: Sequence[str]) -> Source:
    """The source of that name, made if there is none. What this job wants differently stays with the job."""
    found = sources.find(conn, name)
    if found is not None:
        return found
    return sources.add(conn, name=name, seeds=seeds, actor=journal.person(), reason="archive")


def _lines(job: Job, counts: dict[str, int], sentence: str, read: Sequence[tuple[str, str]]) -> Iterator[str]:
    yield sentence
    if counts:
        yield from balance_lines(counts)
    if read:
        yield ""
        longest = max(len(purpose) for purpose, _ in read)
        yield from (f"{purpose:<{longest}}  {command}" for purpose, command in read)
