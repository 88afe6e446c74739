"""The server's side of one WebSocket connection: bytes in, events out; messages in, bytes out (RFC 6455 §5 to §7).

No I/O and no clock: `protocol.py` has both. Whatever bytes arrive, `Connection.receive_data` gives events and at the
end one `Ending`; it never raises.
"""

from __future__ import annotations

import codecs
import io
import sys
from typing import Final, NamedTuple, TypeAlias, cast

from asgi_upgrade.websocket.buffers import BUFFER_SIZE, give_buffer, keep_freed_memory, take_buffer
from asgi_upgrade.websocket.deflate import Deflate, DeflateError, InflatedTooLarge
from asgi_upgrade.websocket.frames import (
    FIN,
    LONG_SLICE,
    MASK,
    RSV1,
    WHOLE_BINARY,
    WHOLE_TEXT,
    CloseCode,
    Opcode,
    apply_mask,
    encode_close,
    encode_header,
    is_valid_close_code,
    read_messages,
)

__all__ = ["MESSAGE_COST", "Connection", "Ending", "Event"]


class Ending(NamedTuple):
    """Nothing more will be received.

    Attributes:
        code: The close code the peer sent (1005 if its close frame had none), or the one it must be told.
        reason: The peer's reason, or what it did wrong.
        failed: The peer broke a rule or exceeded a limit; ``False`` if it sent a close frame.
    """

    code: int
    reason: str
    failed: bool


Event: TypeAlias = "str | bytes | Ending"
"""A text message, a binary message, or the end."""


class _Failure(Exception):
    """The peer broke a rule; carries the close code it deserves (RFC 6455 §7.1.7)."""

    def __init__(self, code: int, reason: str) -> None:
        self.code = code
        self.reason = reason


# What a message costs besides its bytes, in bytes: about as long as one takes to encode, that many are copied.
MESSAGE_COST: Final = 1024
# A binary frame that lacks at least this much is read into buffers of our own, without copies in between.
BULK_SIZE: Final = 64 * 1024

# The bits in which the first bytes of whole messages differ: RSV1, and the opcodes 1 and 2.
_OF_WHOLE: Final = RSV1 | 0x03
# What the second byte of a frame with a short payload, MASK and the size, is more than the whole frame's length.
_SIZE_OF_ONLY: Final = 0x80 - 6
_SHORT_TEXT_HEADERS: Final = [encode_header(WHOLE_TEXT, size) for size in range(126)]
_SHORT_BINARY_HEADERS: Final = [encode_header(WHOLE_BINARY, size) for size in range(126)]


def _find_fault(first: int, *, deflate: bool) -> str | None:
    """Return what is wrong with the first byte of a frame: FIN, three reserved bits and the opcode (RFC 6455 §5.2)."""
    reserved = first & 0x70
    opcode = first & 0x0F
    # RFC 7692 §6.1: RSV1 marks the first frame of a compressed message, and nothing else.
    if reserved and not (deflate and reserved == RSV1 and opcode in (Opcode.TEXT, Opcode.BINARY)):
        return "reserved bit set"
    if 2 < opcode < 8 or opcode > 10:
        return f"unknown opcode {opcode}"
    if opcode & 0x8 and not first & FIN:
        return "control frame is fragmented"
    return None


# By first byte.
_FAULTS: Final = tuple(_find_fault(first, deflate=False) for first in range(256))
_FAULTS_WITH_DEFLATE: Final = tuple(_find_fault(first, deflate=True) for first in range(256))

_Utf8Decoder = codecs.getincrementaldecoder("utf-8")
_NOT_UTF8 = "text is not valid UTF-8"
# Pieces of a text message up to this many bytes, and how many of them are joined.
_SHORT_PIECE = 1024
_SHORT_PIECES = 64
# Of connections that have had no text in parts. An empty list takes 72 bytes of each.
_NO_PIECES: Final[list[str]] = []


