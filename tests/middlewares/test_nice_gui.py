"""NiceGUI: its pages and its Socket.IO are guarded by the middleware of the application that it is mounted in."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
import socketio

from tests.middlewares.apps.key import KEY
from tests.middlewares.conversation import converse, get, refuse, surprises

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.server.support.process import Server

PATH = "/_nicegui_ws/socket.io"


@pytest.fixture(params=[{}, {"UNATTACHED": "1"}], ids=["converted", "delivered"])
def server(request: pytest.FixtureRequest, start: Callable[..., Server]) -> Server:
    return start("nice_gui:app", **request.param)


def page_of(server: Server) -> str:
    """The page; gives the query with which its script connects."""
    page = get(server, "/gui", KEY).body.decode()
    found = re.search(r"client_id\W+([\w-]{36})", page)
    assert found is not None
    return f"client_id={found[1]}&tab_id=one&document_id=one&next_message_id=0&implicit_handshake=true"


@pytest.mark.parametrize("transports", [["websocket"], ["polling", "websocket"]], ids="+".join)
def test_a_page_is_told_what_has_changed(server: Server, transports: list[str]) -> None:
    with socketio.SimpleClient() as client:
        client.connect(
            server.url("http", f"/?{page_of(server)}"), headers=KEY, transports=transports, socketio_path=PATH
        )
        while "told by the server" not in str(client.receive(timeout=10)):
            pass
        assert client.transport == "websocket"
    assert surprises(server) == []


def test_nobody_gets_in_without_the_key(server: Server) -> None:
    assert get(server, "/gui").status == 401
    query = page_of(server)
    assert refuse(server, f"{PATH}/?EIO=4&transport=websocket&{query}").status == 401
    with (
        socketio.SimpleClient() as client,
        pytest.raises(socketio.exceptions.ConnectionError),
    ):
        client.connect(server.url("http", f"/?{query}"), transports=["websocket"], socketio_path=PATH)


def test_the_application_around_is_served_as_before(server: Server) -> None:
    converse(server, headers=KEY)
    assert refuse(server).status == 401
