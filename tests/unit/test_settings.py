"""Settings: every value has an origin, every mistake has a sentence."""

from __future__ import annotations

from pathlib import Path

import pytest

from healtharchive.errors import ConfigurationError, ExitCode
from healtharchive.settings import known_keys, load

MINIMAL = '[database]\nurl = "sqlite:///a.sqlite3"\n'


def write(root: Path, text: str) -> Path:
    (root / "healtharchive.toml").write_text(text, encoding="utf-8")
    return root


def test_defaults_apply_and_say_so(tmp_path: Path) -> None:
    settings, origins = load(write(tmp_path, MINIMAL), environ={})
    assert settings.worker.lease_seconds == 90
    assert {o.source for o in origins if o.key != "database.url"} == {"default"}
    assert [o.key for o in origins] == list(known_keys())


def test_the_file_wins_over_defaults_and_the_environment_over_the_file(tmp_path: Path) -> None:
    root = write(tmp_path, MINIMAL + '[web]\nport = 9000\n\n[crawl]\nrobots = "ignore"\n')
    settings, origins = load(root, environ={"HEALTHARCHIVE_WEB_PORT": "9001", "HEALTHARCHIVE_SEARCH_LANGUAGES": "fr"})
    assert settings.web.port == 9001
    assert settings.search.languages == ("fr",)
    source = {o.key: o.source for o in origins}
    assert source["web.port"] == "env HEALTHARCHIVE_WEB_PORT"
    assert source["crawl.robots"] == "healtharchive.toml:7"


@pytest.mark.parametrize(
    ("text", "environ", "sentence"),
    [
        (
            MINIMAL + "[crawl]\nmin_delay_m = 3\n",
            {},
            "Unknown setting crawl.min_delay_m (healtharchive.toml, line 4). Did you mean crawl.min_delay_ms?",
        ),
        (MINIMAL + "[crawls]\nrobots = 'obey'\n", {}, "Did you mean crawl.robots?"),
        (MINIMAL, {"HEALTHARCHIVE_WEB_PROT": "1"}, "Did you mean HEALTHARCHIVE_WEB_PORT?"),
        (MINIMAL + "port = 3\n", {}, "Unknown setting database.port"),
        (MINIMAL + "[web]\nport = 'many'\n", {}, "Setting web.port (healtharchive.toml:4) is 'many'"),
        (MINIMAL + "[crawl]\nrobots = 'perhaps'\n", {}, "'obey' or 'ignore'"),
        (MINIMAL + "[web\n", {}, "is not valid TOML"),
        ("", {}, "database.url is missing"),
        ("database = 3\n", {}, "Unknown setting database (healtharchive.toml, line 1)"),
        (MINIMAL, {"HEALTHARCHIVE_WORKER_LEASE_SECONDS": "-1"}, "Setting worker.lease_seconds"),
    ],
)
def test_a_mistake_is_one_sentence_with_a_suggestion(tmp_path: Path, text: str, environ: dict[str, str], sentence: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        load(write(tmp_path, text), environ=environ)
    assert sentence in str(caught.value)
    assert "\n" not in str(caught.value)
    assert caught.value.exit_code == ExitCode.CONFIGURATION


def test_a_file_that_is_not_text_or_not_there_is_a_configuration_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="cannot be read: No such file"):
        load(tmp_path, environ={})
    (tmp_path / "healtharchive.toml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigurationError, match="not UTF-8"):
        load(tmp_path, environ={})


def test_every_setting_is_described() -> None:
    assert all(known_keys().values())
