"""Panel's middleware serves its own WebSockets: where that is said, by class or by path, they work."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

import panel.models.markup  # noqa: F401 (Bokeh's client must know what Panel sends)
import pytest
from bokeh.client import pull_session
from tornado.ioloop import IOLoop

from tests.middlewares.apps.key import KEY
from tests.middlewares.conversation import converse, get, refuse, surprises

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from tests.server.support.process import Server

MODES = pytest.mark.parametrize("environment", [{}, {"UNATTACHED": "1"}], ids=["converted", "delivered"])


def subprotocols(server: Server, headers: Mapping[str, str]) -> dict[str, str]:
    """What a page's script offers: the token is in the page."""
    page = get(server, "/panel", headers).body.decode()
    found = re.search(r'"token":\s*"([\w.-]+)"', page)
    assert found is not None
    return {"Sec-WebSocket-Protocol": f"bokeh, {found[1]}"}


def pull(server: Server, headers: Mapping[str, str]) -> str:
    """Open the WebSocket of a page as its script does, and ask for the document."""
    with server.handshaker() as websocket:
        response = websocket.open("/panel/ws", {**headers, **subprotocols(server, headers)})
        assert response.header("sec-websocket-protocol") == "bokeh"

        def receive() -> tuple[dict[str, str], str]:
            header, _, content = (str(websocket.receive_message()) for _ in range(3))
            return json.loads(header), content

        assert receive()[0]["msgtype"] == "ACK"
        for part in ({"msgid": "1", "msgtype": "PULL-DOC-REQ"}, {}, {}):
            websocket.send_text(json.dumps(part))
        header, content = receive()
        assert header["msgtype"] == "PULL-DOC-REPLY"
        websocket.finish()
    return content


@MODES
@pytest.mark.parametrize("name", ["told", "by_path"])
def test_it_works_where_it_is_named_or_its_path_is(
    start: Callable[..., Server], name: str, environment: dict[str, str]
) -> None:
    server = start(f"panels:{name}", **environment)
    assert "hello from Panel" in pull(server, {})
    loop = IOLoop(make_current=False)
    session = pull_session(url=server.url("http", "/panel"), io_loop=loop)
    assert "hello from Panel" in str(session.document.to_json())
    loop.close(all_fds=True)
    assert surprises(server) == []


@MODES
@pytest.mark.parametrize("name", ["told", "by_path", "untold"])
def test_the_application_beside_it_is_guarded(
    start: Callable[..., Server], name: str, environment: dict[str, str]
) -> None:
    server = start(f"panels:{name}", **environment)
    converse(server, headers=KEY)
    assert refuse(server).status == 401
    assert refuse(server, "/panel/other/ws").status in {400, 401}


@MODES
def test_a_guard_outside_it_guards_it(start: Callable[..., Server], environment: dict[str, str]) -> None:
    server = start("panels:guarded", **environment)
    assert "hello from Panel" in pull(server, KEY)
    assert refuse(server, "/panel/ws", subprotocols(server, KEY)).status == 401
    assert surprises(server) == []


@MODES
def test_else_it_takes_a_handshake_for_a_page(start: Callable[..., Server], environment: dict[str, str]) -> None:
    server = start("panels:untold", **environment)
    assert get(server, "/panel").status == 200
    assert 400 <= refuse(server, "/panel/ws", subprotocols(server, {})).status < 500
