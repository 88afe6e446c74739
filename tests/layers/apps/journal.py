"""What layers and endpoints saw, and what was logged: kept in this process, for the test to read."""

from __future__ import annotations

import logging
from collections import defaultdict
from contextvars import ContextVar
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from starlette.types import Scope

KEY_HEADER = b"x-note-key"
# What each connection saw, in order, by the key that the client sent.
SEEN: dict[str, list[str]] = defaultdict(list)
# What has been logged, from warnings up, by the application whose server logged it.
LOGGED: dict[str, list[str]] = defaultdict(list)
# Set before a server is started; all that this server does has it.
SERVING: ContextVar[str] = ContextVar("SERVING", default="")


def see(scope: Scope, layer: object) -> None:
    """Note that `layer` has been given this handshake, and in which form. A request without a key is nobody's."""
    name = layer if isinstance(layer, str) else type(layer).__name__
    for header, value in scope.get("headers", ()):  # a lifespan has none
        if header == KEY_HEADER:
            SEEN[value.decode()].append(f"{name} {scope['type']}")


class Listener(logging.Handler):
    """Keeps what is logged, by application."""

    def emit(self, record: logging.LogRecord) -> None:
        text = record.getMessage()
        if record.exc_info:
            text += f" {record.exc_info[1]!r}"
        LOGGED[SERVING.get()].append(text)


def listen() -> None:
    """Keep all warnings and errors from now on."""
    logging.getLogger().addHandler(Listener(logging.WARNING))
