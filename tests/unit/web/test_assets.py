from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from healtharchive.errors import ConfigurationError
from healtharchive.web import assets


def fake_npm(directory: Path, script: str) -> str:
    path = directory / "npm"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return str(path)


def test_the_lock_holds_one_pinned_package_and_no_address() -> None:
    text = (assets.FRONTEND / "package-lock.json").read_text()
    lock = json.loads(text)
    assert "resolved" not in text
    assert "://" not in text
    packages = {name: entry for name, entry in lock["packages"].items() if name}
    assert list(packages) == [f"node_modules/{assets.PACKAGE}"]
    assert packages[f"node_modules/{assets.PACKAGE}"]["version"] == assets.VERSION
    assert packages[f"node_modules/{assets.PACKAGE}"]["integrity"].startswith("sha512-")
    assert json.loads((assets.FRONTEND / "package.json").read_text())["dependencies"] == {assets.PACKAGE: assets.VERSION}
    assert "omit-lockfile-registry-resolved=true" in (assets.FRONTEND / ".npmrc").read_text()


def test_without_npm_it_says_what_is_missing_and_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(assets, "VENDOR", tmp_path / "vendor")
    with pytest.raises(assets.AssetsMissing, match="apt install nodejs npm"):
        assets.install(tmp_path / "vendor")
    assert not (tmp_path / "vendor").exists()


def test_an_npm_that_fails_is_told_in_its_own_words(tmp_path: Path) -> None:
    npm = fake_npm(tmp_path, "echo 'npm error network down' >&2; exit 7")
    with pytest.raises(assets.AssetsMissing, match="network down"):
        assets.install(tmp_path / "vendor", npm=npm)


def test_a_file_that_is_not_the_pinned_one_is_not_installed(tmp_path: Path) -> None:
    npm = fake_npm(tmp_path, f"mkdir -p node_modules/{assets.PACKAGE}; echo evil > node_modules/{assets.PACKAGE}/sw.js")
    with pytest.raises(ConfigurationError, match="not the pinned file"):
        assets.install(tmp_path / "vendor", npm=npm)
    assert not (tmp_path / "vendor").exists()


def test_a_worker_that_somebody_changed_is_not_served(tmp_path: Path) -> None:
    (tmp_path / "sw.js").write_text("evil")
    assert assets.player(tmp_path) is None
    present = assets.player()
    if present is not None:
        assert hashlib.sha256(present.read_bytes()).hexdigest() == assets.SW_SHA256
        assert (present.parent / "LICENSE").is_file()
        assert "webrecorder" in (present.parent / "SOURCE.txt").read_text()
