"""Digests as WARC headers write them: an algorithm, a colon, and the value in hex, base32 or base64."""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from hashlib import _Hash

# What WARCs in the wild carry. md5 and sha1 say only that nothing changed by accident.
_SIZES: Final = {"md5": 16, "sha1": 20, "sha224": 28, "sha256": 32, "sha384": 48, "sha512": 64}


@dataclass(frozen=True)
class Digest:
    """A labelled digest: an algorithm that hashlib knows, and the value."""

    algorithm: str
    value: bytes

    @classmethod
    def parse(cls, text: str) -> Digest | None:
        """None if it is none that can be checked: no label, an unknown algorithm, or a value of the wrong length."""
        label, colon, value = text.strip().partition(":")
        algorithm = label.strip().lower().replace("-", "")
        size = _SIZES.get(algorithm)
        if not colon or size is None:
            return None
        raw = _decoded(value.strip(), size)
        return None if raw is None else cls(algorithm, raw)

    def new(self) -> _Hash:
        return hashlib.new(self.algorithm, usedforsecurity=False)

    def matches(self, data: Iterable[bytes]) -> bool:
        running = self.new()
        for piece in data:
            running.update(piece)
        return running.digest() == self.value


def sha1_base32(data: Iterable[bytes]) -> str:
    """The form that most CDX indexes use where a record states none."""
    running = hashlib.sha1(usedforsecurity=False)
    for piece in data:
        running.update(piece)
    return f"sha1:{base64.b32encode(running.digest()).decode()}"


def _decoded(value: str, size: int) -> bytes | None:
    """The bytes of a digest, told apart by the length of their text: hex is the longest, then base32, then base64."""
    try:
        if len(value) == 2 * size and "=" not in value:
            return bytes.fromhex(value)
        if len(value.rstrip("=")) == -(-size * 8 // 5):
            return base64.b32decode(value.rstrip("=").upper() + "=" * (-len(value.rstrip("=")) % 8))
        raw = base64.b64decode(value.replace("-", "+").replace("_", "/") + "=" * (-len(value) % 4), validate=True)
    except (ValueError, binascii.Error):
        return None
    return raw if len(raw) == size else None
