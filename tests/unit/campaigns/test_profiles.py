from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from healtharchive.campaigns import profiles
from healtharchive.campaigns.model import Source
from healtharchive.errors import ConfigurationError, UsageError
from healtharchive.settings import Settings

AT = datetime(2026, 1, 24, tzinfo=UTC)


def settings(**crawl: Any) -> Settings:
    return Settings.model_validate({"database": {"url": "sqlite:///x"}, "crawl": crawl})


def source(**profile: Any) -> Source:
    return Source(1, "hc", "Health", ("https://example.org/",), profile, 1, AT, AT)


def test_a_job_overrides_its_source_which_overrides_the_settings() -> None:
    layers = settings(min_delay_ms=100, max_delay_ms=200, timeout_seconds=5)
    resolved = profiles.resolve(layers, source(min_delay_ms=300, scope="path"), {"scope": "domain", "max_pages": 7})
    assert (resolved.timeout_seconds, resolved.min_delay_ms, resolved.scope, resolved.max_pages) == (5.0, 300, "domain", 7)
    assert resolved.seeds == ("https://example.org/",)


def test_every_crawl_setting_reaches_the_engine() -> None:
    values = settings().crawl.model_dump()
    resolved = profiles.resolve(settings(), source(), {})
    assert {key: getattr(resolved, key) for key in values} == values
    assert resolved.reserve_bytes == settings().storage.reserve_bytes
    assert resolved.fsync


def test_a_job_may_have_seeds_of_its_own_and_a_source_profile_may_not() -> None:
    assert profiles.resolve(settings(), source(), {"seeds": ["https://example.org/a"]}).seeds == ("https://example.org/a",)
    with pytest.raises(UsageError, match="Unknown key seeds"):
        profiles.check_overrides({"seeds": ["https://example.org/a"]})


def test_an_unknown_key_is_refused_with_the_one_that_was_meant() -> None:
    with pytest.raises(UsageError, match=r"Unknown key max_page in this profile\. Did you mean max_pages\?"):
        profiles.check_overrides({"max_page": 3})


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        ({"scope": "everything"}, "'host', 'path' or 'domain'"),
        ({"max_pages": "many"}, "max_pages of this profile is 'many'"),
        ({"exclude": ["("]}, "not a regular expression"),
        ({"fsync": False}, "Unknown key fsync"),
    ],
)
def test_a_value_that_cannot_be_meant_is_refused(overrides: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        profiles.check_overrides(overrides)


def test_what_has_become_wrong_in_the_database_is_a_configuration_error() -> None:
    with pytest.raises(ConfigurationError, match="Unknown key gone in source hc"):
        profiles.resolve(settings(), source(gone=1), {})


def test_words_of_the_command_line_become_values_of_their_kind() -> None:
    words = ["max-pages=5", "allow_private=yes", "delay_factor=0.5", "exclude=a", "exclude=b=c", "scope=path", "max_hops=none"]
    assert profiles.check_overrides(profiles.parse_assignments(words)) == {
        "max_pages": 5,
        "allow_private": True,
        "delay_factor": 0.5,
        "exclude": ["a", "b=c"],
        "scope": "path",
        "max_hops": None,
    }


def test_a_word_without_an_equals_sign_sets_nothing() -> None:
    with pytest.raises(UsageError, match="sets nothing"):
        profiles.parse_assignments(["scope"])
