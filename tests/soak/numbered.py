"""Numbered messages with a checksum, of all sizes, and the ledger of who receives them. Used at both ends."""

from __future__ import annotations

import random
import zlib
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

HEAD = 25  # characters in front of what fills a message up: kind, checksum, whose it is, number
# Where the length of a frame, and what holds it, changes (RFC 6455 section 5.2), with and without the head.
EDGES = [size + change for size in (125, 126, 127, 65535, 65536) for change in (-HEAD, 0)]
KIBIBYTE = 1024
_POOL_SIZE = 2 * 1024 * KIBIBYTE


def _pool() -> tuple[str, bytes]:
    """What messages are filled with: text with characters of one to four bytes, and bytes that hardly compress."""
    source = random.Random(6455)
    words = ["message", "update", "price", "north", "größer", "日本語", "🎉", "delivery", '{"id": ', "null}, "]
    text = " ".join(source.choices(words, k=_POOL_SIZE // 6))
    return text, source.randbytes(_POOL_SIZE)


TEXT, BYTES = _pool()


def _size(source: random.Random) -> int:
    kind = source.random()
    if kind < 0.85:
        return source.randrange(120)
    if kind < 0.97:
        return source.randrange(120, 4 * KIBIBYTE)
    if kind < 0.975:
        return source.choice(EDGES)
    if kind < 0.997:
        return source.randrange(4 * KIBIBYTE, 64 * KIBIBYTE)
    if kind < 0.9998:
        return source.randrange(64 * KIBIBYTE, 200 * KIBIBYTE)
    return 1024 * KIBIBYTE


def messages(owner: int, count: int) -> Iterator[str | bytes]:
    """``count`` messages of ``owner``, the same in each run."""
    source = random.Random(owner)
    for number in range(count):
        size = _size(source)
        if source.random() < 0.5:
            at = source.randrange(len(TEXT) - size)
            rest = f"{owner:08x}{number:08x}{TEXT[at : at + size]}"
            yield f"t{zlib.crc32(rest.encode()):08x}{rest}"
        else:
            at = source.randrange(len(BYTES) - size)
            raw = b"%08x%08x%b" % (owner, number, BYTES[at : at + size])
            yield b"b%08x%b" % (zlib.crc32(raw), raw)


@dataclass
class Ledger:
    """What has come of the ``count`` messages of ``owner``.

    Attributes:
        came: All that came, whatever it was.
        doubled: Those that had come before.
        reordered: Those that came after a later one.
        damaged: Those whose checksum, kind or owner is wrong.
    """

    owner: int
    count: int
    came: int = 0
    doubled: int = 0
    reordered: int = 0
    damaged: int = 0
    _next: int = 0
    _missing: set[int] = field(default_factory=set)

    def take(self, message: str | bytes) -> None:
        """Note a message."""
        self.came += 1
        number = self._number(message)
        if number is None:
            self.damaged += 1
        elif number == self._next:
            self._next += 1
        elif number > self._next:
            self._missing.update(range(self._next, number))
            self._next = number + 1
        elif number in self._missing:
            self._missing.remove(number)
            self.reordered += 1
        else:
            self.doubled += 1

    def take_nonsense(self) -> None:
        """Note a text message that is no text."""
        self.came += 1
        self.damaged += 1

    def _number(self, message: str | bytes) -> int | None:
        try:
            data = message.encode() if isinstance(message, str) else message
            kind = b"t" if isinstance(message, str) else b"b"
            intact = data[:1] == kind and zlib.crc32(memoryview(data)[9:]) == int(data[1:9], 16)
            number = int(data[17:25], 16)
            if not intact or int(data[9:17], 16) != self.owner or number >= self.count:
                return None
        except ValueError:
            return None
        return number

    @property
    def lost(self) -> int:
        """How many have not come so far."""
        return len(self._missing) + self.count - self._next


@dataclass
class Totals:
    """The sum of ledgers."""

    sent: int = 0
    came: int = 0
    lost: int = 0
    doubled: int = 0
    reordered: int = 0
    damaged: int = 0

    def add(self, ledger: Ledger, sent: int) -> None:
        """Add what one connection has received, and how many messages it has sent."""
        self.sent += sent
        self.came += ledger.came
        self.lost += ledger.lost
        self.doubled += ledger.doubled
        self.reordered += ledger.reordered
        self.damaged += ledger.damaged

    def merge(self, other: Totals) -> None:
        """Add other sums."""
        for name, value in asdict(other).items():
            setattr(self, name, getattr(self, name) + value)

    def faults(self, who: str) -> list[str]:
        """What is wrong, in words."""
        names = ("lost", "doubled", "reordered", "damaged")
        return [f"{who}: {count} messages {name}" for name in names if (count := asdict(self)[name])]
