"""What an application does to a connection, in each phase of it: what the client sees, and what is logged.

It is told to at a time when it would go on otherwise. See `test_clients` for the words. RAISED and CANCELLED stand for
one traceback of the application's own exception.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.faults.conversations import ENDLESS
from tests.faults.logs import logged
from tests.faults.phases import PHASES, converse
from tests.faults.tables import Cell, matches, phases_and_faults

if TYPE_CHECKING:
    from tests.server.support.process import Server

# A client that waits for an application that hangs.
SILENCE = 3.5

TABLE = """
half a head                         | raise  | left out: no application is called yet
                                    | hang   | left out: the same
                                    | return | left out: the same
                                    | cancel | left out: the same
endpoint receives before it accepts | raise  | 500, FIN                   | ends by RuntimeError    | RAISED
                                    | hang   | 503, FIN                   | hangs, ends by CancelledError | no answer
                                    | return | 500, FIN                   | returns                 | no answer
                                    | cancel | 500, FIN                   | ends by CancelledError  | CANCELLED
endpoint thinks before it accepts   | raise  | left out: the same, it is not receiving when it goes wrong
                                    | hang   | left out: the same
                                    | return | left out: the same
                                    | cancel | left out: the same
accepted, 101 not read              | raise  | 101, close 1011, FIN       | ends by RuntimeError    | RAISED
                                    | hang   | 101, pong, close 1000, FIN | hangs                   |
                                    | return | 101, close 1000, FIN       | returns                 |
                                    | cancel | 101, close 1012, FIN       | ends by CancelledError  | CANCELLED
open                                | raise  | close 1011, FIN            | ends by RuntimeError    | RAISED
                                    | hang   | pong, close 1000, FIN      | hangs                   |
                                    | return | close 1000, FIN            | returns                 |
                                    | cancel | close 1012, FIN            | ends by CancelledError  | CANCELLED
open, in a message                  | raise  | close 1011, FIN            | ends by RuntimeError    | RAISED
                                    | hang   | left out: as open
                                    | return | close 1000, FIN            | returns                 |
                                    | cancel | close 1012, FIN            | ends by CancelledError  | CANCELLED
open, application sends             | raise  | data, close 1011, FIN      | ends by RuntimeError    | RAISED
                                    | hang   | data, pong, close 1000, FIN | hangs                  |
                                    | return | data, close 1000, FIN      | returns                 |
                                    | cancel | data, close 1012, FIN      | ends by CancelledError  | CANCELLED
closing, by the client              | raise  | left out: test_end has it; what is sent before is answered, see test_clients
                                    | hang   | left out: the same
                                    | return | left out: the same
                                    | cancel | left out: the same
closing, by the application         | raise  | close 4000, FIN            | closed, ends by RuntimeError   | RAISED
                                    | hang   | close 4000, pong, FIN      | closed, hangs           |
                                    | return | close 4000, FIN            | closed, returns         |
                                    | cancel | close 4000, FIN            | closed, ends by CancelledError | CANCELLED
stream, endpoint waits              | raise  | 500, FIN                   | ends by RuntimeError    | RAISED
                                    | hang   | left out: HTTP has no limit for how long an endpoint takes
                                    | return | 500, FIN                   | returns                 | no response
                                    | cancel | 500, FIN                   | ends by CancelledError  | CANCELLED
stream by table                     | raise  | FIN                        | ends by RuntimeError    | RAISED
                                    | hang   | silence                    | hangs                   |
                                    | return | FIN                        | returns                 |
                                    | cancel | FIN                        | ends by CancelledError  | CANCELLED
stream by table, it sends           | raise  | data, FIN                  | ends by RuntimeError    | RAISED
                                    | hang   | data, silence              | hangs                   |
                                    | return | data, FIN                  | returns                 |
                                    | cancel | data, FIN                  | ends by CancelledError  | CANCELLED
stream by response                  | raise  | FIN                        | ends by RuntimeError    | RAISED
                                    | hang   | silence                    | hangs                   |
                                    | return | FIN                        | returns                 |
                                    | cancel | FIN                        | ends by CancelledError  | CANCELLED
stream by response, it sends        | raise  | data, FIN                  | ends by RuntimeError    | RAISED
                                    | hang   | data, silence              | hangs                   |
                                    | return | data, FIN                  | returns                 |
                                    | cancel | data, FIN                  | ends by CancelledError  | CANCELLED
h2c before the preface              | raise  | left out: nothing but the head of a response may be sent before the preface
                                    | hang   | left out: the same
                                    | return | left out: the same
                                    | cancel | left out: the same
h2c in the preface                  | raise  | left out: the same
                                    | hang   | left out: the same
                                    | return | left out: the same
                                    | cancel | left out: the same
h2c, request waits                  | raise  | 500, data, END, GOAWAY 0, FIN | ends by RuntimeError   | RAISED
                                    | hang   | FIN                        | hangs                   |
                                    | return | 500, data, END, GOAWAY 0, FIN | returns                | no response
                                    | cancel | RESET 2, GOAWAY 0, FIN     | ends by CancelledError  |
h2c, response runs                  | raise  | 200, data, RESET 2, GOAWAY 0, FIN | ends by RuntimeError | RAISED
                                    | hang   | 200, data, FIN             | hangs                   |
                                    | return | 200, data, RESET 2, GOAWAY 0, FIN | returns              | no response
                                    | cancel | 200, data, RESET 2, GOAWAY 0, FIN | ends by CancelledError |
h2c, WebSocket waits                | raise  | close 1011, END, RESET 0, GOAWAY 0, FIN | ends by RuntimeError | RAISED
                                    | hang   | left out: as open
                                    | return | close 1000, END, RESET 0, GOAWAY 0, FIN | returns |
                                    | cancel | close 1012, RESET 2, GOAWAY 0, FIN      | ends by CancelledError |
h2c, WebSocket sends                | raise  | data, close 1011, END, RESET 0, GOAWAY 0, FIN | ends by RuntimeError | RAISED
                                    | hang   | left out: as open
                                    | return | data, close 1000, END, RESET 0, GOAWAY 0, FIN | returns |
                                    | cancel | data, [close 1012, ]RESET 2, GOAWAY 0, FIN    | ends by CancelledError |
"""  # noqa: E501

LOGGED = {
    "RAISED": "error: RuntimeError: the application failed",
    "CANCELLED": "error: asyncio.exceptions.CancelledError",
}


def test_what_an_application_does(server: Server, cell: Cell) -> None:
    start = len(server.log.lines)
    conversation = converse(server, cell.phase, cell.fault)
    try:
        conversation.release()
        conversation.wait_until("returns", "ends", "hangs")
        if cell.fault == "hang":
            conversation.leave()
            conversation.peer.socket.settimeout(SILENCE)
        seen = conversation.sees(ENDLESS)
        if "ends by" in cell.told:
            conversation.wait_for_the_end()
        told = ", ".join(conversation.told())
    finally:
        conversation.close()
    conversation.release()
    assert matches(seen, cell.seen), seen
    assert (told, logged(server.log.lines[start:])) == (cell.told, LOGGED.get(cell.logged, cell.logged))


def test_the_table_is_whole() -> None:
    assert phases_and_faults(TABLE) == {
        (phase, fault) for phase in PHASES for fault in ("raise", "hang", "return", "cancel")
    }
