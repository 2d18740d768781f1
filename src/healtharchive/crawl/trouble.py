"""Our own disk's failures as errno values, whichever library noticed them."""

from __future__ import annotations

import errno
import sqlite3
from typing import Final

_SQLITE: Final = {
    sqlite3.SQLITE_FULL: errno.ENOSPC,
    sqlite3.SQLITE_IOERR: errno.EIO,
    sqlite3.SQLITE_CORRUPT: errno.EIO,
    sqlite3.SQLITE_NOTADB: errno.EIO,
    sqlite3.SQLITE_READONLY: errno.EROFS,
    sqlite3.SQLITE_CANTOPEN: errno.EACCES,
    sqlite3.SQLITE_PERM: errno.EACCES,
    sqlite3.SQLITE_BUSY: errno.EBUSY,
    sqlite3.SQLITE_NOMEM: errno.ENOMEM,
}


def errno_of(error: BaseException) -> int | None:
    """The errno of an OSError or of what SQLite says about the disk; None if the error is not about the machine."""
    if isinstance(error, OSError):
        return error.errno
    if isinstance(error, sqlite3.Error):
        # Extended codes keep the primary one in their low byte.
        code = getattr(error, "sqlite_errorcode", None)
        return None if code is None else _SQLITE.get(code & 0xFF)
    return None
