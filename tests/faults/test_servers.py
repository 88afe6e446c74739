"""What happens to the server, with a connection in each phase: what the clients see, and how it ends.

See `test_clients` for the words.
"""

from __future__ import annotations

import os
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from typing import TYPE_CHECKING

import pytest

from tests.faults.conftest import APPS, faulty
from tests.faults.logs import logged
from tests.faults.phases import PHASES, converse
from tests.faults.tables import matches
from tests.server.conftest import COMBINATIONS

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from tests.faults.conversations import Conversation
    from tests.server.support.process import Server

# Seconds that a stop takes at most: streams are given `shutdown_timeout`; silent clients would be given 21 seconds.
STOP = 15.0
PATIENT = {"PATIENCE": "30", "SILENCE": "30"}

# The stream of a WebSocket ends, and the connection with it.
H2C_STOP = "close 1012, END, RESET 0, GOAWAY 0, FIN"

# What stops: in good order, or at once.
#                                      SIGTERM, SIGINT, --reload             kill -9 of a worker
TABLE = {
    "half a head":                         ("FIN",                           "left out: nobody can tell whose it is"),
    "endpoint receives before it accepts": ("503, FIN",                      "FIN"),
    "endpoint thinks before it accepts":   ("left out: an endpoint that does not look is waited for", "FIN"),
    "accepted, 101 not read":              ("101, close 1012, FIN",          "101, FIN"),
    "open":                                ("close 1012, FIN",               "FIN"),
    "open, in a message":                  ("close 1012, FIN",               "FIN"),
    "open, application sends":             ("data, close 1012, FIN",         "data, FIN"),
    "closing, by the client":              ("left out: it is waited for",     "[close 3000, ]FIN"),
    "closing, by the application":         ("close 4000, FIN",               "close 4000, FIN"),
    "stream, endpoint waits":              ("left out: a request is waited for", "FIN"),
    "stream by table":                     ("FIN",                           "FIN"),
    "stream by table, it sends":           ("data, FIN",                     "data, FIN"),
    "stream by response":                  ("FIN",                           "FIN"),
    "stream by response, it sends":        ("data, FIN",                     "data, FIN"),
    "h2c before the preface":              ("left out: a request is waited for", "FIN"),
    "h2c in the preface":                  ("left out: a request is waited for", "FIN"),
    "h2c, request waits":                  ("left out: a request is waited for", "FIN"),
    "h2c, response runs":                  ("left out: a request is waited for", "200, data, FIN"),
    "h2c, WebSocket waits":                (H2C_STOP,                        "FIN"),
    "h2c, WebSocket sends":                (f"data, {H2C_STOP}",             "data, FIN"),
}  # fmt: skip
STOPPED = {phase: seen for phase, (seen, _) in TABLE.items() if not seen.startswith("left out")}
KILLED = {phase: seen for phase, (_, seen) in TABLE.items() if not seen.startswith("left out")}


def everybody(server: Server, stack: ExitStack, phases: Iterable[str]) -> dict[str, Conversation]:
    return {phase: stack.enter_context(closing(converse(server, phase))) for phase in phases}


def seen_by_all(
    conversations: dict[str, Conversation], expected: dict[str, str], *, killed: bool = False
) -> dict[str, tuple[str, str]]:
    """What each client sees and what it should see, where that is not the same; RST ends what has been `killed` too."""

    def see(conversation: Conversation) -> str:
        words = conversation.sees()
        conversation.half_close()  # nobody waits for a client that has seen all
        return words

    with ThreadPoolExecutor(len(conversations)) as pool:
        seen = dict(zip(conversations, pool.map(see, conversations.values()), strict=True))
    return {
        phase: (words, expected[phase])
        for phase, words in seen.items()
        if not matches(words.replace("RST", "FIN") if killed else words, expected[phase])
    }


@pytest.mark.parametrize("combination", COMBINATIONS, ids="-".join)
@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, -signal.SIGTERM), (signal.SIGINT, 0)])
def test_a_signal_stops_the_server_and_every_client_is_told(
    combination: tuple[str, str], number: signal.Signals, status: int
) -> None:
    parser, loop = combination
    with faulty(http=parser, loop=loop, environment=PATIENT) as server, ExitStack() as stack:
        conversations = everybody(server, stack, STOPPED)
        start = time.monotonic()
        server.process.send_signal(number)
        assert seen_by_all(conversations, STOPPED) == {}
        assert server.wait(STOP) == status
        assert time.monotonic() - start < STOP
        assert logged(server.log.lines) == ""


def test_the_reloader_stops_a_server_in_the_same_way_and_starts_another(tmp_path: Path) -> None:
    app = tmp_path / "reloaded.py"
    source = f"import sys\nsys.path.append({str(APPS)!r})\nfrom faulty import app\n__all__ = ['app']\n"
    app.write_text(source)
    options = ["--app-dir", str(tmp_path), "--reload", "--reload-dir", str(tmp_path), "--reload-delay", "0.05"]
    with (
        faulty(*options, app="reloaded:app", ready="Application startup complete", environment=PATIENT) as server,
        ExitStack() as stack,
    ):
        conversations = everybody(server, stack, STOPPED)
        start = len(server.log.lines)
        app.write_text(source + "# changed, and longer\n")
        assert seen_by_all(conversations, STOPPED) == {}
        server.log.search("Application startup complete", start=start, timeout=STOP)
        after = stack.enter_context(closing(converse(server, "open")))
        after.leave()
        assert after.sees() == "pong, close 1000, FIN"
        assert not any("Traceback" in line or "ERROR" in line for line in server.log.lines)


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_a_killed_worker_takes_its_connections_along_and_nothing_else(loop: str) -> None:
    options = ["--workers", "2"]
    with (
        faulty(*options, loop=loop, ready="Application startup complete", times=2, environment=PATIENT) as server,
        ExitStack() as stack,
    ):
        victim = {"open": stack.enter_context(closing(converse(server, "open")))}
        pid = victim["open"].wait_until("ready")["pid"]
        for phase in KILLED:
            while phase not in victim:
                conversation = stack.enter_context(closing(converse(server, phase)))
                if conversation.wait_until("ready")["pid"] == pid:
                    victim[phase] = conversation
        other = stack.enter_context(closing(converse(server, "open")))
        while other.wait_until("ready")["pid"] == pid:
            other = stack.enter_context(closing(converse(server, "open")))
        start = len(server.log.lines)
        os.kill(pid, signal.SIGKILL)
        # The system ends a connection with FIN, or with RST if the dead process had not read all that had arrived.
        # RST takes with it what was not sent, but not what has arrived.
        assert seen_by_all(victim, KILLED, killed=True) == {}
        other.leave()
        assert other.sees() == "pong, close 1000, FIN"
        server.log.search("Application startup complete", start=start, timeout=30)
        after = stack.enter_context(closing(converse(server, "open")))
        after.leave()
        assert after.sees() == "pong, close 1000, FIN"
        assert logged(server.log.lines) == ""


def test_the_table_is_whole() -> None:
    assert list(TABLE) == list(PHASES)
