from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from tests.rigs.command_line import command, process

from healtharchive.cli import main
from healtharchive.cli.main import COMMANDS, Line, split
from healtharchive.errors import UsageError


def test_help_names_every_command() -> None:
    ended = command("--help")
    assert ended.code == 0
    for name, found in COMMANDS.items():
        assert f"  {name} " in ended.out
        assert found.help in ended.out


@pytest.mark.parametrize("name", list(COMMANDS))
def test_every_command_can_be_loaded_and_explains_itself(name: str) -> None:
    ended = command(name, "--help")
    assert ended.code == 0
    assert ended.out.startswith(f"Usage: healtharchive {name}")


def test_help_and_version_import_nothing_that_they_do_not_need() -> None:
    code = (
        "import sys; from healtharchive.cli.main import main; main(['--help']); main(['--version']);"
        "heavy = {'typer', 'sqlalchemy', 'pydantic', 'rich', 'fastapi', 'tantivy'} & set(sys.modules); sys.exit(len(heavy))"
    )
    assert subprocess.run([sys.executable, "-c", code], stdout=subprocess.DEVNULL, check=False).returncode == 0


def test_the_version_is_json_where_asked_for() -> None:
    assert set(command("--version", "--json").json) == {"version"}


def test_without_a_command_the_overview_is_shown_and_it_is_a_usage_error() -> None:
    ended = command()
    assert (ended.code, ended.out.startswith("Usage:")) == (2, True)


def test_a_mistyped_command_is_answered_with_the_one_that_was_meant() -> None:
    ended = command("satus")
    assert (ended.code, ended.out) == (2, "")
    assert ended.err == "No command 'satus'. Did you mean status?\n"


def test_a_mistyped_option_is_one_line_and_names_the_help() -> None:
    ended = command("list-jobs", "--sorce", "hc")
    assert ended.code == 2
    assert ended.err.count("\n") == 1
    assert "healtharchive list-jobs --help" in ended.err


def test_a_group_alone_shows_its_commands() -> None:
    ended = command("job")
    assert ended.code == 2
    assert "pause" in ended.out


def test_options_for_everybody_may_stand_anywhere_before_two_dashes() -> None:
    assert split(["job", "show", "7", "--json", "--instance", "/a"]) == Line(Path("/a"), True, ("job", "show", "7"))
    assert split(["--instance=/a", "status"]) == Line(Path("/a"), False, ("status",))
    assert split(["search", "--", "--json"]) == Line(None, False, ("search", "--", "--json"))
    with pytest.raises(UsageError):
        split(["status", "--instance"])


