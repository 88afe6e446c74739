"""The engine, and the servers of other libraries: each takes a stream in pieces and tells what it made of it."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from websockets.extensions.permessage_deflate import PerMessageDeflate as WebsocketsDeflate
from websockets.frames import Frame, Opcode
from websockets.protocol import Protocol, Side, State
from wsproto.connection import Connection as Wsproto
from wsproto.connection import ConnectionType
from wsproto.events import BytesMessage, CloseConnection, Message, Ping
from wsproto.extensions import PerMessageDeflate as WsprotoDeflate

from asgi_upgrade.websocket.connection import MESSAGE_COST, Connection, Ending
from asgi_upgrade.websocket.deflate import Deflate, DeflateAgreement, PerMessageDeflate
from tests.fuzz.model import is_text, may_become_text
from tests.unit.wire import PONG, read_frames

if TYPE_CHECKING:
    from collections.abc import Iterable

# All three agree on the same: windows of 12 bits, kept from message to message.
BITS = 12


@dataclass
class Outcome:
    """What an endpoint made of a stream.

    Attributes:
        messages: Those it would give to the application.
        pongs: The payloads of the pongs it answered with.
        code: The close code it received or failed with; ``None`` while the connection is open.
        reason: The reason it received; ``None`` if it failed.
    """

    messages: list[str | bytes] = field(default_factory=list)
    pongs: list[bytes] = field(default_factory=list)
    code: int | None = None
    reason: str | None = None


def engine(pieces: Iterable[bytes], *, max_size: int, max_frames: int, deflate: bool = False) -> Outcome:
    """Our connection. What it may never do fails right here."""
    codec = None
    if deflate:
        codec = Deflate(DeflateAgreement(False, False, BITS, BITS), PerMessageDeflate())
    connection = Connection(max_message_size=max_size, max_message_frames=max_frames, deflate=codec)
    outcome = Outcome()
    for piece in pieces:
        for event in connection.receive_data(piece):
            assert outcome.code is None, "nothing comes after the end"
            if isinstance(event, Ending):
                assert connection.ended
                outcome.code = event.code
                outcome.reason = None if event.failed else event.reason
            else:
                assert type(event) is str or type(event) is bytes
                assert len(event) <= max_size
                outcome.messages.append(event)
        assert connection.ended == (outcome.code is not None)
    # Pongs cost their bytes, a close frame what any message does.
    costs = (len(each) if isinstance(each, bytearray) else MESSAGE_COST for each in connection.outgoing)
    assert connection.outgoing_cost == sum(costs)
    frames = read_frames(b"".join(connection.take_outgoing()))
    assert {each.opcode for each in frames} <= {PONG}
    outcome.pongs = [each.payload for each in frames]
    return outcome


def wsproto(pieces: Iterable[bytes], *, deflate: bool = False) -> Outcome:
    """The server of wsproto, which has no limits of its own."""
    extensions: list[Any] = []
    if deflate:
        extension = WsprotoDeflate(client_max_window_bits=BITS, server_max_window_bits=BITS)
        extension.finalize("permessage-deflate")
        extensions = [extension]
    connection = Wsproto(ConnectionType.SERVER, extensions)
    outcome = Outcome()
    text: list[str] = []
    binary: list[bytes] = []
    for piece in pieces:
        if outcome.code is not None:
            break
        connection.receive_data(piece)
        for event in connection.events():
            if isinstance(event, Ping):
                outcome.pongs.append(bytes(event.payload))
            elif isinstance(event, CloseConnection):
                outcome.code = int(event.code)
                outcome.reason = event.reason
                break
            elif isinstance(event, Message):
                if isinstance(event, BytesMessage):
                    binary.append(bytes(event.data))
                else:
                    text.append(event.data)
                if event.message_finished:
                    outcome.messages.append(b"".join(binary) if isinstance(event, BytesMessage) else "".join(text))
                    text, binary = [], []
    return outcome


def websockets(stream: bytes, *, max_size: int | None, deflate: bool = False) -> Outcome:
    """The server of websockets. It leaves text to the layer above, so this function decodes it, frame by frame.

    The stream is fed byte by byte, so that no ping is answered behind text that is not valid.
    """
    connection = Protocol(Side.SERVER, state=State.OPEN, max_size=max_size, logger=_SILENT)
    if deflate:
        connection.extensions = [WebsocketsDeflate(False, False, BITS, BITS)]
    outcome = Outcome()
    kind = Opcode.CONT
    message = b""
    for i in range(len(stream)):
        connection.receive_data(stream[i : i + 1])
        for frame in connection.events_received():
            assert isinstance(frame, Frame)
            if frame.opcode not in (Opcode.TEXT, Opcode.BINARY, Opcode.CONT):
                continue
            if frame.opcode is Opcode.CONT:
                message += bytes(frame.data)
            else:
                kind, message = frame.opcode, bytes(frame.data)
            if kind is Opcode.TEXT and not (is_text if frame.fin else may_become_text)(message):
                outcome.code = 1007
            elif frame.fin:
                outcome.messages.append(message.decode() if kind is Opcode.TEXT else message)
        if outcome.code is None and connection.close_sent is not None:
            failed = connection.parser_exc is not None
            outcome.code = int(connection.close_sent.code)
            outcome.reason = None if failed else connection.close_sent.reason
        sent = read_frames(b"".join(connection.data_to_send()))
        outcome.pongs += [each.payload for each in sent if each.opcode == PONG]
        if outcome.code is not None:
            break
    return outcome


_SILENT = logging.getLogger("tests.fuzz.websockets")
_SILENT.propagate = False
_SILENT.addHandler(logging.NullHandler())
