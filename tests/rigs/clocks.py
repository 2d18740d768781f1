"""A clock that a test moves, for `Database(clock=...)`."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta


class FakeClock:
    """Stands still until it is moved."""

    def __init__(self, at: datetime = datetime(2026, 1, 24, 6, 28, tzinfo=UTC)) -> None:
        self.at = at

    def __call__(self) -> datetime:
        return self.at

    def advance(self, *, seconds: float = 0, minutes: float = 0) -> None:
        self.at += timedelta(seconds=seconds, minutes=minutes)
