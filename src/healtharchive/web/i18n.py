"""English and French: words, dates, numbers, plurals, and which of the two a reader gets.

The words are in `locales/en.toml` and `fr.toml`, one flat table each; a test holds that both have the same keys and the same
placeholders. A page's language is in its address (`/en/...`, `/fr/...`), so that a link says what it will show and caches need no
cookie; only an address without one asks the browser.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Final, Literal

from babel import Locale as BabelLocale
from babel import UnknownLocaleError
from babel.dates import format_date, format_datetime, get_month_names
from babel.lists import format_list
from babel.numbers import format_decimal

Code = Literal["en", "fr"]
LANGUAGES: Final[tuple[Code, ...]] = ("en", "fr")
DEFAULT: Final[Code] = "en"

_LOCALES = Path(__file__).parent / "locales"
# The country decides only how dates and numbers look: "January 3, 2025", "1 234".
_BABEL: Final[Mapping[Code, str]] = {"en": "en_CA", "fr": "fr_CA"}
_RANGE = re.compile(r"\s*([A-Za-z*]{1,8})(?:-[A-Za-z0-9-]{1,40})?\s*(?:;\s*q\s*=\s*([01](?:\.\d{0,3})?)\s*)?")


@dataclass(frozen=True)
class Words:
    """One language: what templates and view models say things with."""

    code: Code
    messages: Mapping[str, str]

    @property
    def other(self) -> Code:
        return "fr" if self.code == "en" else "en"

    def __call__(self, key: str, **values: object) -> str:
        """The text of `key`, its placeholders filled. Raises KeyError on an unknown key: our bug, found by the tests."""
        text = self.messages[key]
        return text.format(**{name: self._shown(value) for name, value in values.items()}) if values else text

    def count(self, key: str, n: int, **values: object) -> str:
        """The text of `key.one` or `key.other` for `n` (French counts 0 as one)."""
        return self(f"{key}.{'one' if self._babel.plural_form(n) == 'one' else 'other'}", n=n, **values)

    def number(self, n: float) -> str:
        return str(format_decimal(n, locale=self._babel))

    def date(self, at: datetime) -> str:
        """`January 3, 2025`, `3 janvier 2025`."""
        return str(format_date(at, format="long", locale=self._babel))

    def instant(self, at: datetime) -> str:
        """Date and time to the second, with the zone, for a citation."""
        return f"{self.date(at)}, {format_datetime(at, 'HH:mm:ss', locale=self._babel)} UTC"

    def day(self, at: datetime) -> str:
        """Without the year, for a list that is grouped by year."""
        return str(format_datetime(at, "MMMM d" if self.code == "en" else "d MMMM", locale=self._babel))

    def minute(self, at: datetime) -> str:
        return f"{format_datetime(at, 'HH:mm', locale=self._babel)} UTC"

    def months(self) -> tuple[str, ...]:
        """Twelve abbreviated names, January first."""
        names = get_month_names("abbreviated", context="stand-alone", locale=self._babel)
        return tuple(names[month] for month in range(1, 13))

    def language(self, code: str | None) -> str:
        """The name of a content language, in this language."""
        if not code:
            return self("language.unknown")
        try:
            name = BabelLocale.parse(code.replace("-", "_")).get_language_name(self._babel.language)
        except (ValueError, UnknownLocaleError):
            return code
        return (name or code).capitalize()

    def size(self, size_bytes: int) -> str:
        for unit in ("B", "kB", "MB"):
            if size_bytes < 1000 or unit == "MB":
                break
            size_bytes //= 1000
        return f"{self.number(size_bytes)}\u00a0{self(f'unit.{unit}')}"

    def listed(self, items: list[str]) -> str:
        return str(format_list(items, locale=self._babel))

    @property
    def _babel(self) -> BabelLocale:
        return BabelLocale.parse(_BABEL[self.code])

    def _shown(self, value: object) -> object:
        return self.number(value) if isinstance(value, int) and not isinstance(value, bool) else value


@cache
def words(code: Code) -> Words:
    """The words of one language, read once."""
    tables = tomllib.loads((_LOCALES / f"{code}.toml").read_text(encoding="utf-8"))
    return Words(code, dict(_flat(tables)))


def _flat(tables: Mapping[str, object], prefix: str = "") -> list[tuple[str, str]]:
    pairs: list[tuple[str, str]] = []
    for key, value in tables.items():
        if isinstance(value, Mapping):
            pairs += _flat(value, f"{prefix}{key}.")
        else:
            pairs.append((f"{prefix}{key}", str(value)))
    return pairs


def negotiate(accept_language: str | None) -> Code:
    """Which of our languages a browser prefers (RFC 9110, section 12.5.4); English if it names neither."""
    best: tuple[float, Code] | None = None
    for part in (accept_language or "")[:1000].split(","):
        match = _RANGE.fullmatch(part)
        if match is None:
            continue
        quality = float(match[2]) if match[2] else 1.0
        for code in LANGUAGES:
            if match[1].lower() == code and quality > 0 and (best is None or quality > best[0]):
                best = (quality, code)
    return best[1] if best else DEFAULT
