"""Has the package's log records appear as uvicorn's own do, where nobody has configured anything else for them."""

from __future__ import annotations

import logging

__all__ = ["adopt_logging"]

_ours = logging.getLogger("asgi_upgrade")
_uvicorns = logging.getLogger("uvicorn.error")


class _ToUvicorn(logging.Handler):
    """Hands records to uvicorn's handlers, unless others further up the tree get them anyway."""

    def emit(self, record: logging.LogRecord) -> None:
        if logging.root.handlers:
            return
        if _uvicorns.hasHandlers():
            _uvicorns.callHandlers(record)
        elif logging.lastResort is not None and record.levelno >= logging.lastResort.level:
            logging.lastResort.handle(record)


def adopt_logging() -> None:
    """Log to uvicorn's handlers, from uvicorn's level on, if the user has said nothing about the package's logger.

    uvicorn configures loggers of its own only: records of others would come out bare, and those below WARNING not at
    all. Called when uvicorn has configured them; more than once does no harm.
    """
    if _ours.handlers or not _ours.propagate or logging.root.handlers or not _uvicorns.hasHandlers():
        return
    _ours.addHandler(_ToUvicorn())
    if _ours.level == logging.NOTSET:
        _ours.setLevel(_uvicorns.getEffectiveLevel())
