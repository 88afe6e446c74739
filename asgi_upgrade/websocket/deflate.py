"""permessage-deflate (RFC 7692): what to agree on with a client, and the codec for what was agreed.

Memory of a connection is bounded, and taken only when the first compressed message comes or goes. Resident memory of
one object after a message of 64 KiB, in KiB, on CPython 3.11, x86-64 (``benchmarks/deflate_codecs.py``):

==============  =========================  =========================  =========
window in bits  compressing, zlib level 1  compressing, ISA-L         inflating
==============  =========================  =========================  =========
9               24                         87                         8
12, by default  38                         81                         12
15              150                        77                         40
==============  =========================  =========================  =========

So a connection costs at most 50 KiB by default, 28 KiB more where the client does not let its window be limited, and
43 KiB more where ISA-L compresses long messages (messages of 1 KiB leave it at 34 KiB). Without context takeover
nothing is kept between messages.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib import import_module
from typing import Final, Protocol

from asgi_upgrade.http.headers import ExtensionOffer
from asgi_upgrade.system.checks import check_flags, check_integers

__all__ = ["Deflate", "DeflateAgreement", "DeflateError", "InflatedTooLarge", "PerMessageDeflate"]

NAME: Final = "permessage-deflate"

# RFC 7692 §7.1.2: a decimal number from 8 to 15 without leading zeros.
_WINDOW_BITS: Final = {str(bits): bits for bits in range(8, 16)}
_MAX_WINDOW_BITS: Final = 15
# zlib compresses raw data with 9 bits or more only.
_MIN_WINDOW_BITS: Final = 9

# RFC 7692 §7.2.1: an empty block ends each message; the sender cuts its last four bytes off, the receiver adds them.
_TAIL: Final = b"\x00\x00\xff\xff"
# RFC 7692 §7.2.3.6: an empty message.
_EMPTY: Final = b"\x00"

# Pieces in which long data is inflated. The input that is not consumed is copied each time the output is full, so the
# input is cut: otherwise time would grow with the square of its length. CPython inflates up to 32 KiB without a copy.
_INPUT_PIECE: Final = 4096
_OUTPUT_PIECE: Final = 32768

# RFC 7692 §7.2.3.4 lets a sender end its stream within a message and begin another one. That costs as much as a
# kilobyte of other data, and may take two bytes: so a message may have this many ends, and one more for so many bytes.
_FREE_STREAM_ENDS: Final = 2
_BYTES_PER_STREAM_END: Final = 64

_INVALID: Final = "compressed data is invalid"

_THRESHOLD: Final = 128
_THRESHOLD_WITHOUT_CONTEXT: Final = 512


class DeflateError(Exception):
    """A message is not what compression gives; the connection fails with 1007."""


class InflatedTooLarge(Exception):
    """A message is longer than allowed once inflated; the connection fails with 1009."""


class _Compressor(Protocol):
    def compress(self, data: bytes, /) -> bytes: ...

    def flush(self, mode: int, /) -> bytes: ...


class _NewCompressor(Protocol):
    def __call__(self, level: int, method: int, wbits: int, mem_level: int, /) -> _Compressor: ...


class _Inflater(Protocol):
    @property
    def eof(self) -> bool: ...

    @property
    def unconsumed_tail(self) -> bytes: ...

    @property
    def unused_data(self) -> bytes: ...

    def decompress(self, data: bytes | memoryview, max_length: int, /) -> bytes: ...


def _find_isal() -> _NewCompressor | None:
    """Return ISA-L's compressor if the package ``isal`` is installed."""
    try:
        new_compressor: _NewCompressor = import_module("isal.isal_zlib").compressobj
    except ImportError:
        return None
    return new_compressor


_isal: _NewCompressor | None = _find_isal()


def _make_compressor(level: int, bits: int, memory_level: int) -> _Compressor:
    """Return the compressor that measures best for ``level``.

    ISA-L's level 1 gives the sizes of zlib's level 1 in less than half the time; it has nothing like zlib's higher
    levels, and more memory than its least does not help messages of 1 KiB. zlib-ng gives such sizes in three quarters
    of zlib's time and needs four times its memory. Both inflate long messages in two thirds of zlib's time, but short
    ones no faster to speak of, and need seven and three times its memory: so zlib always inflates.
    """
    if level == 1 and _isal is not None:
        return _isal(1, zlib.DEFLATED, -bits, 1)
    return zlib.compressobj(level, zlib.DEFLATED, -bits, memory_level)


