"""The command line: one table of commands, each imported only when asked for, and one boundary that turns errors into exit codes.

`--instance DIR` and `--json` mean the same to every command and may stand anywhere before `--`.
"""

from __future__ import annotations

import difflib
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from healtharchive.cli.render import Output, ReaderGone
from healtharchive.errors import ExitCode, HealthArchiveError, UsageError

PROGRAM = "healtharchive"
DEBUG_VARIABLE = "HEALTHARCHIVE_DEBUG"
INTERRUPTED = 130  # 128 + SIGINT, as a shell reports it
READER_GONE = 141  # 128 + SIGPIPE


@dataclass(frozen=True)
class Command:
    """A word of the command line: `target` is `module:name` of a function, or of the app of a group."""

    name: str
    target: str
    help: str


SECTIONS: tuple[tuple[str, tuple[Command, ...]], ...] = (
    (
        "Begin",
        (
            Command("init", "init:init", "Make an instance: a directory with a configuration and a database."),
            Command("archive", "archive:archive", "Archive websites now: crawl, index, and say how to read them."),
            Command("demo", "demo:demo", "Archive a bundled website, break the crawl, watch it heal. Needs no network."),
        ),
    ),
    (
        "Collect",
        (
            Command("source", "source:app", "Whose websites are archived: add, list, show."),
            Command("job", "job:app", "Crawls: create, list, show, pause, resume, cancel, retry, logs, ledger."),
            Command("worker", "worker:worker", "Run the jobs that are due, several at once."),
            Command("index", "index:index", "Bring captures and search index up to date with the WARCs."),
        ),
    ),
    (
        "Read",
        (
            Command("search", "search:search", "Search the texts of everything archived."),
            Command("web", "web:web", "Serve search, page histories, API and replay."),
            Command("export", "export:app", "Give out an index (CDXJ) or a portable archive (WACZ)."),
            Command("verify", "verify:verify", "Check WARCs against their digests."),
        ),
    ),
    (
        "Operate",
        (
            Command("status", "status:status", "What runs, what waits and why, until when."),
            Command("journal", "journal:journal", "Who did what, when and why."),
            Command("config", "config:app", "The settings and where each comes from: show, check, migrate."),
            Command("list-jobs", "job:list_jobs", "Jobs, newest first."),
            Command("show-job", "job:show_job", "One job with its attempts."),
            Command("retry-job", "job:retry_job", "Let a failed job run again."),
            Command("run-db-job", "job:run_db_job", "Run one job now, in this process."),
            Command("recover-stale-jobs", "job:recover_stale_jobs", "Free running jobs that nobody runs any more."),
            Command("reset-retry-count", "job:reset_retry_count", "Give jobs their whole retry budget back."),
        ),
    ),
)
COMMANDS = {command.name: command for _, commands in SECTIONS for command in commands}

EVERYWHERE = """Everywhere:
  --instance DIR  The instance to work on; else HEALTHARCHIVE_INSTANCE, the working directory
                  and its parents, /etc/healtharchive.
  --json          Answer in JSON on standard output, errors in JSON on standard error.
  --help          Say more about a command."""


