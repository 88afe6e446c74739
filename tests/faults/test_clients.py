"""What a client does to a connection, in each phase of it: what both sides see of that.

What the client sees: statuses, messages, the codes of close frames, END and RESET of an HTTP/2 stream, GOAWAY, and how
the connection ends. What the application tells: what `receive` gives, what `send` raises, and how it ends.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.faults.clients import FAULTS, suffer
from tests.faults.logs import logged
from tests.faults.phases import PHASES, converse
from tests.faults.tables import Cell, matches, phases_and_faults

if TYPE_CHECKING:
    from tests.server.support.process import Server

TABLE = """
half a head                       | resets        |
                                  | half closes   | FIN
                                  | stops reading | left out: there is nothing to read
                                  | trickles      | 101, text, close 1000, FIN  | receive 1000, returns
                                  | vanishes      | left out: uvicorn has no limit for it, a proxy in front has
endpoint receives before it accepts | resets      |                             | receive 1006, returns
                                  | half closes   | 400, FIN                    | receive 1006, returns
                                  | stops reading | 503, FIN                    | ends by CancelledError | no answer
                                  | trickles      | 503, FIN                    | ends by CancelledError | no answer
                                  | vanishes      |                             | ends by CancelledError | no answer
endpoint thinks before it accepts | resets        |                             | [accept ClientDisconnected, ]receive 1006, returns
                                  | half closes   | 101, FIN                    | receive 1006, returns
                                  | stops reading | 101, close 1011, FIN        | receive 1011, returns
                                  | trickles      | 101, text, close 1000, FIN  | receive 1000, returns
                                  | vanishes      |                             | receive 1011, returns
accepted, 101 not read            | resets        |                             | receive 1006, returns
                                  | half closes   | 101, FIN                    | receive 1006, returns
                                  | stops reading | 101, close 1011, FIN        | receive 1011, returns
                                  | trickles      | 101, text, close 1000, FIN  | receive 1000, returns
                                  | vanishes      |                             | receive 1011, returns
open                              | resets        |                             | receive 1006, returns
                                  | half closes   | FIN                         | receive 1006, returns
                                  | stops reading | close 1011, FIN             | receive 1011, returns
                                  | trickles      | text, close 1000, FIN       | receive 1000, returns
                                  | vanishes      |                             | receive 1011, returns
open, in a message                | resets        |                             | receive 1006, returns
                                  | half closes   | FIN                         | receive 1006, returns
                                  | stops reading | close 1011, FIN             | receive 1011, returns
                                  | trickles      | text, close 1000, FIN       | receive 1000, returns
                                  | vanishes      |                             | receive 1011, returns
open, application sends           | resets        |                             | send ClientDisconnected, receive 1006, returns
                                  | half closes   | data, FIN                   | send ClientDisconnected, receive 1006, returns
                                  | stops reading | data, close 1011, FIN       | send ClientDisconnected, receive 1011, returns
                                  | trickles      | data, close 1000, FIN       | send ClientDisconnected, receive 1000, returns
                                  | vanishes      |                             | send ClientDisconnected, receive 1011, returns
closing, by the client            | resets        |                             | send ClientDisconnected, receive 3000, returns
                                  | half closes   | data, close 3000, FIN       | receive 3000, returns
                                  | stops reading | data, close 3000, FIN       | receive 3000, returns
                                  | trickles      | data, close 3000, FIN       | receive 3000, returns
                                  | vanishes      |                             | receive 3000, returns
closing, by the application       | resets        |                             | closed, receive 1006, returns
                                  | half closes   | close 4000, FIN             | closed, receive 1006, returns
                                  | stops reading | close 4000, FIN             | closed, receive 1006, returns
                                  | trickles      | close 4000, FIN             | closed, receive 4000, returns
                                  | vanishes      |                             | closed, receive 1006, returns
stream, endpoint waits            | resets        |                             | receive http.disconnect, returns
                                  | half closes   | FIN                         | receive http.disconnect, returns
                                  | stops reading | left out: HTTP has no limit for how long an endpoint takes
                                  | trickles      | FIN                         | receive http.disconnect, returns
                                  | vanishes      | left out: the same
stream by table                   | resets        |                             | receive BrokenResourceError, ends by BrokenResourceError
                                  | half closes   | FIN                         | receive EndOfStream, ends by EndOfStream
                                  | stops reading | left out: nothing is sent; silence is no fault, see idle_timeout
                                  | trickles      | data, FIN                   | receive EndOfStream, ends by EndOfStream
                                  | vanishes      |                             | receive BrokenResourceError, ends by BrokenResourceError
