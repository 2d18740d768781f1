"""A real stale mount: a FUSE filesystem whose server is gone, so that every look below it ends with errno 107 (ENOTCONN).

What a killed sshfs leaves behind, without sshfs: /dev/fuse is mounted by its descriptor, and the descriptor closed. Needs root.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.rigs.require import missing, require

_DETACH = 2


@contextmanager
def stale_mount(path: Path) -> Iterator[None]:
    """`path`, an existing directory, answers with ENOTCONN inside the block, and is well again after it."""
    require(Path("/dev/fuse"), "fuse3")
    if os.geteuid() != 0:
        missing("root", "run this test as root")
    libc = ctypes.CDLL(None, use_errno=True)
    descriptor = os.open("/dev/fuse", os.O_RDWR | os.O_CLOEXEC)
    options = f"fd={descriptor},rootmode=40000,user_id=0,group_id=0".encode()
    try:
        if libc.mount(b"stale", os.fsencode(path), b"fuse", 0, options) != 0:
            missing(f"the right to mount ({os.strerror(ctypes.get_errno())})", "run this test in a mount namespace of its own")
    finally:
        os.close(descriptor)
    try:
        yield
    finally:
        libc.umount2(os.fsencode(path), _DETACH)