def _read_long_size(field: bytes) -> int:
    """Return the length of a payload from its extended field of two or eight bytes (RFC 6455 §5.2)."""
    size = int.from_bytes(field, "big")
    if len(field) == 2:
        if size < 126:
            raise _Failure(CloseCode.PROTOCOL_ERROR, "length is not in its shortest form")
        return size
    if size < 65536:
        raise _Failure(CloseCode.PROTOCOL_ERROR, "length is not in its shortest form")
    if size >> 63:
        raise _Failure(CloseCode.PROTOCOL_ERROR, "length has its top bit set")
    keep_freed_memory()
    return size


class Connection:
    """State of a connection between the 101 and the last close frame.

    Args:
        max_message_size: Longest message accepted, in bytes, after inflating. A longer one ends with 1009.
        max_message_frames: Most frames one message may come in. More end with 1008.
        deflate: The permessage-deflate codec that was agreed on, if any.

    Attributes:
        max_queue_size: Bytes of messages that may wait for the application, for `receive_data`. No limit by default.
        midway: Part of a frame has arrived, or `held` or `ended` is true, or `receive_message` has found a fault.
        inflates: Whether messages may be compressed, so that `receive_data` has to know of the queue.
        held: The last bytes had more compressed messages than that; the rest waits for `receive_data`, as it came.
        bulk: Where what comes next of a long binary frame may be written directly, to be told to `bulk_received`;
            ``None`` if there is no such frame.
        outgoing: Encoded pieces that have not been taken yet, in order. Pongs in a row are one piece, a bytearray.
        other_pieces: How many pieces there have been besides one for each message. So whoever counts the pieces that it
            takes can tell the messages, and nothing is counted for each short one.
        outgoing_cost: What they have taken of the server's time: a byte for each byte before compression, and
            `MESSAGE_COST` for each message. Pongs cost their bytes only.
        close_sent: Our close frame is among what was encoded; no message may follow it (RFC 6455 §5.5.1), but pongs
            may until the peer's close frame has come (§5.5.2).
        ended: What else arrives is ignored: `receive_data` has given its `Ending`, or `ignore_input` was called.
    """

    __slots__ = (
        "_buffer",
        "_bytes",
        "_compressed",
        "_decoder",
        "_deflate",
        "_fault",
        "_final",
        "_frames",
        "_inflated",
        "_longest_plain",
        "_mask",
        "_max_frames",
        "_max_size",
        "_opcode",
        "_pending",
        "_remaining",
        "_short",
        "_short_end",
        "_size",
        "_text",
        "bulk",
        "close_sent",
        "ended",
        "held",
        "inflates",
        "max_queue_size",
        "midway",
        "other_pieces",
        "outgoing",
        "outgoing_cost",
    )

    def __init__(self, *, max_message_size: int, max_message_frames: int, deflate: Deflate | None = None) -> None:
        self._max_size = max_message_size
        self._short_end = 6 + min(max_message_size, 125)  # bytes of a frame with the longest short message
        self._longest_plain = 125 if deflate is None else -1  # to be sent with a header from the table
        self._max_frames = max_message_frames
        self._deflate = deflate
        self.inflates = deflate is not None
        self._inflated = 0  # bytes of the compressed messages that the present call of `receive_data` has completed
        self.max_queue_size = sys.maxsize
        self.held = False
        # Whether what is below is anything but the gap between two frames.
        self.midway = False
        # Start of a frame whose header, or whose control payload, has not arrived whole.
        self._pending = b""
        # What was wrong with a message that `receive_message` has inflated.
        self._fault: Exception | None = None
        # The data frame that has not arrived whole.
        self._remaining = 0
        self._mask = b""
        self._final = False
        # The message it belongs to: opcode 0 stands for none.
        self._opcode = 0
        self._compressed = False
        self._frames = 0
        self._size = 0
        self._decoder: codecs.IncrementalDecoder | None = None
        # The part of a long binary frame that is read next, and the end of it that has not arrived.
        self._buffer: memoryview | None = None
        self.bulk: memoryview | None = None
        # Where a text message is put together, and its last pieces if they are short.
        self._text: io.StringIO | None = None
        self._short = _NO_PIECES
        self._bytes: io.BytesIO | None = None

        self.outgoing: list[bytes | bytearray] = []
        self.outgoing_cost = 0
        self.other_pieces = 0
        self.close_sent = False
        self.ended = False

    # Receiving

    def receive_message(self, data: bytes) -> str | bytes | None:
        """Return the message that ``data`` is: one frame with a whole message, of less than 64 KiB on the wire.

        This is what nearly all reads are. Anything else gives ``None``, and is for `receive_data` with the same bytes.

        Args:
            data: Bytes from the wire.
        """
        end = len(data)
        if end < 6 or self.midway or self._opcode:
            return None
        first = data[0]
        second = data[1]
        if second - end == _SIZE_OF_ONLY:
            if end > self._short_end:
                return None
            payload = apply_mask(data[6:], data[2:6])
        elif second == MASK | 126 and 126 <= end - 8 <= self._max_size and first & ~_OF_WHOLE == FIN:
            if data[2] << 8 | data[3] != end - 8:
                return None
            payload = apply_mask(data[8:] if end < LONG_SLICE else memoryview(data)[8:], data[4:8])
        else:
            return None
        if first == WHOLE_BINARY:
            return payload
        if first == WHOLE_TEXT:
            try:
                return payload.decode()
            except UnicodeDecodeError:
                pass  # `receive_data` tells that
        elif self._deflate is not None and (first == WHOLE_TEXT | RSV1 or first == WHOLE_BINARY | RSV1):
            return self._inflate_message(first, payload)
        return None

    def _inflate_message(self, first: int, payload: bytes) -> str | bytes | None:
        assert self._deflate is not None
        try:
            message = self._deflate.decompress(payload, True, self._max_size)
            return message if first == WHOLE_BINARY | RSV1 else message.decode()
        except (DeflateError, InflatedTooLarge, UnicodeDecodeError) as fault:
            # `receive_data` tells that, and cannot inflate it again.
            self._fault = fault
            self.midway = True
            return None

    def receive_data(self, data: bytes, queue_size: int = 0) -> list[Event]:
        """Take bytes from the wire, cut anywhere; return what they complete, in order. Pongs go to `outgoing`.

        A compressed message can be a thousand times as long as what came over the wire. So if the messages make
        `max_queue_size` full, what follows is kept as it is, and `held` is true: call this again, with no bytes or with
        those that come next, when there is room again.

        Args:
            data: The bytes.
            queue_size: How many bytes of messages wait for the application already.
        """
        events: list[Event] = []
        try:
            position = self._inflated = 0
            if self.midway:
                data, position = self._resume(data, events)
            end = len(data)
            while end - position >= 2:
                if not self._opcode:
                    # What nearly all frames are. The general way is `_read_frame`.
                    position = read_messages(data, position, self._max_size, events)
                    if end - position < 2:
                        break
                if self._inflated and self._inflated + queue_size >= self.max_queue_size:
                    self.held = True
                    break
                following = self._read_frame(data, position, end, events)
                if following < 0:
                    break
                position = following
                if self.ended:
                    return events
            if position < end:
                self._pending = data[position:]
                self.midway = True
        except _Failure as failure:
            self._fail(failure.code, failure.reason, events)
        except UnicodeDecodeError:
            self._fail(CloseCode.INVALID_DATA, _NOT_UTF8, events)
        except DeflateError as error:
            self._fail(CloseCode.INVALID_DATA, str(error), events)
        except InflatedTooLarge:
            self._fail(CloseCode.MESSAGE_TOO_BIG, f"message is longer than {self._max_size} bytes", events)
        return events

    def _resume(self, data: bytes, events: list[Event]) -> tuple[bytes, int]:
        """Go on where the last bytes have stopped; return the bytes to read from now on, and where to begin."""
        if self.ended:
            return b"", 0
        if self._fault is not None:
            raise self._fault
        data = self._pending + data
        self._pending = b""
        self.held = False
        position = 0
        end = len(data)
        while self.bulk is not None and position < end:
            taken = min(len(self.bulk), end - position)
            self.bulk[:taken] = memoryview(data)[position : position + taken]
            position += taken
            events += self.bulk_received(taken)
        if self._remaining and position < end:
            position = self._read_payload(data, position, end, events)
        self.midway = self._remaining > 0
        return data, position

    def bulk_received(self, size: int) -> list[Event]:
        """Take note of ``size`` bytes that were written to `bulk`; return what they complete."""
        events: list[Event] = []
        if self.bulk is None or self._buffer is None:
            return events
        self._remaining -= size
        if size < len(self.bulk):
            self.bulk = self.bulk[size:]
            return events
        payload = apply_mask(self._buffer, self._mask)
        give_buffer(cast(bytearray, self._buffer.obj))
        if self._remaining:
            self._start_bulk(0)
        else:
            self._buffer = self.bulk = None
        self._add_to_message(payload, self._final and not self._remaining, events)
        return events

    def _start_bulk(self, arrived: int) -> memoryview:
        """Make room for what comes next of a long frame, ``arrived`` bytes of it being there already."""
        missing = self._remaining
        # Before the last frame, `_size` counts what has arrived of the message; for this one, what was announced.
        buffer = memoryview(take_buffer(missing, self._size - missing + arrived))
        self._buffer = self.bulk = buffer[:missing] if missing < len(buffer) else buffer
        return self.bulk

    def ignore_input(self) -> None:
        """Forget what has arrived, and give no more events: the connection ends for another reason."""
        self.ended = self.midway = True
        self.held = False
        self._buffer = self.bulk = self._text = self._bytes = self._decoder = None
        self._pending = b""
        self._fault = None

    def _fail(self, code: int, reason: str, events: list[Event]) -> None:
        self._end(Ending(int(code), reason, failed=True), events)

    def _end(self, ending: Ending, events: list[Event]) -> None:
        self.ignore_input()
        events.append(ending)

    def _read_frame(self, data: bytes, position: int, end: int, events: list[Event]) -> int:
        """Read the frame at ``position``; return where the next one starts, or -1 if more bytes are needed first.

        Every rule is checked as soon as the bytes it concerns are there.
        """
        first = data[position]
        second = data[position + 1]
        fault = _FAULTS[first] if self._deflate is None else _FAULTS_WITH_DEFLATE[first]
        if fault is not None:
            raise _Failure(CloseCode.PROTOCOL_ERROR, fault)
        if not second & MASK:
            raise _Failure(CloseCode.PROTOCOL_ERROR, "frame is not masked")
        opcode = first & 0x0F
        size = second & 0x7F
        if opcode & 0x8:
            return self._read_control_frame(data, position, end, events)
        start = position + 2
        continues = opcode == Opcode.CONTINUATION
        self._check_order(continues)
        if size > 125:
            start += 2 if size == 126 else 8
            if start > end:
                return -1
            size = _read_long_size(data[position + 2 : start])
        compressed = self._compressed if continues else first & RSV1 != 0
        whole_size = self._size if continues else 0
        if not compressed:
            whole_size += size
            if whole_size > self._max_size:
                raise _Failure(CloseCode.MESSAGE_TOO_BIG, f"message is longer than {self._max_size} bytes")
        start += 4
        if start > end:
            return -1

        if continues:
            self._frames += 1
        else:
            self._opcode = opcode
            self._compressed = compressed
            self._frames = 1
        self._size = whole_size
        self._final = first & FIN != 0
        self._mask = data[start - 4 : start]
        self._remaining = size
        stop = self._read_payload(data, start, end, events)
        self.midway = self._remaining > 0
        return stop

    def _read_control_frame(self, data: bytes, position: int, end: int, events: list[Event]) -> int:
        """Read a control frame; it may stand between two frames of a message (RFC 6455 §5.5)."""
        size = data[position + 1] & 0x7F
        if size > 125:
            raise _Failure(CloseCode.PROTOCOL_ERROR, "control frame is longer than 125 bytes")
        start = position + 6
        stop = start + size
        if stop > end:
            return -1
        self._read_control(data[position] & 0x0F, apply_mask(data[start:stop], data[start - 4 : start]), events)
        return stop

    def _check_order(self, continues: bool) -> None:
        """Check whether a data frame may come now: frames of two messages do not mix (RFC 6455 §5.4)."""
        if not continues:
            if self._opcode:
                raise _Failure(CloseCode.PROTOCOL_ERROR, "new message before the last one was finished")
        elif not self._opcode:
            raise _Failure(CloseCode.PROTOCOL_ERROR, "continuation frame without a message to continue")
        elif self._frames == self._max_frames:
            raise _Failure(CloseCode.POLICY_VIOLATION, f"message has more than {self._max_frames} frames")

    def _read_payload(self, data: bytes, position: int, end: int, events: list[Event]) -> int:
        """Take what has arrived of the current data frame's payload; return where it stops."""
        stop = min(position + self._remaining, end)
        taken = stop - position
        if (
            self._remaining - taken >= BULK_SIZE
            and taken < BUFFER_SIZE
            and self._opcode == Opcode.BINARY
            and not self._compressed
        ):
            self._start_bulk(taken)[:taken] = memoryview(data)[position:stop]
            self.bulk_received(taken)
            return stop
        if taken or not self._remaining:
            self._remaining -= taken
            mask = self._mask
            # A slice of the whole is the whole; otherwise a view spares a copy of what may be large.
            piece = apply_mask(data if taken == len(data) else memoryview(data)[position:stop], mask)
            if self._remaining and taken & 3:
                self._mask = mask[taken & 3 :] + mask[: taken & 3]
            self._add_to_message(piece, self._final and not self._remaining, events)
        return stop

    def _add_to_message(self, piece: bytes, last: bool, events: list[Event]) -> None:
        if self._compressed:
            assert self._deflate is not None
            piece = self._deflate.decompress(piece, last, self._max_size - self._size)
            self._size += len(piece)
            if last:
                self._inflated += self._size
        if self._opcode == Opcode.TEXT:
            if last and self._text is None:
                events.append(piece.decode())
            else:
                self._add_text(piece, last, events)
        elif last and self._bytes is None:
            events.append(piece)
        else:
            # BytesIO and StringIO grow in linear time whatever the size of the pieces, and do not copy at the end.
            if self._bytes is None:
                self._bytes = io.BytesIO()
            self._bytes.write(piece)
            if last:
                events.append(self._bytes.getvalue())
                self._bytes = None
        if last:
            self._opcode = 0

    def _add_text(self, piece: bytes, last: bool, events: list[Event]) -> None:
        """Add a part of a text message that comes in several."""
        if self._decoder is None or self._text is None:
            self._decoder = _Utf8Decoder()
            self._text = io.StringIO()
            self._short = []
        self._short.append(self._decoder.decode(piece, last))
        # RFC 6455 §8.1: the connection fails at the first byte that cannot be UTF-8, not at the message's end.
        # Python notices a surrogate, ED A0 80 to ED BF BF, only at its third byte.
        if not last and b"\xed\xa0" <= self._decoder.getstate()[0] < b"\xee":
            raise _Failure(CloseCode.INVALID_DATA, _NOT_UTF8)
        # StringIO keeps objects, and that of a character is 20 times its size: short pieces are joined first.
        if last or len(piece) > _SHORT_PIECE or len(self._short) == _SHORT_PIECES:
            self._text.write("".join(self._short))
            self._short.clear()
        if last:
            events.append(self._text.getvalue())
            self._text = self._decoder = None

    def _read_control(self, opcode: int, payload: bytes, events: list[Event]) -> None:
        if opcode == Opcode.PING:
            head = bytes((FIN | Opcode.PONG, len(payload)))
            last = self.outgoing[-1] if self.outgoing else None
            if type(last) is bytearray:
                # An object for each pong would take twenty times its size, and one read may bring 40,000 pings.
                last += head
                last += payload
            else:
                self.outgoing.append(bytearray(head + payload))
                self.other_pieces += 1
            self.outgoing_cost += 2 + len(payload)
        elif opcode == Opcode.PONG:
            pass
        elif not payload:
            self._end(Ending(CloseCode.NO_STATUS, "", failed=False), events)
        elif len(payload) == 1:
            raise _Failure(CloseCode.PROTOCOL_ERROR, "close frame with half a code")
        else:
            code = int.from_bytes(payload[:2], "big")
            if not is_valid_close_code(code):
                raise _Failure(CloseCode.PROTOCOL_ERROR, f"close code {code} may not be sent")
            self._end(Ending(code, payload[2:].decode(), failed=False), events)

    # Sending: the caller checks `close_sent` first

    def send_text(self, text: str) -> None:
        """Encode a text message. Raises `UnicodeEncodeError` for surrogates, with nothing encoded."""
        try:
            payload = text.encode()
        except AttributeError:
            raise TypeError(f"a text message is a str, not {type(text).__name__}") from None
        size = len(payload)
        if size > self._longest_plain:
            self._send_message(WHOLE_TEXT, payload)
            return
        self.outgoing.append(_SHORT_TEXT_HEADERS[size] + payload)
        self.outgoing_cost += size + MESSAGE_COST

    def send_bytes(self, payload: bytes | bytearray | memoryview) -> None:
        """Encode a binary message. ASGI says `bytes`; applications send other buffers too."""
        if type(payload) is not bytes:
            # The application may change it later, and its items may be longer than a byte.
            payload = memoryview(payload).tobytes()
        size = len(payload)
        if size > self._longest_plain:
            self._send_message(WHOLE_BINARY, payload)
            return
        self.outgoing.append(_SHORT_BINARY_HEADERS[size] + payload)
        self.outgoing_cost += size + MESSAGE_COST

    def _send_message(self, first_byte: int, payload: bytes) -> None:
        deflate = self._deflate
        self.outgoing_cost += len(payload) + MESSAGE_COST
        if deflate is not None and len(payload) >= deflate.threshold:
            payload = deflate.compress(payload)
            first_byte |= RSV1
        outgoing = self.outgoing
        outgoing.append(encode_header(first_byte, len(payload)))
        outgoing.append(payload)
        self.other_pieces += 1

    def send_ping(self, payload: bytes) -> None:
        """Encode a ping of at most 125 bytes."""
        self.outgoing.append(bytes((FIN | Opcode.PING, len(payload))) + payload)
        self.other_pieces += 1
        self.outgoing_cost += MESSAGE_COST

    def send_close(self, code: int, reason: str = "") -> None:
        """Encode the close frame; only the first call does. Raises `ValueError` for a code that may not be sent."""
        if not self.close_sent:
            frame = encode_close(code, reason)
            self.close_sent = True
            self.outgoing.append(frame)
            self.other_pieces += 1
            self.outgoing_cost += MESSAGE_COST

    def take_outgoing(self) -> list[bytes | bytearray]:
        """Return what has been encoded, in order, and forget it."""
        outgoing = self.outgoing
        self.outgoing = []
        self.outgoing_cost = 0
        return outgoing
