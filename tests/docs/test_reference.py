"""The reference cannot drift: every setting, exit code, status and decision is written down."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from healtharchive.cli.main import COMMANDS
from healtharchive.cli.parsing import load as load_command
from healtharchive.errors import ExitCode
from healtharchive.jobs.model import Status
from healtharchive.settings import CONFIG_NAME, known_keys, load

DOCS = Path(__file__).resolve().parents[2] / "docs"


def read(name: str) -> str:
    return (DOCS / name).read_text(encoding="utf-8")


def test_every_setting_is_in_the_reference_with_its_default_and_meaning(tmp_path: Path) -> None:
    (tmp_path / CONFIG_NAME).write_text('[database]\nurl = "sqlite:///archive.sqlite3"\n', encoding="utf-8")
    page = read("reference/settings.md")
    _, origins = load(tmp_path, environ={})
    descriptions = known_keys()
    for origin in origins:
        default = "(required)" if origin.key == "database.url" else f"`{shown(origin.value)}`"
        assert f"| `{origin.key}` | {default} | {descriptions[origin.key]} |" in page, origin.key


def shown(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple):
        return ", ".join(map(str, value))
    return str(value)


def test_every_exit_code_is_in_the_reference() -> None:
    page = read("reference/exit-codes.md")
    assert {int(n) for n in re.findall(r"^\| (\d+) \|", page, re.MULTILINE)} == {int(code) for code in ExitCode} | {130}


def test_every_status_is_in_the_reference() -> None:
    page = read("reference/job-states.md")
    for status in Status:
        assert f"| `{status.value}` |" in page


def test_every_decision_is_listed_and_fits_on_a_page() -> None:
    index = read("decisions/index.md")
    for path in sorted((DOCS / "decisions").glob("[0-9]*.md")):
        assert f"]({path.name})" in index, path.name
        assert len(path.read_text(encoding="utf-8").splitlines()) <= 45, path.name


@pytest.mark.parametrize("path", sorted(DOCS.rglob("*.md")), ids=lambda p: str(p.relative_to(DOCS)))
def test_links_between_pages_lead_somewhere(path: Path) -> None:
    for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", path.read_text(encoding="utf-8")):
        assert (path.parent / target).exists(), f"{path.name}: {target}"


def commands() -> Iterator[tuple[str, Any]]:
    """Every command that can be run, with its words: `source add`, `init`, ..."""
    for command in COMMANDS.values():
        found = load_command(command)
        if hasattr(found, "commands"):
            yield from ((f"{command.name} {name}", leaf) for name, leaf in found.commands.items())
        else:
            yield command.name, found


@pytest.mark.parametrize(("words", "command"), list(commands()), ids=lambda value: value if isinstance(value, str) else "")
def test_every_command_and_option_is_in_the_reference(words: str, command: Any) -> None:
    found = re.search(rf"^### {re.escape(words)}$(.*?)(?=^##|\Z)", read("reference/commands.md"), re.MULTILINE | re.DOTALL)
    assert found, f"{words} is not documented"
    for parameter in command.params:
        for option in (*parameter.opts, *parameter.secondary_opts):
            if option.startswith("-") and option != "--help":
                assert f"`{option}`" in found[1], f"{words} {option}"
