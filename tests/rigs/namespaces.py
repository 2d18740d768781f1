"""Namespaces of the kernel, made for one call: a network with nobody in it."""

from __future__ import annotations

import ctypes
import os
import subprocess
import threading
from collections.abc import Callable
from typing import TypeVar

from tests.rigs.require import require, require_root

T = TypeVar("T")

_CLONE_NEWNET = 0x4000_0000  # os.unshare came with Python 3.12


def in_a_network_of_its_own(address: str, act: Callable[[], T]) -> T:
    """What `act` returns, called in a new network namespace whose loopback interface also has `address`.

    A namespace belongs to a thread and to what it starts: threads, processes and sockets of `act` live in it, the tests do not.
    """
    require_root("network namespaces")
    ip = str(require("ip", "iproute2"))
    outcome: list[T] = []
    failure: list[BaseException] = []

    def enter() -> None:
        try:
            libc = ctypes.CDLL(None, use_errno=True)
            if libc.unshare(_CLONE_NEWNET) != 0:
                raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
            subprocess.run([ip, "link", "set", "lo", "up"], check=True)
            subprocess.run([ip, "address", "add", f"{address}/32", "dev", "lo"], check=True)
            outcome.append(act())
        except BaseException as error:
            failure.append(error)

    thread = threading.Thread(target=enter)
    thread.start()
    thread.join()
    if failure:
        raise failure[0]
    return outcome[0]