@dataclass(frozen=True)
class Line:
    """A command line, taken apart."""

    instance: Path | None
    as_json: bool
    words: tuple[str, ...]


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; its exit code (errors.ExitCode, 130 when interrupted)."""
    _replace_closed_streams()
    words = sys.argv[1:] if argv is None else list(argv)
    out = Output(as_json="--json" in words)
    try:
        line = split(words)
        code = _dispatch(line, Output(as_json=line.as_json))
        out.flush()
    except ReaderGone:
        _swallow_output()
        return READER_GONE
    except HealthArchiveError as error:
        out.error(error)
        _swallow_unwritten()
        return int(error.exit_code)
    except KeyboardInterrupt:
        code = INTERRUPTED
    except Exception as error:  # the edge of the program
        if os.environ.get(DEBUG_VARIABLE):
            raise
        out.error(_unexpected(error))
        return int(ExitCode.ERROR)
    if code == INTERRUPTED:
        out.note("Interrupted. Everything committed until now is kept; the same command goes on from there.")
    return code


def split(words: Sequence[str]) -> Line:
    """Take the options that mean the same everywhere out of a command line; after `--` nothing is an option."""
    instance: Path | None = None
    as_json = False
    rest: list[str] = []
    pending = list(words)
    for word in words:
        if not _is_text(word):
            hint = "Run it in a UTF-8 locale, such as LC_ALL=C.UTF-8."
            raise UsageError(f"The word {word!a} of the command line is no text in this locale's character set.", hint=hint)
    while pending:
        word = pending.pop(0)
        if word == "--":
            rest += [word, *pending]
            break
        if word == "--json":
            as_json = True
        elif word == "--instance":
            if not pending:
                raise UsageError("--instance needs a directory.")
            instance = Path(pending.pop(0))
        elif word.startswith("--instance="):
            instance = Path(word.partition("=")[2])
        else:
            rest.append(word)
    return Line(instance, as_json, tuple(rest))


def overview() -> str:
    """What `healtharchive --help` says."""
    longest = max(len(name) for name in COMMANDS)
    lines = [f"Usage: {PROGRAM} COMMAND [OPTIONS] [ARGUMENTS]", "", "A web archive that heals itself.", ""]
    for title, commands in SECTIONS:
        lines += [f"{title}:", *(f"  {command.name:<{longest}}  {command.help}" for command in commands), ""]
    return "\n".join([*lines, EVERYWHERE])


def _dispatch(line: Line, out: Output) -> int:
    if not line.words or line.words[0] in ("--help", "-h", "help"):
        out.write_raw(overview() + "\n")
        return int(ExitCode.OK if line.words else ExitCode.USAGE)
    name, *arguments = line.words
    if name in ("--version", "-V"):
        from healtharchive import __version__

        out.answer({"version": __version__}, [f"{PROGRAM} {__version__}"])
        return int(ExitCode.OK)
    if name not in COMMANDS:
        close = difflib.get_close_matches(name, COMMANDS, n=1, cutoff=0.5)
        hint = f"Did you mean {close[0]}?" if close else f"All commands: {PROGRAM} --help"
        raise UsageError(f"No command '{name}'.", hint=hint)
    return _run(COMMANDS[name], arguments, line, out)


def _run(command: Command, arguments: list[str], line: Line, out: Output) -> int:
    from healtharchive.cli.context import Asked
    from healtharchive.cli.parsing import BadLine, load

    bare_group = command.target.endswith(":app") and not arguments
    try:
        code: Any = load(command).main(
            ["--help"] if bare_group else arguments,
            prog_name=f"{PROGRAM} {command.name}",
            standalone_mode=False,
            obj=Asked(line.instance, out),
        )
    except BadLine as error:
        context = getattr(error, "ctx", None)
        path = context.command_path if context is not None else f"{PROGRAM} {command.name}"
        raise UsageError(error.format_message().rstrip(".") + ".", hint=f"See: {path} --help") from error
    return int(ExitCode.USAGE if bare_group else code or ExitCode.OK)


def _is_text(word: str) -> bool:
    """Whether a word was decoded whole: bytes that the locale has no characters for come as surrogates, which nothing stores."""
    return word.isascii() or not any("\ud800" <= character <= "\udfff" for character in word)


def _unexpected(error: Exception) -> HealthArchiveError:
    what = f"A fault of ours: {type(error).__name__}: {error}".rstrip(".") + "."
    return HealthArchiveError(what, hint=f"What was committed is kept. For the traceback, run it again with {DEBUG_VARIABLE}=1.")


def _replace_closed_streams() -> None:
    """A standard stream that is closed (`>&-`) is as good as /dev/null; left so, a database would be opened in its place."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))  # noqa: SIM115 - lives as long as the process


def _swallow_unwritten() -> None:
    """What a full disk did not take of the answer must not be complained about a second time at the interpreter's end."""
    try:
        sys.stdout.flush()
    except OSError:
        _swallow_output()


def _swallow_output() -> None:
    """Nobody reads standard output any more; the interpreter's own flush at the end must not complain about it."""
    sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115 - lives as long as the process