@pytest.mark.parametrize(
    "words",
    [
        ("status",),
        ("source", "list"),
        ("job", "list"),
        ("show-job", "--id", "1"),
        ("retry-job", "--id", "1"),
        ("run-db-job", "--id", "1"),
        ("recover-stale-jobs", "--older-than-minutes", "5"),
        ("reset-retry-count", "--id", "1"),
        ("worker", "--until-idle"),
        ("index",),
        ("search", "x"),
        ("web",),
        ("verify",),
        ("export", "cdxj"),
        ("export", "wacz", "--output", "x.wacz"),
        ("archive", "https://example.org/"),
        ("journal",),
        ("config", "show"),
        ("config", "check"),
        ("config", "migrate"),
    ],
)
def test_without_an_instance_every_command_says_so_and_uses_nothing_in_its_place(
    words: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("HEALTHARCHIVE_INSTANCE", raising=False)
    ended = command(*words)
    assert (ended.code, ended.out) == (10, "")
    assert ended.err.count("\n") == 1
    assert "healtharchive init" in ended.err
    assert list(tmp_path.iterdir()) == []


def test_an_error_is_json_on_standard_error_where_asked_for(tmp_path: Path) -> None:
    ended = command("status", "--json", "--instance", tmp_path)
    assert (ended.code, ended.out) == (10, "")
    assert ended.error["error"] == "NotInitialised"
    assert ended.error["exit_code"] == 10
    assert ended.error["hint"].startswith("Create one: healtharchive init")


def test_a_fault_of_ours_is_one_sentence_and_says_how_to_see_more(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> int:
        raise ZeroDivisionError("for once")

    monkeypatch.setattr(main, "_dispatch", broken)
    monkeypatch.delenv("HEALTHARCHIVE_DEBUG", raising=False)
    ended = command("status")
    assert ended.code == 1
    assert ended.err.count("\n") == 1
    assert "ZeroDivisionError: for once" in ended.err
    assert "HEALTHARCHIVE_DEBUG=1" in ended.err
    monkeypatch.setenv("HEALTHARCHIVE_DEBUG", "1")
    with pytest.raises(ZeroDivisionError):
        main.main(["status"])


def test_a_reader_that_leaves_early_is_no_error_worth_a_word(tmp_path: Path) -> None:
    process("init", tmp_path / "i")
    script = (
        f"'{sys.executable}' -m healtharchive.cli config show --describe --instance '{tmp_path / 'i'}' | head -c 1 >/dev/null"
    )
    ended = subprocess.run(["bash", "-c", f"set -o pipefail; {script}"], capture_output=True, text=True, check=False)
    assert ended.stderr == ""


def test_ctrl_c_ends_with_130_and_a_sentence(tmp_path: Path) -> None:
    """`web` and `worker` end orderly; whatever else is interrupted says that nothing committed is lost."""
    code = (
        "import healtharchive.cli.main as m, time, os\n"
        "def slow(*_):\n    print('ready', flush=True)\n    time.sleep(30)\n"
        "m._dispatch = slow\nraise SystemExit(m.main(['status']))"
    )
    child = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert child.stdout is not None
    assert child.stdout.readline() == "ready\n"
    child.send_signal(signal.SIGINT)
    _, err = child.communicate(timeout=20)
    assert child.returncode == 130
    assert err == "Interrupted. Everything committed until now is kept; the same command goes on from there.\n"


def test_the_overview_comes_at_once() -> None:
    """Bounded loosely: the point is that no heavy import has crept in, which the import test above proves."""
    began = time.monotonic()
    process("--help")
    assert time.monotonic() - began < 5


def test_a_configuration_with_an_unknown_key_is_one_sentence_with_line_and_suggestion(tmp_path: Path) -> None:
    command("init", tmp_path)
    with open(tmp_path / "healtharchive.toml", "a", encoding="utf-8") as file:
        file.write("\n[crawl]\nmin_delay = 3\n")
    ended = command("status", "--instance", tmp_path)
    assert ended.code == 13
    assert ended.err == "Unknown setting crawl.min_delay (healtharchive.toml, line 6). Did you mean crawl.min_delay_ms?\n"


def test_a_database_of_another_revision_is_one_sentence(tmp_path: Path) -> None:
    import sqlite3

    command("init", tmp_path)
    with sqlite3.connect(tmp_path / "archive.sqlite3") as db:
        db.execute("UPDATE alembic_version SET version_num = '9999'")
    ended = command("status", "--instance", tmp_path)
    assert ended.code == 13
    assert ended.err.count("\n") == 1
    assert "9999" in ended.err
    assert "Nothing was changed" in ended.err


def test_a_database_that_is_gone_is_not_made_anew(tmp_path: Path) -> None:
    command("init", tmp_path)
    (tmp_path / "archive.sqlite3").unlink()
    ended = command("status", "--instance", tmp_path)
    assert ended.code == 12
    assert not (tmp_path / "archive.sqlite3").exists()


def test_a_directory_that_cannot_be_written_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a directory")
    ended = command("init", tmp_path / "file" / "archive")
    assert ended.code == 12
    assert ended.err.count("\n") == 1
    assert "Nothing was created" in ended.err


def test_json_errors_parse_whatever_they_quote(tmp_path: Path) -> None:
    ended = command("--json", "source", "show", 'qu"ote\n', "--instance", tmp_path)
    assert json.loads(ended.err)["exit_code"] == 10
