"""The reference cannot drift: every setting, exit code, status and decision is written down."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from healtharchive.errors import ExitCode
from healtharchive.jobs.lifecycle import ATTEMPT_OF, TRANSITIONS
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


def test_the_table_of_job_states_is_that_of_the_program() -> None:
    page = read("reference/job-states.md")
    for status, events in TRANSITIONS.items():
        moves = ", ".join(f"{event.value} → `{target.value}`" for event, target in events.items()) or "final"
        attempt = ATTEMPT_OF[status].value if status in ATTEMPT_OF else "none"
        assert re.search(rf"^\| `{status.value}` \| [^|]+ \| {attempt} \| {re.escape(moves)} \|$", page, re.MULTILINE), status