stream by table, it sends         | resets        |                             | send BrokenResourceError, returns
                                  | half closes   | data, on and on             |
                                  | stops reading | data, on and on             |
                                  | trickles      | data, on and on             |
                                  | vanishes      |                             | send BrokenResourceError, returns
stream by response                | resets        |                             | receive BrokenResourceError, ends by BrokenResourceError
                                  | half closes   | FIN                         | receive EndOfStream, ends by EndOfStream
                                  | stops reading | left out: as by table
                                  | trickles      | data, FIN                   | receive EndOfStream, ends by EndOfStream
                                  | vanishes      | left out: as by table, after the 80 s of the default, which it cannot shorten
stream by response, it sends      | resets        |                             | send BrokenResourceError, returns
                                  | half closes   | data, on and on             |
                                  | stops reading | data, on and on             |
                                  | trickles      | data, on and on             |
                                  | vanishes      | left out: as by table, after the 80 s of the default, which it cannot shorten
h2c before the preface            | resets        |                             | receive http.disconnect, returns
                                  | half closes   | FIN                         | receive http.disconnect, returns
                                  | stops reading | GOAWAY 4, FIN               | receive http.disconnect, returns
                                  | trickles      | GOAWAY 4, FIN               | receive http.disconnect, returns
                                  | vanishes      |                             | receive http.disconnect, returns
h2c in the preface                | resets        |                             | receive http.disconnect, returns
                                  | half closes   | FIN                         | receive http.disconnect, returns
                                  | stops reading | GOAWAY 4, FIN               | receive http.disconnect, returns
                                  | trickles      | GOAWAY 4, FIN               | receive http.disconnect, returns
                                  | vanishes      |                             | receive http.disconnect, returns
h2c, request waits                | resets        |                             | receive http.disconnect, returns
                                  | half closes   | FIN                         | receive http.disconnect, returns
                                  | stops reading | FIN                         | receive http.disconnect, returns
                                  | trickles      | FIN                         | receive http.disconnect, returns
                                  | vanishes      |                             | receive http.disconnect, returns
h2c, response runs                | resets        |                             | receive http.disconnect, returns
                                  | half closes   | 200, data, FIN              | receive http.disconnect, returns
                                  | stops reading | 200, data, FIN              | receive http.disconnect, returns
                                  | trickles      | 200, data, FIN              | receive http.disconnect, returns
                                  | vanishes      |                             | receive http.disconnect, returns
h2c, WebSocket waits              | resets        |                             | receive 1006, returns
                                  | half closes   | FIN                         | receive 1006, returns
                                  | stops reading | close 1011, END, RESET 8, GOAWAY 0, FIN | receive 1011, returns
                                  | trickles      | text, close 1000, END, RESET 0, GOAWAY 0, FIN | receive 1000, returns
                                  | vanishes      |                             | receive 1011, returns
h2c, WebSocket sends              | resets        |                             | send ClientDisconnected, receive 1006, returns
                                  | half closes   | data, FIN                   | send ClientDisconnected, receive 1006, returns
                                  | stops reading | data, close 1011, END, RESET 8, GOAWAY 0, FIN | send ClientDisconnected, receive 1011, returns
                                  | trickles      | data, close 1000, END, RESET 0, GOAWAY 0, FIN | send ClientDisconnected, receive 1000, returns
                                  | vanishes      |                             | send ClientDisconnected, receive 1011, returns
"""  # noqa: E501


def test_what_a_client_does(server: Server, combination: tuple[str, str], cell: Cell) -> None:
    start = len(server.log.lines)
    conversation = converse(server, cell.phase)
    try:
        seen = suffer(conversation, cell.fault, ends=bool(cell.told))
        told = ", ".join(conversation.told())
    finally:
        conversation.close()
    conversation.release()
    assert (seen, logged(server.log.lines[start:])) == (cell.seen, cell.logged)
    # uvicorn's h11 protocol does not read while the endpoint thinks: the loss may be seen only after the switch.
    expected = cell.told if combination[0] == "h11" else cell.told.replace("[", "").replace("]", "")
    assert matches(told, expected), told


def test_the_table_is_whole() -> None:
    assert phases_and_faults(TABLE) == {(phase, fault) for phase in PHASES for fault in FAULTS}
