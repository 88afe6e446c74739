"""Remembers whether an `UpgradeMiddleware` was called with a lifespan, so that log lines can name the right cure."""

from __future__ import annotations

from contextvars import ContextVar

__all__ = ["IN_PROCESS", "has_seen_lifespan", "note_lifespan"]

IN_PROCESS: ContextVar[bool] = ContextVar("asgi_upgrade_in_process", default=False)
"""Whether the lifespan is run by `asgi_upgrade.testing`, so that there is no server to extend."""

_seen: list[bool] = []


def note_lifespan() -> None:
    """Remember that one has come."""
    if not _seen:
        _seen.append(True)


def has_seen_lifespan() -> bool:
    """Tell whether one has come."""
    return bool(_seen)
