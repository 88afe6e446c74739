"""How an application has ended, and what the log says of a connection's end."""

from __future__ import annotations

import logging
from types import SimpleNamespace
from typing import Any

import pytest
from starlette.websockets import WebSocketDisconnect

from asgi_upgrade.websocket.endings import is_disconnect, log_end
from asgi_upgrade.websocket.errors import ClientDisconnected


class Group(Exception):
    """Like an exception group, which Python 3.10 has not."""

    def __init__(self, *exceptions: BaseException) -> None:
        self.exceptions = exceptions


GONE = WebSocketDisconnect(1006)


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (GONE, True),
        (ClientDisconnected(1006, ""), True),
        (LookupError(), False),
        (ConnectionResetError(), False),
        (Group(GONE, ClientDisconnected(1006, "")), True),
        (Group(GONE, LookupError()), False),
        (Group(LookupError(), GONE), False),
        (Group(GONE, Group(GONE)), True),
        (Group(Group(GONE, LookupError())), False),
        (Group(), False),
    ],
)
def test_a_group_of_nothing_but_disconnects_is_a_disconnect(error: BaseException, *, expected: bool) -> None:
    assert is_disconnect(error) is expected


@pytest.mark.parametrize(
    ("client", "named"), [(("192.0.2.1", 5), "192.0.2.1:5"), (["::1", 6], "::1:6"), (None, "unix"), ("missing", "unix")]
)
def test_the_line_about_a_connection(caplog: pytest.LogCaptureFixture, client: Any, named: str) -> None:
    carrier: Any = SimpleNamespace(messages_received=1, bytes_received=2, messages_sent=3, bytes_sent=4)
    scope = {"path": "/a b\n", "client": client}
    if client == "missing":
        del scope["client"]
    with caplog.at_level(logging.INFO, "asgi_upgrade"):
        log_end(scope, carrier, 1001, 1.23456)
    (record,) = caplog.records
    assert record.levelname == "INFO"
    assert record.getMessage() == (
        f"{named} - WebSocket /a%20b%0A closed with 1001 after 1.235 seconds; messages received: 1 (2 bytes), sent: 3 "
        "(4 bytes)"
    )
