"""WebSocket frames on the wire: opcodes, headers, masking, close payloads (RFC 6455 §5, §7.4)."""

from __future__ import annotations

from struct import Struct
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = [
    "FIN",
    "LONG_SLICE",
    "MASK",
    "RSV1",
    "WHOLE_BINARY",
    "WHOLE_TEXT",
    "CloseCode",
    "Opcode",
    "apply_mask",
    "encode_close",
    "encode_header",
    "is_valid_close_code",
    "read_messages",
]

FIN: Final = 0x80
RSV1: Final = 0x40
MASK: Final = 0x80


class Opcode:
    """The kind of a frame (RFC 6455 §5.2). Control frames have the bit 0x8."""

    CONTINUATION: Final = 0x0
    TEXT: Final = 0x1
    BINARY: Final = 0x2
    CLOSE: Final = 0x8
    PING: Final = 0x9
    PONG: Final = 0xA


class CloseCode:
    """Why a connection ended (RFC 6455 §7.4.1 and the IANA registry)."""

    NORMAL_CLOSURE: Final = 1000
    GOING_AWAY: Final = 1001
    PROTOCOL_ERROR: Final = 1002
    NO_STATUS: Final = 1005  # never on the wire: the close frame had no code
    ABNORMAL_CLOSURE: Final = 1006  # never on the wire: there was no close frame
    INVALID_DATA: Final = 1007
    POLICY_VIOLATION: Final = 1008
    MESSAGE_TOO_BIG: Final = 1009
    INTERNAL_ERROR: Final = 1011
    SERVICE_RESTART: Final = 1012


# Codes below 3000 that may travel in a close frame: 1004 is reserved, 1005, 1006 and 1015 are for local use only.
_WIRE_CODES = frozenset((1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014))


_pack_16_bits = Struct("!BBH").pack
_pack_64_bits = Struct("!BBQ").pack

# First bytes of whole messages: FIN and the opcode.
WHOLE_TEXT: Final = 0x81
WHOLE_BINARY: Final = 0x82
# Payloads from this many bytes on are unmasked without a copy. A view takes longer to make than a short copy.
LONG_SLICE: Final = 8192


def mask_in_python(data: bytes | bytearray | memoryview, mask: bytes | bytearray) -> bytes:
    """XOR ``data`` with the four bytes of ``mask``, repeated (RFC 6455 §5.3)."""
    size = len(data)
    repeated = bytes(mask) * (size // 4) + bytes(mask[: size % 4])
    masked = int.from_bytes(data, "little") ^ int.from_bytes(repeated, "little")
    return masked.to_bytes(size, "little")


def read_in_python(data: bytes, position: int, max_size: int, messages: list[Any]) -> int:
    """Add the whole messages that ``data`` has from ``position`` on to ``messages``; return where they end.

    They are what nearly all frames are: one masked frame each, not compressed, of less than 64 KiB. What comes behind
    the last of them is something else, also a fault.

    Args:
        data: Bytes from the wire.
        position: Where a frame begins, if no message is under way.
        max_size: Bytes of the longest message.
        messages: What is read is added to these.

    Raises:
        UnicodeDecodeError: A text is not valid UTF-8. What came before has been added.
    """
    end = len(data)
    while end - position >= 6:
        first = data[position]
        if first != WHOLE_BINARY and first != WHOLE_TEXT:
            break
        size = data[position + 1] - MASK
        if size < 126:
            start = position + 6
            stop = start + size
            if not 0 <= size <= max_size or stop > end:
                break
            payload = apply_mask(data[start:stop], data[start - 4 : start])
        else:
            if size != 126:
                break
            size = data[position + 2] << 8 | data[position + 3]
            start = position + 8
            stop = start + size
            if not 126 <= size <= max_size or stop > end:
                break
            piece = data[start:stop] if size < LONG_SLICE else memoryview(data)[start:stop]
            payload = apply_mask(piece, data[start - 4 : start])
        messages.append(payload if first == WHOLE_BINARY else payload.decode())
        position = stop
    return position


def _find_mask() -> Callable[[bytes | bytearray | memoryview, bytes | bytearray], bytes]:
    try:
        from asgi_upgrade.websocket import speedups as ours
    except ImportError:  # the package was installed without what is compiled
        try:
            from websockets import speedups as theirs
        except ImportError:  # pragma: no cover - the tests run this branch in a process of its own
            return mask_in_python
        return theirs.apply_mask
    return ours.apply_mask


def _find_reader() -> Callable[[bytes, int, int, list[Any]], int]:
    try:
        from asgi_upgrade.websocket import speedups
    except ImportError:
        return read_in_python
    return speedups.read_messages


apply_mask: Final = _find_mask()
read_messages: Final = _find_reader()


def is_valid_close_code(code: int) -> bool:
    """Tell whether ``code`` may stand in a close frame (RFC 6455 §7.4)."""
    return code in _WIRE_CODES or 3000 <= code <= 4999


def encode_header(first_byte: int, size: int) -> bytes:
    """Return the header of an unmasked frame; the length is in its shortest form (RFC 6455 §5.2)."""
    if size < 126:
        return bytes((first_byte, size))
    if size < 65536:
        return _pack_16_bits(first_byte, 126, size)
    return _pack_64_bits(first_byte, 127, size)


def encode_close(code: int, reason: str = "") -> bytes:
    """Return a whole close frame. Code 1005 gives one without payload (RFC 6455 §5.5.1, §7.4.1).

    The reason is cut, between characters, to the 123 bytes that a control frame has room for.

    Raises:
        ValueError: ``code`` may not be sent.
    """
    if code == CloseCode.NO_STATUS:
        return bytes((FIN | Opcode.CLOSE, 0))
    if not is_valid_close_code(code):
        raise ValueError(f"close code {code} may not be sent (RFC 6455 section 7.4)")
    # Of anything that is no text, this is a TypeError.
    encoded = str.encode(reason, "utf-8", "replace")
    if len(encoded) > 123:
        encoded = encoded[:123].decode("utf-8", "ignore").encode()
    return bytes((FIN | Opcode.CLOSE, 2 + len(encoded))) + code.to_bytes(2, "big") + encoded
