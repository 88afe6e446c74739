"""How a session ends: by the client, by the application, by accident."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.server.conftest import COMBINATIONS
from tests.server.support.websocket import CLOSE, TEXT, Frame, frame

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.server.support.process import Server


@pytest.mark.parametrize(("code", "reason"), [(1000, ""), (1001, "going away"), (4999, "grüße"), (3000, "x" * 123)])
def test_disconnect_carries_the_code_and_reason_of_the_clients_close_frame(
    server: Server, code: int, reason: str
) -> None:
    with server.websocket() as websocket:
        websocket.send_close(code, reason)
        assert websocket.receive_close()[0] == code
        assert websocket.receive_end() == b""
        assert server.note(websocket.key, "websocket.disconnect") == {"code": code, "reason": reason}


def test_an_empty_close_frame_is_echoed_empty_and_reported_as_1005(server: Server) -> None:
    with server.websocket() as websocket:
        websocket.send(frame(CLOSE))
        assert websocket.receive_close() == (1005, "")
        assert websocket.receive_end() == b""
        assert server.note(websocket.key, "websocket.disconnect")["code"] == 1005


def test_a_client_that_ends_without_a_close_frame_is_reported_as_1006(server: Server) -> None:
    with server.websocket() as websocket:
        websocket.close()
        assert server.note(websocket.key, "websocket.disconnect")["code"] == 1006


def test_a_client_that_resets_the_connection_is_reported_as_1006(server: Server) -> None:
    with server.websocket() as websocket:
        websocket.reset()
        assert server.note(websocket.key, "websocket.disconnect")["code"] == 1006


def test_a_broken_rule_is_told_to_both_sides(server: Server) -> None:
    with server.websocket() as websocket:
        websocket.send(frame(0x3, b"reserved opcode"))
        assert websocket.receive_close()[0] == 1002
        assert server.note(websocket.key, "websocket.disconnect")["code"] == 1002


def test_what_came_before_the_clients_close_frame_is_still_answered(server: Server) -> None:
    with server.websocket() as websocket:
        websocket.send(frame(TEXT, b"last words") + frame(CLOSE, b"\x03\xe8"))
        assert websocket.receive_message() == "last words"
        assert websocket.receive_close() == (1000, "")


@pytest.mark.parametrize(("query", "closed"), [("", (1000, "")), ("?code=4001&reason=enough", (4001, "enough"))])
def test_close_by_the_app_reaches_the_client_with_code_and_reason(
    server: Server, query: str, closed: tuple[int, str]
) -> None:
    with server.websocket("/close" + query) as websocket:
        assert websocket.receive_close() == closed
        websocket.send_close(closed[0])
        assert websocket.receive_end() == b""
        assert server.note(websocket.key, "disconnect")["code"] == closed[0]


def test_sending_after_close_by_the_app_raises(server: Server) -> None:
    with server.websocket("/close") as websocket:
        websocket.receive_close()
        websocket.send_close(1000)
        assert server.note(websocket.key, "raised")


@pytest.mark.parametrize("code", [999, 1004, 1006, 1015, 2999, 5000])
def test_a_code_that_may_not_be_sent_is_refused(one_server: Server, code: int) -> None:
    with one_server.websocket(f"/close?code={code}") as websocket:
        assert one_server.note(websocket.key, "raised")["type"] == "ValueError"


def test_code_1005_says_that_there_is_no_code(one_server: Server) -> None:
    with one_server.websocket("/close?code=1005") as websocket:
        assert websocket.receive_frame() == Frame(CLOSE, b"")


def test_sending_after_the_peer_is_gone_raises_os_error(server: Server) -> None:
    with server.websocket("/send-after-disconnect") as websocket:
        websocket.finish()
        assert server.note(websocket.key, "raised")["os_error"]


def test_sending_without_ever_receiving_raises_os_error_once_the_peer_has_closed(server: Server) -> None:
    with server.websocket("/send-for-ever") as websocket:
        websocket.receive_message()
        websocket.send_close(1000)
        assert server.note(websocket.key, "raised")["os_error"]


def test_sending_without_ever_receiving_raises_os_error_once_the_peer_has_vanished(server: Server) -> None:
    with server.websocket("/send-for-ever") as websocket:
        websocket.receive_message()
        websocket.reset()
        assert server.note(websocket.key, "raised")["os_error"]


@pytest.mark.parametrize("target", ["/return-after-accept", "/return-after-a-message"])
def test_an_app_that_returns_closes_normally(server: Server, target: str) -> None:
    with server.websocket(target) as websocket:
        websocket.send_text("hello")
        assert websocket.receive_close() == (1000, "")
        websocket.send_close(1000)
        assert websocket.receive_end() == b""


@pytest.mark.parametrize(
    ("target", "message"),
    [("/raise-after-accept", "raised after accept"), ("/raise-after-a-message", "raised after a message")],
)
def test_an_app_that_raises_closes_with_1011_and_its_error_is_in_the_log_once(
    server: Server, target: str, message: str
) -> None:
    start = len(server.log.lines)
    with server.websocket(target) as websocket:
        websocket.send_text("hello")
        assert websocket.receive_close()[0] == 1011
        websocket.send_close(1011)
        # No 500 of the server after the switch.
        assert websocket.receive_end() == b""
    server.log.search(f"RuntimeError: {message}", start=start)
    server.settle()
    assert sum(f"RuntimeError: {message}" in line for line in server.log.lines[start:]) == 1


@pytest.mark.parametrize(("parser", "loop"), COMBINATIONS)
def test_an_app_that_raises_is_in_the_log_before_the_client_has_answered(
    shared: Callable[..., Server], parser: str, loop: str
) -> None:
    # It would wait for the answer for longer than we wait for the log.
    server = shared("configured:patient", http=parser, loop=loop)
    start = len(server.log.lines)
    with server.websocket("/raise-after-a-message") as websocket:
        # More than the server reads at once: what it has not read when it closes would reset the connection.
        websocket.send(frame(TEXT, b"hello") + frame(0x2, bytes(300_000)) * 3)
        server.log.search("RuntimeError: raised after a message", start=start)
        assert websocket.receive_close()[0] == 1011
        # The close is a whole one all the same.
        websocket.send_close(1011)
        assert websocket.receive_end() == b""
    server.settle()


@pytest.mark.parametrize(("target", "code"), [("/return-after-a-message", 1000), ("/raise-after-a-message", 1011)])
def test_an_app_that_ends_in_the_middle_of_a_message_closes_all_the_same(
    server: Server, target: str, code: int
) -> None:
    with server.websocket(target) as websocket:
        websocket.send(frame(TEXT, b"whole") + frame(TEXT, b"only ha", fin=False))
        assert websocket.receive_close()[0] == code
        # The rest of that message comes before the answer to the close frame: nobody minds.
        websocket.send(frame(0x0, b"lf of it"))
        websocket.send_close(code)
        assert websocket.receive_end() == b""


def test_messages_that_make_no_sense_are_runtime_errors_and_never_reach_the_wire(server: Server) -> None:
    with server.websocket("/send-nonsense") as websocket:
        assert websocket.receive_message() == "still here"
        websocket.finish()
        assert server.notes(websocket.key).count("raised") == 3


def test_a_session_that_ended_leaves_nothing_in_the_log_but_its_access_line(server: Server) -> None:
    server.settle()  # earlier tests may have left something to log
    start = len(server.log.lines)
    with server.websocket() as websocket:
        websocket.finish()
        server.note(websocket.key, "websocket.disconnect")
    with server.websocket() as websocket:
        websocket.reset()
        server.note(websocket.key, "websocket.disconnect")
    server.settle()
    logged = [line for line in server.log.lines[start:] if not line.startswith(("NOTE ", "INFO: "))]
    assert logged == []
