"""What a server must make of a stream of bytes: RFC 6455 read slowly and plainly, to compare the engine with.

Written for the reader: the stream is whole, nothing is kept between calls, and what a broken frame deserves is a set,
because a frame may break several rules and the RFC does not say which to name.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import NamedTuple

PROTOCOL_ERROR, INVALID_DATA, POLICY_VIOLATION, TOO_BIG = 1002, 1007, 1008, 1009
KNOWN_OPCODES = (0, 1, 2, 8, 9, 10)

# RFC 3629 section 4.
_CHARACTER = rb"""(?x:
    [\x00-\x7f] | [\xc2-\xdf][\x80-\xbf]
    | \xe0[\xa0-\xbf][\x80-\xbf] | [\xe1-\xec\xee\xef][\x80-\xbf]{2} | \xed[\x80-\x9f][\x80-\xbf]
    | \xf0[\x90-\xbf][\x80-\xbf]{2} | [\xf1-\xf3][\x80-\xbf]{3} | \xf4[\x80-\x8f][\x80-\xbf]{2}
)*"""
_START_OF_CHARACTER = rb"""(?x:
    [\xc2-\xdf]
    | \xe0[\xa0-\xbf]? | [\xe1-\xec\xee\xef][\x80-\xbf]? | \xed[\x80-\x9f]?
    | \xf0(?:[\x90-\xbf][\x80-\xbf]?)? | [\xf1-\xf3][\x80-\xbf]{0,2} | \xf4(?:[\x80-\x8f][\x80-\xbf]?)?
)?"""
is_text = re.compile(_CHARACTER).fullmatch
may_become_text = re.compile(_CHARACTER + _START_OF_CHARACTER).fullmatch
# Python's incremental decoder waits for the third byte of what would be a surrogate.
_LATE_START = _START_OF_CHARACTER.replace(rb"\xed[\x80-\x9f]?", rb"\xed[\x80-\xbf]?")
may_become_text_for_python = re.compile(_CHARACTER + _LATE_START).fullmatch


class Rules(NamedTuple):
    """What is allowed. The defaults are the RFC's; the others are what some libraries make of it."""

    max_size: float = float("inf")
    max_frames: float = float("inf")
    shortest_length_only: bool = True  # section 5.2
    close_between_fragments: bool = True  # section 5.4
    code_1014: bool = True  # the IANA registry; section 11.7
    messages_only_are_limited: bool = True  # section 5.5: a control frame that is too long is not a message too long
    late_surrogates: bool = False


@dataclass
class Reading:
    """What there is in a stream.

    Attributes:
        messages: Those that arrived whole.
        pings: The payloads of the pings.
        closed: Code and reason of the close frame, if there is one.
        broken: The close codes that the offending frame deserves, if there is one.
        cut: The offending frame has not arrived whole: who reads whole frames only does not know yet.
    """

    messages: list[str | bytes] = field(default_factory=list)
    pings: list[bytes] = field(default_factory=list)
    closed: tuple[int, str] | None = None
    broken: set[int] = field(default_factory=set)
    cut: bool = False


def is_valid_code(code: int, rules: Rules) -> bool:
    if code == 1014:
        return rules.code_1014
    return 1000 <= code <= 1003 or 1007 <= code <= 1013 or 3000 <= code <= 4999


def read(stream: bytes, rules: Rules) -> Reading:
    """Read `stream` up to its end, its close frame, or the first frame that is not allowed."""
    reading = Reading()
    kind = 0  # of the message that has begun
    frames = 0
    message = b""
    while len(stream) >= 2:
        fin, opcode = stream[0] & 0x80, stream[0] & 0x0F
        reading.broken |= _judge_start(stream, kind, frames, rules)
        start = 2 + {126: 2, 127: 8}.get(stream[1] & 0x7F, 0)
        if len(stream) < start:
            reading.cut = True
            return reading
        size = int.from_bytes(stream[2:start], "big") if start > 2 else stream[1] & 0x7F
        reading.broken |= _judge_length(opcode, size, start, rules)
        limited = opcode < 8 or not rules.messages_only_are_limited
        continued = opcode == 0 if rules.messages_only_are_limited else kind != 0
        if limited and (len(message) if continued else 0) + size > rules.max_size:
            reading.broken.add(TOO_BIG)
        start += 4
        reading.cut = len(stream) < start + size
        if reading.broken or (opcode >= 8 and reading.cut):
            return reading

        mask = stream[start - 4 : start]
        payload = bytes(byte ^ mask[i % 4] for i, byte in enumerate(stream[start : start + size]))
        stream = stream[start + size :]
        if opcode == 9:
            reading.pings.append(payload)
        elif opcode == 8:
            _read_close(payload, reading, rules)
            if kind and not rules.close_between_fragments:
                reading.closed = None
                reading.broken.add(PROTOCOL_ERROR)
            return reading
        elif opcode < 8:
            kind, frames, message = (opcode, 1, payload) if opcode else (kind, frames + 1, message + payload)
            done = fin and not reading.cut
            may_go_on = may_become_text_for_python if rules.late_surrogates else may_become_text
            if kind == 1 and not (is_text if done else may_go_on)(message):
                reading.broken.add(INVALID_DATA)
                return reading
            if done:
                reading.messages.append(message.decode() if kind == 1 else message)
                kind = 0
        if reading.cut:
            return reading
    return reading


def _judge_start(stream: bytes, kind: int, frames: int, rules: Rules) -> set[int]:
    """What the first two bytes of a frame deserve, in a message of `kind` that has `frames` so far (section 5.2)."""
    broken = set()
    fin, opcode, size = stream[0] & 0x80, stream[0] & 0x0F, stream[1] & 0x7F
    if stream[0] & 0x70 or opcode not in KNOWN_OPCODES or not stream[1] & 0x80:
        broken.add(PROTOCOL_ERROR)
    if opcode >= 8:
        if not fin or (size > 125 and rules.shortest_length_only):  # section 5.5
            broken.add(PROTOCOL_ERROR)
    elif (opcode == 0) != (kind != 0):  # section 5.4
        broken.add(PROTOCOL_ERROR)
    if opcode == 0 and frames + 1 > rules.max_frames:
        broken.add(POLICY_VIOLATION)
    return broken


def _judge_length(opcode: int, size: int, start: int, rules: Rules) -> set[int]:
    """What a length deserves that ends at `start` (sections 5.2 and 5.5)."""
    least = {2: 0, 4: 126, 10: 65536}[start]
    if size >= 1 << 63 or (size < least and rules.shortest_length_only) or (opcode >= 8 and size > 125):
        return {PROTOCOL_ERROR}
    return set()


def _read_close(payload: bytes, reading: Reading, rules: Rules) -> None:
    """RFC 6455 sections 5.5.1, 7.1.5 and 7.4."""
    if not payload:
        reading.closed = 1005, ""
        return
    code = int.from_bytes(payload[:2], "big")
    if len(payload) == 1 or not is_valid_code(code, rules):
        reading.broken.add(PROTOCOL_ERROR)
    if not is_text(payload[2:]):
        reading.broken.add(INVALID_DATA)
    if not reading.broken:
        reading.closed = code, payload[2:].decode()