@dataclass(frozen=True)
class DeflateAgreement:
    """The parameters that server and client have agreed on.

    Attributes:
        server_no_context_takeover: The server must compress each message by itself (RFC 7692 §7.1.1.1).
        client_no_context_takeover: So must the client (§7.1.1.2).
        server_max_window_bits: Largest window that the server may compress with, as a power of two (§7.1.2.1).
            ``None`` stands for 15, without saying so.
        client_max_window_bits: The same for the client (§7.1.2.2).
    """

    server_no_context_takeover: bool = False
    client_no_context_takeover: bool = False
    server_max_window_bits: int | None = None
    client_max_window_bits: int | None = None

    @property
    def header(self) -> str:
        """The answer, as it stands in ``Sec-WebSocket-Extensions``."""
        parts = [NAME]
        if self.server_no_context_takeover:
            parts.append("server_no_context_takeover")
        if self.client_no_context_takeover:
            parts.append("client_no_context_takeover")
        if self.server_max_window_bits is not None:
            parts.append(f"server_max_window_bits={self.server_max_window_bits}")
        if self.client_max_window_bits is not None:
            parts.append(f"client_max_window_bits={self.client_max_window_bits}")
        return "; ".join(parts)


# There are few agreements, and thousands of connections that share them.
_agreement = lru_cache(maxsize=None)(DeflateAgreement)


@dataclass(frozen=True)
class PerMessageDeflate:
    """The settings of compression: those of the server, and those that it asks clients for (RFC 7692 §7).

    If a setting concerns only the server, the client is not told of it, unless the client's offer names the parameter.
    Some clients refuse a parameter that they have not named, such as those made with Netty 4.1.48.

    The defaults balance time, size of messages and memory.

    Attributes:
        server_no_context_takeover: Whether the server compresses each message by itself. This saves memory between
            messages. But it costs time, and messages get longer, the short ones most. Default: ``False``, unless the
            client asks for it.
        client_no_context_takeover: Whether clients shall compress each message by itself. This saves memory between
            messages. Default: ``False``, unless the client says that it does so.
        server_max_window_bits: The window to compress with, as a power of two: 9 to 15. Default: 12, unless the client
            asks for less. 15 makes long messages six percent smaller, and takes four times the memory.
        client_max_window_bits: The largest window that clients may compress with, as a power of two: 9 to 15. It works
            with clients that support the parameter. Chrome does, Firefox does not. Default: 12.
        level: zlib's compression level, 1 to 9. Default: 1. Level 6 makes JSON seven percent smaller. It takes a third
            more time for short messages, and twice the time for long ones. With the package ``isal`` installed, level 1
            uses ISA-L, which takes less than half the time.
        memory_level: zlib's memory level, 1 to 9. The compressor takes four times its window and
            ``2 ** (memory_level + 9)`` bytes. ISA-L always takes the least it can. Default: 5.
        threshold: Length in bytes from which messages are compressed. Shorter ones are sent as they are. Default: 128,
            or 512 where the server compresses each message by itself. From this length on, compression saves at least
            seven bytes in a microsecond.

    Raises:
        ValueError: A value is out of range; the message names it.
    """

    server_no_context_takeover: bool = False
    client_no_context_takeover: bool = False
    server_max_window_bits: int = 12
    client_max_window_bits: int = 12
    level: int = 1
    memory_level: int = 5
    threshold: int | None = None

    def __post_init__(self) -> None:
        check_flags(self, "server_no_context_takeover", "client_no_context_takeover")
        # Clients that use zlib could not follow a demand for 8 bits.
        windows = ("server_max_window_bits", "client_max_window_bits")
        check_integers(self, *windows, low=_MIN_WINDOW_BITS, high=_MAX_WINDOW_BITS)
        check_integers(self, "level", "memory_level", high=9)
        if self.threshold is not None:
            check_integers(self, "threshold", low=0)

    def negotiate(self, offers: Sequence[ExtensionOffer]) -> DeflateAgreement | None:
        """Return what is agreed on: the first offer in the client's order that the server can accept.

        Args:
            offers: All offers of the handshake, those of other extensions included.

        Returns:
            The agreement, or ``None`` if the messages of this connection are not compressed.
        """
        for offer in offers:
            if offer.name == NAME:
                agreement = self._answer(offer.parameters)
                if agreement is not None:
                    return agreement
        return None

    def _answer(self, parameters: Sequence[tuple[str, str | None]]) -> DeflateAgreement | None:
        """Accept one offer, or decline it: unknown, repeated and malformed parameters decline (RFC 7692 §7.1)."""
        offered: dict[str, str | None] = {}
        for name, value in parameters:
            if name in offered:
                return None
            offered[name] = value

        # RFC 7692 §7.1.1. The client demands the first for the server; by the second it tells what it does anyway. Only
        # the second has to be said to a client that has not named it: it saves the memory of our inflater.
        #
        # offer           setting   answer, server_no_context_takeover   answer, client_no_context_takeover
        # -------------   -------   ----------------------------------   ----------------------------------
        # absent          False     -                                    -
        # absent          True      -                                    parameter
        # without value   any       parameter                            parameter
        # with value      any       offer declined                       offer declined
        server_no_context_takeover = False
        if "server_no_context_takeover" in offered:
            if offered.pop("server_no_context_takeover") is not None:
                return None
            server_no_context_takeover = True
        client_no_context_takeover = self.client_no_context_takeover
        if "client_no_context_takeover" in offered:
            if offered.pop("client_no_context_takeover") is not None:
                return None
            client_no_context_takeover = True

        # RFC 7692 §7.1.2.1. The client limits the server. What the server uses may be less, and need not be said: the
        # limit only tells the client what it must be able to inflate.
        #
        # offer, server_max_window_bits   answer
        # -----------------------------   ---------------------------------------
        # absent                          -
        # 9 to 15                         the same
        # 8                               offer declined: zlib cannot compress so
        # without value, other value      offer declined
        server_bits = None
        if "server_max_window_bits" in offered:
            server_bits = _WINDOW_BITS.get(offered.pop("server_max_window_bits") or "", 0)
            if server_bits < _MIN_WINDOW_BITS:
                return None

        # RFC 7692 §7.1.2.2. The client lets the server limit it, perhaps tells a limit that it keeps anyway.
        #
        # offer, client_max_window_bits   setting   answer
        # -----------------------------   -------   --------------------------------------------
        # absent                          any       -: the server must not limit, and inflates with 15
        # without value                   15        -
        # without value                   9 to 14   setting
        # 8 to 15                         any       smaller of both
        # other value                     any       offer declined
        client_bits = None
        if "client_max_window_bits" in offered:
            value = offered.pop("client_max_window_bits")
            if value is not None:
                if value not in _WINDOW_BITS:
                    return None
                client_bits = min(_WINDOW_BITS[value], self.client_max_window_bits)
            elif self.client_max_window_bits < _MAX_WINDOW_BITS:
                client_bits = self.client_max_window_bits

        if offered:
            return None
        return _agreement(server_no_context_takeover, client_no_context_takeover, server_bits, client_bits)


