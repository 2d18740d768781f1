from __future__ import annotations

from collections.abc import Iterator

import pytest
from starlette.testclient import TestClient
from tests.rigs import exhibits

from healtharchive.instance import Instance, create_instance
from healtharchive.web.app import create_app
from healtharchive.web.replay_origin import create_replay_app
from healtharchive.web.serving import Origins

ORIGINS = Origins("https://archive.example", "https://replay.example", 8080, 8081)


@pytest.fixture(scope="package")
def furnished(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Instance]:
    """An instance with the exhibits. Shared: a test that takes something away brings it back."""
    instance = create_instance(tmp_path_factory.mktemp("web") / "archive")
    exhibits.furnish(instance)
    yield instance
    instance.close()


@pytest.fixture
def public(furnished: Instance) -> TestClient:
    """The main origin, without following redirects."""
    return TestClient(create_app(furnished, origins=ORIGINS), follow_redirects=False, raise_server_exceptions=False)


@pytest.fixture
def replayed(furnished: Instance) -> TestClient:
    """The replay origin, without following redirects."""
    return TestClient(create_replay_app(furnished, origins=ORIGINS), follow_redirects=False, raise_server_exceptions=False)
