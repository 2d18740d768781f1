"""Instances with the waits of a test."""

from __future__ import annotations

from dataclasses import replace

from healtharchive.instance import Instance


def quick(instance: Instance, *, lease_seconds: int = 4, **retry: int) -> Instance:
    """Short leases and pauses, no reserve of disk; `retry` changes keys of that section."""
    settings = instance.settings
    worker = settings.worker.model_copy(
        update={"lease_seconds": lease_seconds, "heartbeat_seconds": 0.5, "poll_seconds": 0.1, "drain_seconds": 8}
    )
    storage = settings.storage.model_copy(update={"reserve_bytes": 0})
    sections = {"worker": worker, "storage": storage, "retry": settings.retry.model_copy(update=retry)}
    return replace(instance, settings=settings.model_copy(update=sections))
