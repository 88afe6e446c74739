"""WebSocket frames on the wire: opcodes, headers, masking, close payloads (RFC 6455 §5, §7.4)."""

from __future__ import annotations

from enum import IntEnum
from struct import Struct

try:
    from websockets.speedups import apply_mask
except ImportError:  # pragma: no cover - the tests run this branch in a process of its own

    def apply_mask(data: bytes | bytearray | memoryview, mask: bytes | bytearray) -> bytes:
        """XOR ``data`` with the four bytes of ``mask``, repeated (RFC 6455 §5.3)."""
        size = len(data)
        if not size:
            return b""
        repeated = bytes(mask) * (size // 4) + bytes(mask[: size % 4])
        masked = int.from_bytes(data, "little") ^ int.from_bytes(repeated, "little")
        return masked.to_bytes(size, "little")


__all__ = [
    "FIN",
    "MASK",
    "RSV1",
    "CloseCode",
    "Opcode",
    "apply_mask",
    "encode_close",
    "encode_header",
    "is_valid_close_code",
]

FIN = 0x80
RSV1 = 0x40
MASK = 0x80


class Opcode(IntEnum):
    """The kind of a frame (RFC 6455 §5.2). Control frames have the bit 0x8."""

    CONTINUATION = 0x0
    TEXT = 0x1
    BINARY = 0x2
    CLOSE = 0x8
    PING = 0x9
    PONG = 0xA


class CloseCode(IntEnum):
    """Why a connection ended (RFC 6455 §7.4.1 and the IANA registry)."""

    NORMAL_CLOSURE = 1000
    GOING_AWAY = 1001
    PROTOCOL_ERROR = 1002
    NO_STATUS = 1005  # never on the wire: the close frame had no code
    ABNORMAL_CLOSURE = 1006  # never on the wire: there was no close frame
    INVALID_DATA = 1007
    POLICY_VIOLATION = 1008
    MESSAGE_TOO_BIG = 1009
    INTERNAL_ERROR = 1011
    SERVICE_RESTART = 1012


# Codes below 3000 that may travel in a close frame: 1004 is reserved, 1005, 1006 and 1015 are for local use only.
_WIRE_CODES = frozenset((1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014))


_pack_16_bits = Struct("!BBH").pack
_pack_64_bits = Struct("!BBQ").pack


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
    encoded = reason.encode("utf-8", "replace")
    if len(encoded) > 123:
        encoded = encoded[:123].decode("utf-8", "ignore").encode()
    return bytes((FIN | Opcode.CLOSE, 2 + len(encoded))) + code.to_bytes(2, "big") + encoded
