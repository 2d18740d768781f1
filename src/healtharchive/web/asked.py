"""What a path of the replay origin asks for. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from healtharchive.access.replay import Address
from healtharchive.web.i18n import LANGUAGES, Code
from healtharchive.web.links import RESERVED


@dataclass(frozen=True)
class Asked:
    """A request as its path says it."""

    form: Literal["page", "raw", "worker", "frame", "plain", "facts", "document"]
    code: Code | None
    address: Address


def read_path(raw: str) -> Asked | None:
    """What a raw path (with its query, without its first slash) asks for; None if it is no address of ours."""
    if raw.startswith(f"{RESERVED}/"):
        return _read_reserved(raw)
    code, rest = _language(raw)
    address = Address.parse(rest)
    if address is None:
        return None
    match address.modifier:
        case "" | "nj_":
            return Asked("page", code, address)
        case "ir_" | "id_" if code is None:
            return Asked("raw", None, address)
        case "mp_" if code is None:
            return Asked("frame", None, address)
    return None


def _read_reserved(raw: str) -> Asked | None:
    form, _, rest = raw.removeprefix(f"{RESERVED}/").partition("/")
    if form == "worker":
        address = Address.parse(rest)
        return Asked("worker", None, address) if address else None
    code, rest = _language(rest)
    address = Address.parse(rest)
    if code is None or address is None:
        return None
    match form:
        case "plain":
            return Asked("plain", code, address)
        case "copy":
            return Asked("facts", code, address)
        case "document":
            return Asked("document", code, address)
    return None


def _language(raw: str) -> tuple[Code | None, str]:
    for code in LANGUAGES:
        if raw.startswith(f"{code}/"):
            return code, raw[len(code) + 1 :]
    return None, raw
