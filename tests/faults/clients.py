"""What a client may do to a connection."""

from __future__ import annotations

import math
import select
import time
from typing import TYPE_CHECKING

from tests.faults.conversations import ENDLESS
from tests.lost import drop_all_that_arrives

if TYPE_CHECKING:
    from tests.faults.conversations import Conversation

# Seconds between two bytes of a slow client, and for how long it does not read.
_PAUSE = 0.06
_STOPPED = 1.0
# And for how long where nobody may mind, longer than it takes to notice that one has vanished.
_LONG = 5.0


def resets(conversation: Conversation) -> None:
    """End the connection by RST."""
    conversation.peer.reset()


def half_closes(conversation: Conversation) -> None:
    """End its own direction, and read on."""
    conversation.half_close()


def stops_reading(conversation: Conversation) -> None:
    """Neither read nor send, for longer than a WebSocket's client may be silent if the application waits for that."""
    time.sleep(_STOPPED)


def trickles(conversation: Conversation) -> None:
    """Send what would come next, byte by byte, for longer than a silent client would be waited for."""
    poll = select.poll()
    poll.register(conversation.peer.socket, select.POLLRDHUP)
    for byte in conversation.rest:
        if poll.poll(_PAUSE * 1000):
            break  # the server has ended its direction
        conversation.send(bytes([byte]))
    if conversation.half_closes:
        conversation.half_close()


def vanishes(conversation: Conversation) -> None:
    """Be gone without a word: what the server sends is lost on its way, and nobody answers it."""
    drop_all_that_arrives(conversation.peer.socket)


FAULTS = {each.__name__.replace("_", " "): each for each in (resets, half_closes, stops_reading, trickles, vanishes)}


def suffer(conversation: Conversation, fault: str, *, ends: bool) -> str:
    """Let the client do it, and give what it sees from there on.

    Args:
        conversation: The connection, in its phase.
        fault: One of `FAULTS`.
        ends: Whether the application has to end then.
    """
    FAULTS[fault](conversation)
    if conversation.releasable:
        conversation.release()
    if ends and fault in ("resets", "stops reading", "vanishes"):
        conversation.wait_for_the_end()
    if not ends and fault == "stops reading":
        time.sleep(_LONG)
    seen = "" if fault in ("resets", "vanishes") else conversation.sees(math.inf if ends else ENDLESS)
    if ends:
        conversation.wait_for_the_end()
    return seen
