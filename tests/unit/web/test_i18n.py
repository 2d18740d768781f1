from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path

import pytest

from healtharchive.web import i18n
from healtharchive.web.i18n import negotiate, words

AT = datetime(2025, 1, 3, 15, 4, 5, tzinfo=UTC)
WEB = Path(i18n.__file__).parent


def placeholders(text: str) -> set[str]:
    return set(re.findall(r"\{(\w+)\}", text))


def test_both_languages_say_the_same_things() -> None:
    english, french = words("en").messages, words("fr").messages
    assert english.keys() == french.keys()
    different = {key for key in english if placeholders(english[key]) != placeholders(french[key])}
    assert different == set()
    assert all(text.strip() for text in (*english.values(), *french.values()))


def test_every_key_is_used_and_every_used_key_exists() -> None:
    code = "\n".join(path.read_text() for pattern in ("*.py", "templates/*.html") for path in WEB.glob(pattern))
    used = set(re.findall(r"""["'](\w+\.\w+)["']""", code)) | set(re.findall(r"""\bw\.count\(["']([\w.]+)["']""", code))
    built = ("site.nav_", "search.filter_", "history.", "snapshot.type_", "kind.", "unit.", "replay.", "error.")
    missing = {key for key in words("en").messages if key.removesuffix(".one").removesuffix(".other") not in used}
    assert {key for key in missing if not key.startswith(built)} == set()


def test_french_has_no_breaking_space_before_high_punctuation() -> None:
    wrong = {key: text for key, text in words("fr").messages.items() if re.search(r" [;:?!»]|« ", text)}
    assert wrong == {}


@pytest.mark.parametrize(
    ("header", "code"),
    [
        ("fr-CA,fr;q=0.9,en;q=0.8", "fr"),
        ("en-GB,en;q=0.9,fr;q=0.8", "en"),
        ("de, en;q=0.5, fr;q=0.6", "fr"),
        ("fr;q=0", "en"),
        ("de", "en"),
        ("", "en"),
        (None, "en"),
        ("fr;q=banana, \x00, ;;;", "en"),
        ("x" * 100_000, "en"),
    ],
)
def test_the_browsers_preference_chooses(header: str | None, code: str) -> None:
    assert negotiate(header) == code


def test_dates_and_numbers_are_for_people() -> None:
    assert words("en").date(AT) == "January 3, 2025"
    assert words("fr").date(AT) == "3 janvier 2025"
    assert words("fr").instant(AT) == "3 janvier 2025, 15:04:05 UTC"
    assert words("en").number(1_234_567) == "1,234,567"
    assert re.sub(r"\s", " ", words("fr").number(1_234_567)) == "1 234 567"


def test_plurals_follow_each_language() -> None:
    assert words("en").count("search.results", 0) == "0 results"
    assert words("fr").count("search.results", 0) == "0 résultat"
    assert words("fr").count("search.results", 2) == "2 résultats"


def test_languages_have_names_and_unknown_codes_do_no_harm() -> None:
    assert words("fr").language("en") == "Anglais"
    assert words("en").language("fr-CA") == "French"
    assert words("en").language("zz") == "zz"
    assert words("en").language("../x") == "../x"
    assert words("fr").language(None) == "Langue inconnue"


def test_sizes_have_units() -> None:
    assert words("en").size(791) == "791\u00a0bytes"
    assert words("fr").size(12_345_678) == "12\u00a0Mo"
