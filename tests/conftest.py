"""Fixtures that every room uses: databases of both dialects, and an instance on each."""

from __future__ import annotations

import os
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import cast

import pytest
from tests.rigs.databases import KINDS, Databases, Kind
from tests.rigs.databases import databases as _databases

from healtharchive.db import Database
from healtharchive.instance import Instance, create_instance


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """In CI, as root, everything can run: a test that was skipped there has failed."""
    report = yield
    if report.skipped and os.geteuid() == 0 and os.environ.get("CI", "").lower() == "true":
        report.outcome = "failed"
        report.longrepr = f"{item.nodeid} was skipped where nothing may be: {call.excinfo.value if call.excinfo else 'skipped'}"
    return report


@pytest.fixture(scope="session")
def databases() -> Iterator[Databases]:
    """Makes as many databases as a test needs."""
    with _databases() as maker:
        yield maker


@pytest.fixture(params=KINDS)
def database_kind(request: pytest.FixtureRequest) -> Kind:
    """Both dialects; one only with `@pytest.mark.parametrize("database_kind", ["sqlite"], indirect=True)`."""
    return cast(Kind, request.param)


@pytest.fixture
def database_url(databases: Databases, database_kind: Kind) -> Iterator[str]:
    """A fresh database at the head revision."""
    url = databases.fresh(database_kind)
    yield url
    databases.drop(url)


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    """A fresh database at the head revision, connected."""
    connected = Database(database_url)
    yield connected
    connected.close()


@pytest.fixture
def instance(tmp_path: Path, database_url: str) -> Iterator[Instance]:
    """A fresh instance in `tmp_path / "instance"`, on each dialect."""
    made = create_instance(tmp_path / "instance", database_url)
    yield made
    made.close()
