"""A stranger's Debian, a clean checkout, `make demo`: set-up included within three minutes, again within one."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from tests.rigs import fresh_root
from tests.rigs.require import require, require_root

CHECKOUT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def debian(tmp_path_factory: pytest.TempPathFactory) -> Path:
    require_root("debootstrap and namespaces")
    require("debootstrap", "debootstrap")
    root = tmp_path_factory.mktemp("debian") / "root"
    root.mkdir()
    fresh_root.make(root, "python3,python3-venv,make,ca-certificates")
    fresh_root.copy_checkout(CHECKOUT, root / "srv" / "healtharchive")
    return root


@pytest.mark.drill
@pytest.mark.timeout(900)
@pytest.mark.parametrize("user", ["root", "nobody"])
def test_make_demo_ends_well_with_all_the_set_up(debian: Path, user: str) -> None:
    home = "/srv/healtharchive" if user == "root" else "/srv/ordinary"
    if user != "root":
        copy = f"cp -r /srv/healtharchive {home} && rm -rf {home}/.venv && chown -R {user} {home}"
        copied = fresh_root.run(debian, copy, timeout=60)
        assert copied.returncode == 0, copied.stderr
    started = time.monotonic()
    first = fresh_root.run(debian, f"cd {home} && make demo", timeout=300, user=user)
    elapsed = time.monotonic() - started
    assert first.returncode == 0, f"{first.stdout[-4000:]}\n{first.stderr[-4000:]}"
    assert elapsed < 180, f"set-up and demo took {elapsed:.0f} s"
    assert "npm" in first.stdout + first.stderr, "the machine has no npm and nobody said so"
    started = time.monotonic()
    again = fresh_root.run(debian, f"cd {home} && make demo", timeout=300, user=user)
    elapsed = time.monotonic() - started
    assert again.returncode == 0, f"{again.stdout[-4000:]}\n{again.stderr[-4000:]}"
    assert elapsed < 60, f"the second demo took {elapsed:.0f} s"


@pytest.mark.drill
def test_a_missing_debian_package_is_named_with_its_command(debian: Path) -> None:
    broken = fresh_root.run(
        debian,
        "cp -r /srv/healtharchive /tmp/c && rm -rf /tmp/c/.venv && cd /tmp/c && mv /usr/lib/python3.11/ensurepip /tmp/aside && "
        "make demo; code=$?; mv /tmp/aside /usr/lib/python3.11/ensurepip; exit $code",
        timeout=60,
    )
    assert broken.returncode != 0
    assert "apt-get install python3-venv" in broken.stderr
