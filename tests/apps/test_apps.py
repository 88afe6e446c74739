"""Published applications work as without us, and their WebSockets are guarded by a cookie check for pages."""

from __future__ import annotations

import re
import signal
import subprocess
import time
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.server.support.process import Server

    from .conftest import Pair
    from .table import Place

COOKIE = {"Cookie": "session=secret"}
# The clients, which are not ours, leave sockets and tasks to the garbage collector, and use what is deprecated.
pytestmark = [pytest.mark.filterwarnings("ignore"), pytest.mark.timeout(240)]


def test_it_works_as_without_us(pair: Pair, place: Place) -> None:
    for client in place.clients:
        with place.connect(client, pair.without_us, COOKIE) as expected:
            pass
        with place.connect(client, pair.with_us, COOKIE) as seen:
            assert seen == expected, client


def test_nobody_gets_in_without_the_cookie(pair: Pair, place: Place) -> None:
    for client in place.clients:
        if place.outside:
            with (
                place.connect(client, pair.without_us, {}) as expected,
                place.connect(client, pair.with_us, {}) as seen,
            ):
                assert seen == expected, client
            continue
        position = len(pair.with_us.log.lines)
        with pytest.raises(Exception) as caught, place.connect(client, pair.with_us, {}):  # noqa: PT011 (its own)
            pytest.fail(f"{client} has got in")
        assert not isinstance(caught.value, AssertionError)
        pair.with_us.log.search(r'HTTP/1\.1"? 401', start=position)


def test_the_check_sees_the_handshake(pair: Pair, place: Place) -> None:
    if place.handshake is None:
        pytest.skip("it has no WebSockets")

    def answer(server: Server, headers: dict[str, str]) -> tuple[int, bytes]:
        with server.handshaker() as websocket:
            websocket.send(websocket.handshake(place.handshake or "", {**place.fields, **headers}))
            response = websocket.receive_response()
            return response.status, response.body

    # Without us the check for pages sees nothing; only the application itself may want something else.
    opened = (403, b"") if place.needs_more else (101, b"")
    assert answer(pair.without_us, {})[0] == opened[0]
    assert answer(pair.with_us, {}) == (opened if place.outside else (401, b"Who are you?"))
    if not place.needs_more:
        assert answer(pair.with_us, COOKIE) == opened


def test_ctrl_c_ends_it_and_the_log_has_nothing_that_it_has_not_without_us(pair: Pair, place: Place) -> None:
    without_us, with_us = (end(server, place) for server in pair)
    assert with_us == without_us == (None if place.lingers else 0)
    assert complaints(pair.with_us) - complaints(pair.without_us) == set()


def end(server: Server, place: Place) -> int | None:
    """Press Ctrl+C while a client is connected; gives the status, or `None` if the process goes on after the server."""
    client = place.connect(place.clients[0], server, COOKIE)
    client.__enter__()
    begun = time.monotonic()
    server.process.send_signal(signal.SIGINT)
    server.log.search("Finished server process", timeout=20)
    try:
        status = server.process.wait(2 if place.lingers else 20)
        assert time.monotonic() - begun < 10, server.log.lines[-10:]
    except subprocess.TimeoutExpired:
        status = None
    else:
        server.log.wait_for_end()
    with suppress(Exception):
        # Its server has gone.
        client.__exit__(None, None, None)
    return status


def complaints(server: Server) -> set[str]:
    """What the log says of mistakes, without numbers, which differ."""
    found = re.compile(r"\b(WARNING|ERROR|CRITICAL|Traceback|\w*Exception|\w*Error)\b")
    return {re.sub(r"\d+", "N", line) for line in server.log.lines if found.search(line)}
