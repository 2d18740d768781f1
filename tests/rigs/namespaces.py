"""Namespaces of the kernel, made for one call: a network with nobody in it, a small disk.

A namespace belongs to a thread and to what it starts: threads, processes and sockets of the call live in it, the tests do not.
"""

from __future__ import annotations

import ctypes
import os
import subprocess
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from tests.rigs.require import require, require_root

T = TypeVar("T")

# os.unshare came with Python 3.12.
_CLONE_NEWNS = 0x0002_0000
_CLONE_NEWNET = 0x4000_0000


@dataclass(frozen=True)
class SmallDisk:
    """A file system that holds few bytes, until it is made to hold more."""

    mountpoint: Path

    def resize(self, size: str) -> None:
        subprocess.run(["mount", "-o", f"remount,size={size}", str(self.mountpoint)], check=True)


def in_a_network_of_its_own(address: str, act: Callable[[], T]) -> T:
    """What `act` returns, called in a new network namespace whose loopback interface also has `address`."""
    require_root("network namespaces")
    ip = str(require("ip", "iproute2"))

    def settle() -> T:
        subprocess.run([ip, "link", "set", "lo", "up"], check=True)
        subprocess.run([ip, "address", "add", f"{address}/32", "dev", "lo"], check=True)
        return act()

    return _in_namespace(_CLONE_NEWNET, settle)


def on_a_small_disk(mountpoint: Path, size: str, act: Callable[[SmallDisk], T]) -> T:
    """What `act` returns, called where `mountpoint` is an empty file system of `size`, such as `8m`."""
    require_root("mount namespaces")

    def settle() -> T:
        subprocess.run(["mount", "--make-rprivate", "/"], check=True)
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "none", str(mountpoint)], check=True)
        return act(SmallDisk(mountpoint))

    return _in_namespace(_CLONE_NEWNS, settle)


def _in_namespace(kind: int, act: Callable[[], T]) -> T:
    outcome: list[T] = []
    failure: list[BaseException] = []

    def enter() -> None:
        try:
            libc = ctypes.CDLL(None, use_errno=True)
            if libc.unshare(kind) != 0:
                raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
            outcome.append(act())
        except BaseException as error:
            failure.append(error)

    thread = threading.Thread(target=enter)
    thread.start()
    thread.join()
    if failure:
        raise failure[0]
    return outcome[0]
