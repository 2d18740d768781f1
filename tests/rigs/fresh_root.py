"""A Debian system made a moment ago, entered in its own namespaces: what a stranger's machine has, and nothing else."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

# How this machine's package clients are set up (mirrors, certificates): configuration, not packages.
_CLIENT_FILES = ("etc/pip.conf", "etc/xdg/pip", "etc/resolv.conf", "etc/hosts", "etc/ssl/certs/ca-certificates.crt")
_CLIENT_VARIABLES = re.compile(r"^(PIP_|SSL_CERT_|REQUESTS_CA_|NODE_EXTRA_CA|npm_config_|https?_proxy|no_proxy)", re.IGNORECASE)
_DEVICES = ("null", "zero", "full", "random", "urandom", "tty")


def mirror() -> str:
    """The Debian mirror that this machine's apt uses."""
    sources = [Path("/etc/apt/sources.list"), *sorted(Path("/etc/apt/sources.list.d").glob("*"))]
    for path in sources:
        if not path.is_file():
            continue
        for line in path.read_text(encoding="utf-8").splitlines():
            found = re.match(r"(?:URIs:|deb)\s+(?:\[[^\]]*\]\s+)?(\S+)", line)
            if found and "security" not in found[1]:
                return found[1]
    raise RuntimeError("apt on this machine names no mirror")


def make(root: Path, packages: str, *, suite: str = "bookworm") -> None:
    """debootstrap a minimal system with a few packages more. Needs root, about half a minute."""
    subprocess.run(
        ["debootstrap", "--variant=minbase", f"--include={packages}", suite, str(root), mirror()],
        check=True,
        timeout=600,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
    )
    for name in _CLIENT_FILES:
        source, target = Path("/") / name, root / name
        if source.is_dir():
            shutil.copytree(source, target, dirs_exist_ok=True)
        elif source.is_file():
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, target)


def run(root: Path, command: str, *, timeout: float, user: str = "root") -> subprocess.CompletedProcess[str]:
    """Run a shell command inside, in mount, pid, uts and ipc namespaces of its own: nothing of it outlives the call."""
    binds = "".join(f'touch "$1/dev/{name}"; mount --bind /dev/{name} "$1/dev/{name}"; ' for name in _DEVICES)
    script = (
        'set -e; mount --bind "$1" "$1"; mount -t proc proc "$1/proc"; mount -t tmpfs tmpfs "$1/dev"; mkdir "$1/dev/shm"; '
        f'{binds} chmod 1777 "$1/dev/shm"; ln -s /proc/self/fd "$1/dev/fd"; '
        'exec chroot "$1" /bin/su "$2" -s /bin/sh -m -c "$3"'
    )
    environment = {k: v for k, v in os.environ.items() if _CLIENT_VARIABLES.match(k)}
    environment |= {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/tmp", "LANG": "C.UTF-8", "TERM": "dumb"}
    return subprocess.run(
        ["unshare", "--mount", "--propagation=private", "--pid", "--fork", "--kill-child", "--uts", "--ipc",
         "sh", "-c", script, "sh", str(root), user, command],
        env=environment,
        timeout=timeout,
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        check=False,
    )  # fmt: skip


def copy_checkout(source: Path, target: Path) -> None:
    """What git tracks, as it stands in the working tree: a clean checkout without a server to clone from."""
    listed = subprocess.run(
        ["git", "-C", str(source), "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        check=True, capture_output=True, timeout=60,
    ).stdout  # fmt: skip
    for name in filter(None, listed.decode().split("\0")):
        if (source / name).is_file():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source / name, target / name)