class Deflate:
    """Compresses and inflates the messages of one connection, on the server's side.

    After an exception it is of no further use.

    Args:
        agreement: What was agreed on with the client.
        settings: The server's settings.

    Attributes:
        threshold: Length in bytes from which messages should be compressed.
    """

    __slots__ = (
        "_agreement",
        "_begun",
        "_compressor",
        "_drops_compressor",
        "_drops_inflater",
        "_fed",
        "_inflater",
        "_settings",
        "_stream_ends",
        "threshold",
    )

    def __init__(self, agreement: DeflateAgreement, settings: PerMessageDeflate) -> None:
        self._agreement = agreement
        self._settings = settings
        self._compressor: _Compressor | None = None
        # None: the next byte starts a new stream.
        self._inflater: _Inflater | None = None
        # Data of an unfinished message has been inflated.
        self._begun = False
        # Compressed bytes of that message in the pieces before this one, and how many streams have ended in it.
        self._fed = 0
        self._stream_ends = 0
        self._drops_compressor = agreement.server_no_context_takeover or settings.server_no_context_takeover
        self._drops_inflater = agreement.client_no_context_takeover
        if settings.threshold is not None:
            self.threshold = settings.threshold
        else:
            self.threshold = _THRESHOLD_WITHOUT_CONTEXT if self._drops_compressor else _THRESHOLD

    def compress(self, payload: bytes) -> bytes:
        """Return a whole message compressed, ready for one frame with RSV1 (RFC 7692 §7.2.1)."""
        if not payload:
            return _EMPTY
        compressor = self._compressor
        if compressor is None:
            compressor = self._new_compressor()
        return compressor.compress(payload) + compressor.flush(zlib.Z_SYNC_FLUSH)[:-4]

    def _new_compressor(self) -> _Compressor:
        settings = self._settings
        bits = min(self._agreement.server_max_window_bits or _MAX_WINDOW_BITS, settings.server_max_window_bits)
        compressor = _make_compressor(settings.level, bits, settings.memory_level)
        if not self._drops_compressor:
            self._compressor = compressor
        return compressor

    def decompress(self, data: bytes, fin: bool, max_size: int) -> bytes:
        """Inflate the next piece of a message (RFC 7692 §7.2.2), cut anywhere.

        No more than ``max_size`` and 32 KiB are inflated before an excess is noticed.

        Args:
            data: The piece.
            fin: The message ends with it.
            max_size: Length in bytes that the rest of the message may have, inflated.

        Raises:
            DeflateError: The data is invalid.
            InflatedTooLarge: The message is longer than allowed.
        """
        if not 0 < len(data) <= _INPUT_PIECE:
            return self._decompress_long(data, fin, max_size)
        # What nearly all pieces are, and whole messages too. Appending the tail is faster than a second call.
        inflater = self._inflater or self._new_inflater()
        try:
            inflated = inflater.decompress(data + _TAIL if fin else data, _OUTPUT_PIECE)
        except zlib.error:
            raise DeflateError(_INVALID) from None
        if len(inflated) > max_size:
            raise InflatedTooLarge
        if len(inflated) == _OUTPUT_PIECE or inflater.eof:
            parts = [inflated]
            end = self._fed + len(data) + (len(_TAIL) if fin else 0)
            rest = self._find_rest(inflater, fin, end)
            if rest is not None:
                self._inflate(rest, fin, max_size - len(inflated), parts, end)
            inflated = b"".join(parts)
            if fin:
                self._stream_ends = 0
        if not fin:
            self._begun = True
            self._fed += len(data)
        elif self._begun or self._drops_inflater:
            self._end_message()
        return inflated

    def _decompress_long(self, data: bytes, fin: bool, max_size: int) -> bytes:
        """Inflate a piece that is long, or empty."""
        parts: list[bytes] = []
        start = 0
        end = self._fed
        if data:
            self._begun = True
            view = memoryview(data)
            # The tail is appended to the last part.
            stop = len(data) - _INPUT_PIECE if fin else len(data)
            while start < stop:
                piece = view[start : start + _INPUT_PIECE]
                end += len(piece)
                max_size = self._inflate(piece, False, max_size, parts, end)
                start += _INPUT_PIECE
        if fin:
            # A message without any data is empty, although its sender should have made it one byte (RFC 7692 §7.2.3.6);
            # one that ended with a final block is complete, although that byte should have followed it (§7.2.3.4).
            if data or (self._begun and self._inflater is not None):
                last = data[start:] + _TAIL
                self._inflate(last, True, max_size, parts, end + len(last))
            self._end_message()
        else:
            self._fed = end
        return b"".join(parts)

    def _end_message(self) -> None:
        self._begun = False
        self._fed = self._stream_ends = 0
        if self._drops_inflater:
            self._inflater = None

    def _inflate(self, piece: bytes | memoryview, last: bool, allowed: int, parts: list[bytes], end: int) -> int:
        """Inflate ``piece``, the end of a message with its tail if ``last``; return what is left of ``allowed``.

        ``end`` bytes of the message have been fed with it, including the tail.
        """
        rest: bytes | memoryview | None = piece
        while rest is not None:
            inflater = self._inflater or self._new_inflater()
            try:
                inflated = inflater.decompress(rest, _OUTPUT_PIECE)
            except zlib.error:
                raise DeflateError(_INVALID) from None
            if inflated:
                allowed -= len(inflated)
                if allowed < 0:
                    raise InflatedTooLarge
                parts.append(inflated)
            if len(inflated) < _OUTPUT_PIECE and not inflater.eof:
                break
            rest = self._find_rest(inflater, last, end)
        return allowed

    def _find_rest(self, inflater: _Inflater, last: bool, end: int) -> bytes | None:
        """Return what is still to be inflated of a piece, after its output was full or a stream has ended."""
        if not inflater.eof:
            # Perhaps empty, with output still to come: the copy that the last bytes asked for may not have fitted.
            return inflater.unconsumed_tail
        # RFC 7692 §7.2.3.4: a block may be marked as the final one; what follows is another stream.
        self._inflater = None
        rest = inflater.unused_data
        self._stream_ends += 1
        if self._stream_ends > _FREE_STREAM_ENDS + (end - len(rest)) // _BYTES_PER_STREAM_END:
            raise DeflateError("compressed data has too many final blocks")
        if not last:
            return rest or None
        if len(rest) < len(_TAIL):
            raise DeflateError("compressed data ends within a block")
        return rest if len(rest) > len(_TAIL) else None

    def _new_inflater(self) -> _Inflater:
        # Node.js compresses with 9 bits where 8 were agreed on.
        bits = max(self._agreement.client_max_window_bits or _MAX_WINDOW_BITS, _MIN_WINDOW_BITS)
        self._inflater = inflater = zlib.decompressobj(-bits)
        return inflater
