"""Where a connection may be when something goes wrong."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.faults import conversations as c

if TYPE_CHECKING:
    from tests.server.support.process import Server

# The kind of conversation, and the path of what the application does meanwhile.
PHASES: dict[str, tuple[type[c.Conversation], str]] = {
    # A handshake.
    "half a head": (c.Handshake, "/idle"),
    "endpoint receives before it accepts": (c.Handshake, "/waiting"),
    "endpoint thinks before it accepts": (c.Handshake, "/deciding"),
    "accepted, 101 not read": (c.Accepted, "/idle"),
    # A WebSocket.
    "open": (c.Open, "/idle"),
    "open, in a message": (c.InAMessage, "/idle"),
    "open, application sends": (c.Open, "/sending"),
    "closing, by the client": (c.ClosedByClient, "/busy"),
    "closing, by the application": (c.ClosedByApplication, "/closing"),
    # A stream of bytes: by the table `protocols=`, by an `UpgradeResponse`.
    "stream, endpoint waits": (c.BeforeResponse, "/upgrade-waiting"),
    "stream by table": (c.Table, "/stream-idle"),
    "stream by table, it sends": (c.Table, "/stream-sending"),
    "stream by response": (c.Response, "/stream-idle"),
    "stream by response, it sends": (c.Response, "/stream-sending"),
    # HTTP/2.
    "h2c before the preface": (c.BeforePreface, "/request-waiting"),
    "h2c in the preface": (c.InThePreface, "/request-waiting"),
    "h2c, request waits": (c.HTTP2, "/request-waiting"),
    "h2c, response runs": (c.HTTP2, "/request-sending"),
    "h2c, WebSocket waits": (c.OverHTTP2, "/idle"),
    "h2c, WebSocket sends": (c.OverHTTP2, "/sending"),
}

# Those in which HTTP/1.1 still reads from the connection.
BEFORE_THE_SWITCH = (*list(PHASES)[:3], "stream, endpoint waits")


def converse(server: Server, phase: str, fault: str = "") -> c.Conversation:
    """A new connection, in a phase; `fault` is what the application does when it is released."""
    kind, path = PHASES[phase]
    conversation = kind(server, f"{path}?{fault}" if fault else path)
    try:
        conversation.begin()
    except BaseException:
        conversation.close()
        raise
    return conversation
