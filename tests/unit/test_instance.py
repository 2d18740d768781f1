"""Finding, creating and opening an instance: never a silent substitute."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from healtharchive.errors import ConfigurationError, ExitCode, NotInitialised, StorageUnavailable
from healtharchive.instance import create_instance, find_instance, open_instance


def test_it_is_found_by_option_then_environment_then_working_directory_and_parents(tmp_path: Path) -> None:
    a, b, c = (tmp_path / name for name in "abc")
    for root in (a, b, c):
        create_instance(root).close()
    inner = c / "jobs" / "deep"
    inner.mkdir()
    assert find_instance(a, environ={"HEALTHARCHIVE_INSTANCE": str(b)}, cwd=inner) == a
    assert find_instance(None, environ={"HEALTHARCHIVE_INSTANCE": str(b)}, cwd=inner) == b
    assert find_instance(None, environ={}, cwd=inner) == c


def test_without_one_every_way_says_so_with_exit_10(tmp_path: Path) -> None:
    for explicit, environ in ((None, {}), (tmp_path, {}), (None, {"HEALTHARCHIVE_INSTANCE": str(tmp_path)})):
        with pytest.raises(NotInitialised, match="healtharchive init") as caught:
            find_instance(explicit, environ=environ, cwd=tmp_path)
        assert caught.value.exit_code == ExitCode.NOT_INITIALISED


def test_a_named_directory_without_an_instance_is_not_replaced_by_the_working_directory(tmp_path: Path) -> None:
    create_instance(tmp_path / "here").close()
    with pytest.raises(NotInitialised):
        find_instance(tmp_path / "elsewhere", environ={}, cwd=tmp_path / "here")


def test_creating_twice_changes_nothing(tmp_path: Path) -> None:
    create_instance(tmp_path / "a").close()
    before = (tmp_path / "a" / "healtharchive.toml").read_bytes()
    with pytest.raises(ConfigurationError, match="already"):
        create_instance(tmp_path / "a", "sqlite:///other.sqlite3")
    assert (tmp_path / "a" / "healtharchive.toml").read_bytes() == before
    assert not (tmp_path / "a" / "other.sqlite3").exists()


@pytest.mark.parametrize("url", ["mysql://x/y", "not a url", "sqlite://", "sqlite:///:memory:"])
def test_an_unusable_database_url_leaves_nothing_behind(tmp_path: Path, url: str) -> None:
    with pytest.raises(ConfigurationError):
        create_instance(tmp_path / "a", url)
    assert not (tmp_path / "a").exists()


def test_an_unreachable_server_leaves_no_instance_and_no_password_in_the_message(tmp_path: Path) -> None:
    with pytest.raises(StorageUnavailable) as caught:
        create_instance(tmp_path / "a", "postgresql://me:geheim@127.0.0.1:1/x")
    assert "geheim" not in str(caught.value)
    with pytest.raises(NotInitialised):
        find_instance(tmp_path / "a", environ={})


def test_a_database_file_that_is_gone_is_not_made_anew(tmp_path: Path) -> None:
    create_instance(tmp_path / "a").close()
    for file in (tmp_path / "a").glob("archive.sqlite3*"):
        file.unlink()
    with pytest.raises(StorageUnavailable, match="is missing"):
        open_instance(tmp_path / "a")
    assert not (tmp_path / "a" / "archive.sqlite3").exists()


def test_another_schema_revision_is_refused_in_one_sentence(tmp_path: Path) -> None:
    instance = create_instance(tmp_path / "a")
    with instance.db.write() as conn:
        conn.execute(sa.text("UPDATE alembic_version SET version_num = '9999'"))
    instance.close()
    with pytest.raises(ConfigurationError, match="revision 9999, this program needs") as caught:
        open_instance(tmp_path / "a")
    assert caught.value.exit_code == ExitCode.CONFIGURATION


def test_a_directory_that_cannot_be_written_is_one_sentence(tmp_path: Path, ordinary_user: None) -> None:
    with pytest.raises(StorageUnavailable, match="Permission denied"):
        create_instance(tmp_path / "closed" / "a")


@pytest.fixture
def ordinary_user(tmp_path: Path) -> Iterator[None]:
    """Act without privilege: root may write anywhere."""
    (tmp_path / "closed").mkdir(mode=0o555)
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)
