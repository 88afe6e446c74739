"""The messages that are sent, as ready-made client frames (RFC 6455 section 5.2), and a check of what comes back."""

from __future__ import annotations

import json
import random
import zlib
from collections.abc import Iterator, Sequence
from itertools import cycle

LETTERS = b"abcdefghijklmnopqrstuvwxyz"
TAIL = b"\x00\x00\xff\xff"  # RFC 7692 section 7.2.1: cut off by the sender, put back by the receiver


def letters(size: int) -> list[bytes]:
    """One message of ``size`` bytes."""
    return [(LETTERS * (size // len(LETTERS) + 1))[:size]]


def json_documents(count: int = 64, size: int = 1024) -> list[bytes]:
    """``count`` different JSON texts of about ``size`` bytes, the same in every run: what a busy chat or feed sends."""
    source = random.Random(6455)
    words = ["market", "update", "message", "user", "price", "status", "active", "delivery", "north", "colour", "event"]
    documents: list[bytes] = []
    for number in range(count):
        items: list[dict[str, object]] = []
        while len(json.dumps(items)) < size - 120:
            text = " ".join(source.choices(words, k=6))
            items.append({"id": source.randrange(10**8), "text": text, "value": round(source.random() * 1000, 2)})
        documents.append(json.dumps({"type": "feed", "sequence": number, "items": items}).encode())
    return documents


def deflated(message: bytes) -> bytes:
    """``message`` compressed by itself, which is allowed with and without context takeover (RFC 7692 section 7.2.1)."""
    codec = zlib.compressobj(wbits=-15)
    return (codec.compress(message) + codec.flush(zlib.Z_SYNC_FLUSH)).removesuffix(TAIL)


def client_frame(message: bytes, *, text: bool, deflate: bool) -> bytes:
    """``message`` as one masked frame."""
    payload = deflated(message) if deflate else message
    size = len(payload)
    head = bytes([0x80 | (0x40 if deflate else 0) | (1 if text else 2)])
    if size < 126:
        head += bytes([0x80 | size])
    elif size < 1 << 16:
        head += b"\xfe" + size.to_bytes(2, "big")
    else:
        head += b"\xff" + size.to_bytes(8, "big")
    mask = b"\x37\xfa\x21\x3d"
    key = (mask * (size // 4 + 1))[:size]
    masked = int.from_bytes(payload, "big") ^ int.from_bytes(key, "big")
    return head + mask + masked.to_bytes(size, "big")


def server_frames(stream: bytes) -> Iterator[tuple[int, bytes]]:
    """First byte and payload of each whole frame in a recording of a server's answers."""
    at = 0
    while at + 2 <= len(stream):
        size, extra = stream[at + 1], {126: 2, 127: 8}.get(stream[at + 1], 0)
        if extra:
            size = int.from_bytes(stream[at + 2 : at + 2 + extra], "big")
        start = at + 2 + extra
        if start + size > len(stream):
            return
        yield stream[at], stream[start : start + size]
        at = start + size


def check_answers(stream: bytes, messages: Sequence[bytes]) -> float:
    """Check that a recording holds ``messages`` in turn, compressed; return the compressed size over the plain one.

    Raises ValueError where it does not.
    """
    codec = zlib.decompressobj(wbits=-15)
    sent = received = 0
    for expected, (first, payload) in zip(cycle(messages), server_frames(stream), strict=False):
        if first != 0xC1:
            raise ValueError(f"not one compressed text frame: first byte {first:#x}")
        if codec.decompress(payload + TAIL) != expected:
            raise ValueError("an answer does not inflate to what was sent")
        sent += len(expected)
        received += len(payload)
    if received == 0:
        raise ValueError("no answer was recorded")
    return received / sent
