"""How the package's log records come to uvicorn's handlers."""

from __future__ import annotations

import logging
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from asgi_upgrade.servers.uvicorn.logs import adopt_logging

if TYPE_CHECKING:
    from collections.abc import Iterator

OURS = logging.getLogger("asgi_upgrade")
UVICORNS = logging.getLogger("uvicorn.error")


class Kept(logging.Handler):
    """Keeps what it is given."""

    def __init__(self) -> None:
        super().__init__()
        self.messages: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.messages.append(record.getMessage())


@contextmanager
def alone() -> Iterator[Kept]:
    """uvicorn's handler, where nobody has configured anything else."""
    # Not a fixture: pytest's own handlers come to the root logger only when the test begins.
    handler = Kept()
    before = {each: (each.handlers, each.level) for each in (logging.root, OURS, UVICORNS)}
    logging.root.handlers, OURS.handlers, UVICORNS.handlers = [], [], [handler]
    OURS.setLevel(logging.NOTSET)
    UVICORNS.setLevel(logging.INFO)
    try:
        yield handler
    finally:
        for each, (handlers, level) in before.items():
            each.handlers = handlers
            each.setLevel(level)


def test_records_come_to_uvicorns_handlers_once_from_its_level_on() -> None:
    with alone() as uvicorn:
        adopt_logging()
        adopt_logging()
        OURS.debug("not this")
        OURS.info("closed")
        OURS.warning("refused")
        assert uvicorn.messages == ["closed", "refused"]


def test_who_configures_the_root_logger_later_gets_them_instead() -> None:
    with alone() as uvicorn:
        adopt_logging()
        root = Kept()
        logging.root.handlers.append(root)
        OURS.warning("refused")
        assert (uvicorn.messages, root.messages) == ([], ["refused"])


def test_the_users_level_stays() -> None:
    with alone() as uvicorn:
        OURS.setLevel(logging.ERROR)
        adopt_logging()
        OURS.warning("refused")
        OURS.error("failed")
        assert uvicorn.messages == ["failed"]


@pytest.mark.parametrize("what", ["handler", "propagation", "root", "uvicorn"])
def test_where_the_user_has_configured_something_nothing_changes(what: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with alone():
        own = [Kept()] if what == "handler" else []
        OURS.handlers.extend(own)
        monkeypatch.setattr(OURS, "propagate", what != "propagation")
        if what == "root":
            logging.root.handlers.append(Kept())
        elif what == "uvicorn":
            monkeypatch.setattr(UVICORNS, "propagate", False)
            UVICORNS.handlers.clear()  # the configuration of the user has none for it
        adopt_logging()
        assert OURS.handlers == own
        assert OURS.level == logging.NOTSET


def test_without_handlers_of_uvicorn_warnings_go_where_python_puts_them(monkeypatch: pytest.MonkeyPatch) -> None:
    with alone() as uvicorn:
        adopt_logging()
        last = Kept()
        last.setLevel(logging.WARNING)
        monkeypatch.setattr(logging, "lastResort", last)
        monkeypatch.setattr(UVICORNS, "handlers", [])
        OURS.info("closed")
        OURS.warning("refused")
        assert (uvicorn.messages, last.messages) == ([], ["refused"])
