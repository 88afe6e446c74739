"""Whether a server's lifespan has come to an `UpgradeMiddleware` in this process: log lines tell the cure by it."""

from __future__ import annotations

__all__ = ["has_seen_lifespan", "note_lifespan"]

_seen: list[bool] = []


def note_lifespan() -> None:
    """Remember that one has come."""
    if not _seen:
        _seen.append(True)


def has_seen_lifespan() -> bool:
    """Tell whether one has come."""
    return bool(_seen)
