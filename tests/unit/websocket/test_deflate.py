import random
import time
import tracemalloc
import zlib
from collections.abc import Callable, Iterator
from importlib import import_module
from importlib.util import find_spec
from itertools import pairwise, product
from typing import Any, Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from websockets.exceptions import NegotiationError
from websockets.extensions.permessage_deflate import (
    ClientPerMessageDeflateFactory,
    ServerPerMessageDeflateFactory,
)
from websockets.extensions.permessage_deflate import (
    PerMessageDeflate as Peer,
)
from websockets.frames import Frame, Opcode

from asgi_upgrade.http.headers import ExtensionOffer, parse_extensions
from asgi_upgrade.websocket import deflate
from asgi_upgrade.websocket.deflate import (
    Deflate,
    DeflateAgreement,
    DeflateError,
    InflatedTooLarge,
    PerMessageDeflate,
)

TAIL = b"\x00\x00\xff\xff"
MEBIBYTE = 1024 * 1024
PLENTY = 64 * MEBIBYTE

# "Hello" from RFC 7692 §7.2.3: fixed codes, a block without compression, a final block, and that block by itself.
HELLO = bytes.fromhex("f248cdc9c90700")
HELLO_AGAIN = bytes.fromhex("f200110000")
HELLO_STORED = bytes.fromhex("000500faff48656c6c6f00")
HELLO_FINAL = bytes.fromhex("f348cdc9c9070000")
HELLO_TWO_BLOCKS = bytes.fromhex("f248050000 00ffffcac9c90700")


def negotiate(offers: str, **options: Any) -> str | None:
    """The answer to a field with ``offers``."""
    agreement = PerMessageDeflate(**options).negotiate(parse_extensions([offers.encode()]))
    return None if agreement is None else agreement.header


def agree(offer: str = "permessage-deflate; client_max_window_bits", **options: Any) -> Deflate:
    """The codec for an offer that is accepted."""
    settings_ = PerMessageDeflate(**options)
    agreement = settings_.negotiate(parse_extensions([offer.encode()]))
    assert agreement is not None
    return Deflate(agreement, settings_)


def compress(payload: bytes, bits: int = 12) -> bytes:
    """A message as an independent client sends it, without context."""
    codec = zlib.compressobj(6, zlib.DEFLATED, -bits)
    return (codec.compress(payload) + codec.flush(zlib.Z_SYNC_FLUSH))[:-4]


def cut(data: bytes, size: int) -> list[bytes]:
    """``data`` in pieces of ``size``."""
    return [data[start : start + size] for start in range(0, len(data), size)]


def stored(size: int) -> bytes:
    """A final block without compression, of zeros, that takes ``size`` bytes."""
    length = size - 5
    return b"\x01" + length.to_bytes(2, "little") + (length ^ 0xFFFF).to_bytes(2, "little") + bytes(length)


def inflate(codec: Deflate, pieces: list[bytes], max_size: int = PLENTY) -> bytes:
    """A message that arrives in ``pieces``."""
    message = b""
    for piece in pieces[:-1]:
        message += codec.decompress(piece, False, max_size - len(message))
    return message + codec.decompress(pieces[-1], True, max_size - len(message))


def inflate_windowed(codec: Any, data: bytes) -> bytes:
    """Inflate a message in the smallest steps, so that zlib has no more history at hand than its window."""
    message = b""
    rest = data + TAIL
    while True:
        step: bytes = codec.decompress(rest, 1)
        message += step
        rest = codec.unconsumed_tail
        if not step:
            return message


def text(size: int, seed: int = 7692) -> bytes:
    """Words in random order: compressible, and with matches at every distance."""
    source = random.Random(seed)
    words = [source.randbytes(source.randrange(2, 9)).hex().encode() for _ in range(300)]
    pieces: list[bytes] = []
    length = 0
    while length < size:
        pieces.append(source.choice(words))
        length += len(pieces[-1]) + 1
    return b" ".join(pieces)[:size]


MESSAGES = [
    b"Hello",
    b"",
    b"Hello",
    b"",
    b"",
    b"a",
    text(100),
    text(1024),
    text(1024),
    text(5000, 1),
    bytes(32767),
    bytes(32768),
    bytes(32769),
    text(70_000),
    random.Random(1).randbytes(513),
    random.Random(2).randbytes(40_000),
    b"\x00",
    TAIL,
    b"the end",
]


@pytest.fixture(params=["zlib"] if deflate._isal is None else ["zlib", "isal"])
def compressor(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Run with each compressor that is installed."""
    if request.param == "zlib":
        monkeypatch.setattr(deflate, "_isal", None)
    name: str = request.param
    return name


@pytest.fixture
def allocated() -> Iterator[Callable[[], int]]:
    """A function that tells how many bytes were allocated, zlib's included, since it was called last, at the peak."""

    def measure() -> int:
        current, peak = tracemalloc.get_traced_memory()
        difference = peak - start[0]
        tracemalloc.reset_peak()
        start[0] = current
        return difference

    tracemalloc.start()
    start = [tracemalloc.get_traced_memory()[0]]
    yield measure
    tracemalloc.stop()


@pytest.fixture(scope="module")
def bomb() -> bytes:
    """A message of 32 KB that inflates to 32 MiB."""
    codec = zlib.compressobj(9, zlib.DEFLATED, -15)
    message = b"".join(codec.compress(bytes(MEBIBYTE)) for _ in range(32)) + codec.flush(zlib.Z_SYNC_FLUSH)[:-4]
    assert len(message) < 33_000
    return message


class TestSettings:
    @pytest.mark.parametrize(
        ("name", "values"),
        [
            ("server_no_context_takeover", [0, 1, None, "true"]),
            ("client_no_context_takeover", [0, 1, None, "true"]),
            ("server_max_window_bits", [8, 16, 0, -12, 12.0, "12", None, True]),
            ("client_max_window_bits", [8, 16, 0, -12, 12.0, "12", None, True]),
            ("level", [0, 10, -1, 1.0, "1", None, True]),
            ("memory_level", [0, 10, -1, 1.0, "1", None, True]),
            ("threshold", [-1, 1.0, "1", True]),
        ],
    )
    def test_out_of_range(self, name: str, values: list[object]) -> None:
        for value in values:
            options: dict[str, Any] = {name: value}
            with pytest.raises(ValueError, match=rf"^PerMessageDeflate\.{name} must be .*, not {value!r}$"):
                PerMessageDeflate(**options)

    @pytest.mark.parametrize(
        ("name", "values"),
        [
            ("server_no_context_takeover", [False, True]),
            ("client_no_context_takeover", [False, True]),
            ("server_max_window_bits", range(9, 16)),
            ("client_max_window_bits", range(9, 16)),
            ("level", range(1, 10)),
            ("memory_level", range(1, 10)),
            ("threshold", [None, 0, 1, 10**9]),
        ],
    )
    def test_whole_range_works(self, compressor: str, name: str, values: list[object]) -> None:
        for value in values:
            options: dict[str, Any] = {name: value}
            codec = agree(**options)
            message = text(10_000)
            compressed = codec.compress(message)
            assert codec.decompress(compressed, True, 10_000) == message
            assert len(compressed) < 6000

    @pytest.mark.parametrize(
        ("offer", "options", "threshold"),
        [
            ("permessage-deflate", {}, 128),
            ("permessage-deflate; client_no_context_takeover", {}, 128),
            ("permessage-deflate; server_no_context_takeover", {}, 512),
            ("permessage-deflate", {"server_no_context_takeover": True}, 512),
            ("permessage-deflate", {"threshold": 0}, 0),
            ("permessage-deflate; server_no_context_takeover", {"threshold": 1}, 1),
        ],
    )
    def test_threshold(self, offer: str, options: dict[str, Any], threshold: int) -> None:
        assert agree(offer, **options).threshold == threshold


OFFER = "permessage-deflate"
NOTHING: dict[str, Any] = {"server_max_window_bits": 15, "client_max_window_bits": 15}


class TestNegotiation:
    def test_a_parameter_that_was_not_named_is_not_answered(self) -> None:
        """Netty 4.1.48 takes none, though RFC 7692 §7.1.1.1 and §7.1.2.1 allow these two."""
        assert negotiate(OFFER) == OFFER
        assert negotiate(OFFER, server_no_context_takeover=True, server_max_window_bits=9) == OFFER

    @pytest.mark.parametrize("name", ["server_no_context_takeover", "client_no_context_takeover"])
    @pytest.mark.parametrize(
        ("offered", "setting", "answered"),
        [
            (None, False, ""),
            ("; {}", False, "; {}"),
            ("; {}", True, "; {}"),
            ("; {}=1", False, None),
            ("; {}=true", True, None),
            ('; {}="x"', True, None),
            ("; {}; {}", False, None),
            ("; {}; {}", True, None),
        ],
    )
    def test_context_takeover(self, name: str, offered: str | None, setting: bool, answered: str | None) -> None:
        expected = None if answered is None else OFFER + answered.replace("{}", name)
        assert negotiate(OFFER + (offered or "").replace("{}", name), **{**NOTHING, name: setting}) == expected

    def test_clients_are_told_to_compress_each_message_by_itself(self) -> None:
        answer = f"{OFFER}; client_no_context_takeover"
        assert negotiate(OFFER, client_no_context_takeover=True) == answer

    @pytest.mark.parametrize(
        ("offered", "setting", "answered"),
        [
            ("", 15, ""),
            ("", 14, ""),
            ("", 9, ""),
            ("; server_max_window_bits=15", 15, "; server_max_window_bits=15"),
            ("; server_max_window_bits=15", 12, "; server_max_window_bits=15"),
            ("; server_max_window_bits=12", 12, "; server_max_window_bits=12"),
            ("; server_max_window_bits=10", 12, "; server_max_window_bits=10"),
            ("; server_max_window_bits=9", 15, "; server_max_window_bits=9"),
            ('; server_max_window_bits="9"', 15, "; server_max_window_bits=9"),
            ("; server_max_window_bits=8", 15, None),
            ("; server_max_window_bits=8", 9, None),
            ("; server_max_window_bits", 15, None),
            ("; server_max_window_bits=10; server_max_window_bits=10", 15, None),
            ("; server_max_window_bits=10; server_max_window_bits", 15, None),
        ],
    )
    def test_server_window(self, offered: str, setting: int, answered: str | None) -> None:
        expected = None if answered is None else OFFER + answered
        assert negotiate(OFFER + offered, **{**NOTHING, "server_max_window_bits": setting}) == expected

    @pytest.mark.parametrize(
        ("offered", "setting", "answered"),
        [
            ("", 15, ""),
            ("", 9, ""),
            ("; client_max_window_bits", 15, ""),
            ("; client_max_window_bits", 12, "; client_max_window_bits=12"),
            ("; client_max_window_bits", 9, "; client_max_window_bits=9"),
            ("; client_max_window_bits=15", 15, "; client_max_window_bits=15"),
            ("; client_max_window_bits=15", 12, "; client_max_window_bits=12"),
            ("; client_max_window_bits=10", 12, "; client_max_window_bits=10"),
            ("; client_max_window_bits=8", 15, "; client_max_window_bits=8"),
            ("; client_max_window_bits=8", 9, "; client_max_window_bits=8"),
            ('; client_max_window_bits="11"', 15, "; client_max_window_bits=11"),
            ("; client_max_window_bits; client_max_window_bits", 15, None),
            ("; client_max_window_bits; client_max_window_bits=10", 15, None),
        ],
    )
    def test_client_window(self, offered: str, setting: int, answered: str | None) -> None:
        expected = None if answered is None else OFFER + answered
        assert negotiate(OFFER + offered, **{**NOTHING, "client_max_window_bits": setting}) == expected

    @pytest.mark.parametrize("name", ["server_max_window_bits", "client_max_window_bits"])
    @pytest.mark.parametrize(
        "value", ["0", "7", "16", "010", "09", "+10", "-10", "1_0", "10.0", "0xa", "1e1", "ten", "255", "99999999999"]
    )
    def test_malformed_window(self, name: str, value: str) -> None:
        assert negotiate(f"{OFFER}; {name}={value}") is None
        assert negotiate(f'{OFFER}; {name}="{value}"') is None

    def test_values_that_no_parser_lets_through(self) -> None:
        for value in ["", " 10", "10 ", "\u0661\u0660", "1\x000"]:
            for name in ["server_max_window_bits", "client_max_window_bits"]:
                assert PerMessageDeflate().negotiate([ExtensionOffer(OFFER, ((name, value),))]) is None

    @pytest.mark.parametrize(
        "offer",
        [
            "permessage-deflate; x",
            "permessage-deflate; server_max_windows_bits=10",
            "permessage-deflate; Server_Max_Window_Bits=10",
            "permessage-deflate; client_no_context_takeover; mode=fast",
            "permessage-bzip2",
            "x-webkit-deflate-frame",
            "permessage-deflate2",
            "PerMessage-Deflate",
            "foo; permessage-deflate",
        ],
    )
    def test_unknown(self, offer: str) -> None:
        assert negotiate(offer) is None

    @pytest.mark.parametrize(
        ("offers", "answered"),
        [
            ("", None),
            ("foo, bar; baz", None),
            ("foo, permessage-deflate, bar", ""),
            ("permessage-deflate; server_max_window_bits=8, permessage-deflate", ""),
            (
                "permessage-deflate; x, permessage-deflate; server_max_window_bits=10",
                "; server_max_window_bits=10",
            ),
            (
                "permessage-deflate; server_max_window_bits=11, permessage-deflate; server_no_context_takeover",
                "; server_max_window_bits=11",
            ),
            (
                "permessage-deflate; server_no_context_takeover=0, permessage-deflate; client_no_context_takeover",
                "; client_no_context_takeover",
            ),
            (
                "permessage-deflate; x; x, permessage-deflate; client_max_window_bits=77, permessage-deflate",
                "",
            ),
            ("permessage-deflate; x, permessage-deflate; server_max_window_bits=8", None),
        ],
    )
    def test_several_offers(self, offers: str, answered: str | None) -> None:
        assert negotiate(offers, **NOTHING) == (None if answered is None else OFFER + answered)

    def test_everything_at_once(self) -> None:
        offer = (
            "permessage-deflate; client_max_window_bits; server_max_window_bits=11; client_no_context_takeover; "
            "server_no_context_takeover"
        )
        assert negotiate(offer) == (
            "permessage-deflate; server_no_context_takeover; client_no_context_takeover; server_max_window_bits=11; "
            "client_max_window_bits=12"
        )

    @pytest.mark.parametrize("server_bits", [None, 8, 9, 12, 15])
    @pytest.mark.parametrize("client_bits", [None, True, 8, 9, 12, 15])
    def test_as_another_server(self, server_bits: int | None, client_bits: int | Literal[True] | None) -> None:
        """The `websockets` package accepts the same offers, with the same answers but for what concerns the server."""
        switches = (False, True)
        for takeovers, own, server_limit, client_limit in product(
            product(switches, switches), product(switches, switches), (9, 12, 15), (9, 12, 15)
        ):
            parameters: list[tuple[str, str | None]] = []
            if takeovers[0]:
                parameters.append(("server_no_context_takeover", None))
            if takeovers[1]:
                parameters.append(("client_no_context_takeover", None))
            if server_bits is not None:
                parameters.append(("server_max_window_bits", str(server_bits)))
            if client_bits is not None:
                parameters.append(("client_max_window_bits", None if client_bits is True else str(client_bits)))
            peer = ServerPerMessageDeflateFactory(
                *own,
                None if server_limit == 15 else server_limit,
                None if client_limit == 15 else client_limit,
            )
            agreement = PerMessageDeflate(*own, server_limit, client_limit).negotiate(
                [ExtensionOffer(OFFER, tuple(parameters))]
            )
            if server_bits == 8:
                # That package asserts instead of declining where it has no limit of its own.
                assert agreement is None
                continue
            answer, _ = peer.process_request_params(parameters, [])
            assert agreement is not None
            # That package also says what a client need not know, and has not asked for: what it does itself.
            named = dict(parameters)
            expected = [
                (name, named[name] if name == "server_max_window_bits" else value)
                for name, value in answer
                if name in named or name.startswith("client_")
            ]
            assert agreement.header == str(ExtensionOffer(OFFER, tuple(expected)))

    parameters = st.lists(
        st.tuples(
            st.sampled_from(
                [
                    "server_no_context_takeover",
                    "client_no_context_takeover",
                    "server_max_window_bits",
                    "client_max_window_bits",
                    "x",
                ]
            ),
            st.one_of(st.none(), st.integers(0, 17).map(str), st.sampled_from(["", "010", "x"])),
        ),
        max_size=4,
    )

    @given(
        offers=st.lists(
            st.builds(ExtensionOffer, st.sampled_from([OFFER, OFFER, "x"]), parameters.map(tuple)), max_size=3
        ),
        own=st.builds(PerMessageDeflate, st.booleans(), st.booleans(), st.integers(9, 15), st.integers(9, 15)),
    )
    def test_answer_fits_an_offer(self, offers: list[ExtensionOffer], own: PerMessageDeflate) -> None:
        """The first offer that the rules of another implementation accept is the one that is answered."""
        agreement = own.negotiate(offers)
        for offer in offers:
            values = dict(offer.parameters)
            if offer.name != OFFER or values.get("server_max_window_bits") == "8":
                continue
            try:
                ServerPerMessageDeflateFactory().process_request_params(list(offer.parameters), [])
            except NegotiationError:
                continue
            assert agreement is not None
            # RFC 7692 §7.1: what a client may check.
            if "server_no_context_takeover" in values:
                assert agreement.server_no_context_takeover
            if "client_no_context_takeover" in values:
                assert agreement.client_no_context_takeover
            limit = values.get("server_max_window_bits")
            if limit is not None:
                assert agreement.server_max_window_bits is not None
                assert agreement.server_max_window_bits <= int(limit)
            else:
                assert agreement.server_max_window_bits is None
            if "client_max_window_bits" in values:
                assert (agreement.client_max_window_bits or 15) <= int(values["client_max_window_bits"] or 15)
                assert (agreement.client_max_window_bits or 15) <= own.client_max_window_bits
            else:
                assert agreement.client_max_window_bits is None
            break
        else:
            assert agreement is None


def open_peer(factory: ClientPerMessageDeflateFactory, own: PerMessageDeflate) -> tuple[Peer, Deflate]:
    """Both ends of a connection, after the handshake between them."""
    request = ExtensionOffer(OFFER, tuple(factory.get_request_params()))
    agreement = own.negotiate(parse_extensions([str(request).encode()]))
    assert agreement is not None
    (answer,) = parse_extensions([agreement.header.encode()])
    return factory.process_response_params(list(answer.parameters), []), Deflate(agreement, own)


class TestAgainstAnotherClient:
    @pytest.mark.parametrize("offered_server_bits", [None, 9, 11, 15])
    @pytest.mark.parametrize("offered_client_bits", [None, True, 9, 11, 15])
    @pytest.mark.parametrize("offered_takeovers", [(False, False), (False, True), (True, False), (True, True)])
    def test_round_trips(
        self,
        compressor: str,
        offered_server_bits: int | None,
        offered_client_bits: int | Literal[True] | None,
        offered_takeovers: tuple[bool, bool],
    ) -> None:
        for server, client, bits in product((False, True), (False, True), (9, 12, 15)):
            peer, codec = open_peer(
                ClientPerMessageDeflateFactory(*offered_takeovers, offered_server_bits, offered_client_bits),
                PerMessageDeflate(server, client, bits, bits),
            )
            for message in [b"Hello", b"", text(600), text(600), text(3000), b"", b"Hello"]:
                frame = Frame(Opcode.BINARY, codec.compress(message), rsv1=True)
                assert bytes(peer.decode(frame).data) == message
                frame = peer.encode(Frame(Opcode.BINARY, message))
                assert codec.decompress(bytes(frame.data), True, len(message)) == message

    @pytest.mark.parametrize("server_takeover", [False, True])
    @pytest.mark.parametrize("client_takeover", [False, True])
    def test_all_messages(self, compressor: str, server_takeover: bool, client_takeover: bool) -> None:
        peer, codec = open_peer(
            ClientPerMessageDeflateFactory(), PerMessageDeflate(not server_takeover, not client_takeover)
        )
        for message in MESSAGES:
            frame = Frame(Opcode.BINARY, codec.compress(message), rsv1=True)
            assert bytes(peer.decode(frame).data) == message
            frame = peer.encode(Frame(Opcode.BINARY, message))
            assert codec.decompress(bytes(frame.data), True, len(message)) == message

    @pytest.mark.parametrize("client_takeover", [False, True])
    def test_fragments(self, client_takeover: bool) -> None:
        """A client that flushes at the end of each fragment (RFC 7692 §7.2.1)."""
        peer, codec = open_peer(
            ClientPerMessageDeflateFactory(), PerMessageDeflate(client_no_context_takeover=not client_takeover)
        )
        for message in MESSAGES:
            fragments = [*cut(message, 999), b""]
            pieces = [
                bytes(
                    peer.encode(
                        Frame(Opcode.CONT if number else Opcode.TEXT, fragment, fin=number == len(fragments) - 1)
                    ).data
                )
                for number, fragment in enumerate(fragments)
            ]
            assert inflate(codec, pieces, len(message)) == message

    @settings(deadline=None, max_examples=50)
    @given(
        messages=st.lists(st.binary(max_size=2000), max_size=8), options=st.tuples(*[st.booleans()] * 2), data=st.data()
    )
    def test_any_messages(self, messages: list[bytes], options: tuple[bool, bool], data: st.DataObject) -> None:
        peer, codec = open_peer(ClientPerMessageDeflateFactory(), PerMessageDeflate(*options))
        for message in messages:
            frame = Frame(Opcode.BINARY, codec.compress(message), rsv1=True)
            assert bytes(peer.decode(frame).data) == message
            compressed = bytes(peer.encode(Frame(Opcode.BINARY, message)).data)
            cuts = sorted(data.draw(st.lists(st.integers(0, len(compressed)), max_size=4)))
            pieces = [compressed[start:stop] for start, stop in pairwise([0, *cuts, len(compressed)])]
            assert inflate(codec, pieces, len(message)) == message


class TestCompression:
    def test_no_tail(self, compressor: str) -> None:
        codec = agree()
        for message in MESSAGES:
            compressed = codec.compress(message)
            assert not compressed.endswith(TAIL)
            assert compressed

    def test_empty_message(self, compressor: str) -> None:
        codec = agree()
        assert codec.compress(b"") == b"\x00"  # RFC 7692 §7.2.3.6
        codec.compress(text(100))
        assert codec.compress(b"") == b"\x00"

    def test_context_is_kept(self, compressor: str) -> None:
        codec = agree()
        message = random.Random(3).randbytes(1000)
        assert len(codec.compress(message)) > 1000
        assert len(codec.compress(message)) < 50

    def test_context_is_dropped(self, compressor: str) -> None:
        for codec in (agree(server_no_context_takeover=True), agree("permessage-deflate; server_no_context_takeover")):
            message = random.Random(3).randbytes(1000)
            first = codec.compress(message)
            assert codec.compress(message) == first

    @pytest.mark.parametrize("bits", range(9, 16))
    def test_window_is_kept_to(self, compressor: str, bits: int) -> None:
        """What is sent can be inflated with the window agreed on."""
        codec = agree(server_max_window_bits=bits)
        inflater = zlib.decompressobj(-bits)
        source = random.Random(bits)
        history = b""
        for number in range(60):
            repeated = source.randrange(len(history)) if history else 0
            message = (
                history[repeated : repeated + 300] + text(source.randrange(1500), number) + history[-(2**bits) :][:200]
            )
            history = (history + message)[-40_000:]
            assert inflate_windowed(inflater, codec.compress(message)) == message

    @pytest.mark.parametrize("offered", [15, 12, 10])
    def test_the_own_window_is_kept_to_if_the_offer_allows_more(
        self, offered: int, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        made: list[int] = []

        def make(level: int, bits: int, memory_level: int) -> Any:
            made.append(bits)
            return zlib.compressobj(level, zlib.DEFLATED, -bits, memory_level)

        monkeypatch.setattr(deflate, "_make_compressor", make)
        agree(f"permessage-deflate; server_max_window_bits={offered}", server_max_window_bits=11).compress(text(1000))
        agree("permessage-deflate", server_max_window_bits=11).compress(text(1000))
        assert made == [min(offered, 11), 11]

    def test_settings_reach_the_compressor(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(deflate, "_isal", None)
        message = text(30_000)
        sizes = [len(agree(level=level, memory_level=8).compress(message)) for level in (1, 6)]
        assert sizes[0] > sizes[1]
        sizes = [len(agree(memory_level=level).compress(message)) for level in (1, 8)]
        assert sizes[0] > sizes[1]
        sizes = [len(agree(server_max_window_bits=bits).compress(message)) for bits in (9, 15)]
        assert sizes[0] > sizes[1]

    def test_which_compressor(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """The other compressor stands in for zlib's first level only."""
        made: list[tuple[int, int, int, int]] = []

        def other(level: int, method: int, wbits: int, mem_level: int, /) -> Any:
            made.append((level, method, wbits, mem_level))
            return zlib.compressobj(level, method, wbits, mem_level)

        monkeypatch.setattr(deflate, "_isal", other)
        for level in range(2, 10):
            agree(level=level).compress(text(1000))
        assert not made
        agree(server_max_window_bits=10).compress(text(1000))
        assert made == [(1, zlib.DEFLATED, -10, 1)]

    @pytest.mark.skipif(find_spec("isal") is None, reason="needs isal")
    def test_isal_is_found(self) -> None:
        message = text(10_000)
        theirs = import_module("isal.isal_zlib").compressobj(1, zlib.DEFLATED, -12, 1)
        compressed = theirs.compress(message) + theirs.flush(zlib.Z_SYNC_FLUSH)
        assert agree().compress(message) == compressed[:-4]
        assert agree(level=2).compress(message) != compressed[:-4]


class TestInflating:
    @pytest.mark.parametrize(
        ("messages", "expected"),
        [
            # RFC 7692 §7.2.3.1 to §7.2.3.6
            ([HELLO], [b"Hello"]),
            ([HELLO, HELLO_AGAIN], [b"Hello", b"Hello"]),
            ([HELLO_STORED], [b"Hello"]),
            ([HELLO_FINAL], [b"Hello"]),
            ([HELLO_TWO_BLOCKS], [b"Hello"]),
            ([b"\x00"], [b""]),
            # Any number of empty blocks, with and without compression.
            ([b"\x00", HELLO, b"\x00", HELLO_AGAIN], [b"", b"Hello", b"", b"Hello"]),
            ([b"\x02\x00", HELLO], [b"", b"Hello"]),
            ([b"\x00" + TAIL + b"\x00" + TAIL + HELLO], [b"Hello"]),
            # A tail that should have been cut off.
            ([HELLO + TAIL + b"\x00"], [b"Hello"]),
            # Final blocks, with and without what should follow them, and several in a message.
            ([HELLO_FINAL, HELLO], [b"Hello", b"Hello"]),
            ([HELLO_FINAL[:-1], HELLO], [b"Hello", b"Hello"]),
            ([HELLO_FINAL[:-1] + HELLO], [b"HelloHello"]),
            ([HELLO_FINAL[:-1] * 2], [b"HelloHello"]),
            ([HELLO_FINAL[:-1] * 2 + b"\x00", HELLO], [b"HelloHello", b"Hello"]),
            ([HELLO + TAIL + HELLO_FINAL[:-1] + HELLO, HELLO_AGAIN], [b"HelloHelloHello", b"Hello"]),
            ([b"\x03\x00", b"\x03\x00\x00", HELLO], [b"", b"", b"Hello"]),
            ([(HELLO_FINAL[:-1] + HELLO_STORED[:-1] * 6) * 2000 + b"\x00", HELLO], [b"Hello" * 14000, b"Hello"]),
            ([HELLO_FINAL[:-1] * 2, HELLO_FINAL[:-1] * 2, HELLO], [b"HelloHello", b"HelloHello", b"Hello"]),
            # Longer than what is inflated in one go.
            ([compress(text(30_000)), HELLO], [text(30_000), b"Hello"]),
            # No byte at all.
            ([b"", HELLO, b"", HELLO_AGAIN], [b"", b"Hello", b"", b"Hello"]),
        ],
    )
    @pytest.mark.parametrize("size", [1, 2, 3, 4, 5, 7, 4095, 4096, 100_000])
    def test_messages(self, messages: list[bytes], expected: list[bytes], size: int) -> None:
        codec = agree()
        assert [inflate(codec, cut(message, size) or [b""]) for message in messages] == expected
        codec = agree()
        assert [inflate(codec, [b"", *cut(message, size), b""]) for message in messages] == expected

    @pytest.mark.parametrize(
        "message",
        [
            b"\x06",  # block of the reserved type
            b"\x07\x00",
            b"\xff\xff\xff\xff",
            b"\x00\x05\x00\x05\x00Hello",  # length and its complement differ
            b"\xf2\x00\x11\x00\x00",  # match before the beginning
            bytes.fromhex("04c0810800000000"),  # incomplete code lengths
            HELLO_FINAL[:-1] + b"\xff\xff",
            HELLO_FINAL[:-1] + b"\x07",
            HELLO + b"\xff" * 10,
            b"not compressed at all",
        ],
    )
    @pytest.mark.parametrize("size", [1, 3, 100])
    def test_invalid(self, message: bytes, size: int) -> None:
        with pytest.raises(DeflateError) as caught:
            inflate(agree(), cut(message, size))
        assert str(caught.value).startswith("compressed data ")

    @pytest.mark.parametrize("block", [b"\x03\x00", b"\x01\x00\x00\xff\xff", HELLO_FINAL[:-1]])
    @pytest.mark.parametrize("size", [1, 3, 100, 4096, 100_000])
    def test_more_final_blocks_than_anybody_needs(self, block: bytes, size: int) -> None:
        """Each may take two bytes, and costs as much as a kilobyte of other data."""
        codec = agree()
        pieces = cut(block * 100_000, size)
        start = time.process_time()
        with pytest.raises(DeflateError, match="too many final blocks"):
            inflate(codec, pieces)
        assert time.process_time() - start < 0.05

    @pytest.mark.parametrize("count", [1, 60, 200])
    @pytest.mark.parametrize("size", [1, 64, 4096, 5000, 100_000])
    @pytest.mark.parametrize("behind", [b"", b"\x00\xc8\x00\x37\xff" + bytes(200) + b"\x00"])
    def test_as_many_final_blocks_as_allowed(self, count: int, size: int, behind: bytes) -> None:
        """Two, and one more for each 64 bytes; what comes behind them does not count."""
        blocks = [b"\x03\x00", b"\x03\x00", stored(60)] + [stored(64)] * (count - 1)
        allowed = b"".join(blocks) + behind
        too_soon = b"".join([*blocks[:-1], stored(len(blocks[-1]) - 1)]) + behind
        expected = bytes(55 + 59 * (count - 1)) + (bytes(200) if behind else b"")
        codec = agree()
        for _ in range(2):
            assert inflate(codec, cut(allowed, size)) == expected
        with pytest.raises(DeflateError, match="too many final blocks"):
            inflate(codec, cut(too_soon, size))

    def test_final_block_at_the_end_of_a_long_piece(self) -> None:
        codec = agree()
        for size in (4096, 8192):
            assert inflate(codec, [stored(size), b""]) == bytes(size - 5)
            assert inflate(codec, [HELLO]) == b"Hello"

    def test_final_block_that_only_the_tail_completes(self) -> None:
        # A final block without compression, of two bytes that are missing.
        for pieces in ([b"\x01\x02\x00\xfd\xff"], [b"\x01\x02\x00", b"\xfd\xff"], [b"\x01\x02\x00\xfd\xff", b""]):
            with pytest.raises(DeflateError, match="ends within a block"):
                inflate(agree(), pieces)

    @pytest.mark.parametrize("message", MESSAGES)
    def test_bytewise(self, message: bytes) -> None:
        codec = agree()
        for _ in range(2):
            assert inflate(codec, cut(compress(message), 1), len(message)) == message

    @pytest.mark.parametrize("message", [text(5000), bytes(33_000), bytes(66_000)])
    def test_what_arrived_is_given_at_once(self, message: bytes) -> None:
        compressed = compress(message)
        for stop in range(len(compressed)):
            expected = zlib.decompressobj(-15).decompress(compressed[:stop])
            assert agree().decompress(compressed[:stop], False, len(message)) == expected

    def test_context_is_kept(self) -> None:
        codec = agree("permessage-deflate")
        assert codec.decompress(HELLO, True, 5) == b"Hello"
        assert codec.decompress(HELLO_AGAIN, True, 5) == b"Hello"

    @pytest.mark.parametrize(
        "pieces", [[HELLO], [HELLO, b""], cut(HELLO, 1), [HELLO + TAIL + (b"\x00" + TAIL) * 1000 + b"\x00"]]
    )
    def test_context_is_dropped(self, pieces: list[bytes]) -> None:
        codec = agree("permessage-deflate; client_no_context_takeover")
        assert inflate(codec, pieces) == b"Hello"
        with pytest.raises(DeflateError):
            codec.decompress(HELLO_AGAIN, True, 5)

    @pytest.mark.parametrize(
        ("offer", "bits"),
        [
            ("permessage-deflate", 15),
            ("permessage-deflate; client_max_window_bits", 12),
            ("permessage-deflate; client_max_window_bits=10", 10),
            ("permessage-deflate; client_max_window_bits=8", 9),
        ],
    )
    def test_window(self, offer: str, bits: int) -> None:
        """The inflater has the window that was agreed on, and no more."""
        source = random.Random(bits)
        first, second = source.randbytes(100), source.randbytes(100)
        codec = zlib.compressobj(9, zlib.DEFLATED, -15)
        server = agree(offer)

        def send(message: bytes) -> int:
            compressed = (codec.compress(message) + codec.flush(zlib.Z_SYNC_FLUSH))[:-4]
            assert server.decompress(compressed, True, len(message)) == message
            return len(compressed)

        send(first)
        send(source.randbytes(min(2**bits - 200, 32_000)))
        assert send(first) < 20
        if bits < 15:
            send(second)
            send(bytes(2**bits))
            with pytest.raises(DeflateError):
                send(second)


class TestLimits:
    @pytest.mark.parametrize("size", [0, 1, 5, 4096, 32767, 32768, 32769, 65536, 100_000])
    @pytest.mark.parametrize("piece", [1, 1000, 10_000_000])
    @pytest.mark.parametrize("content", ["zeros", "words", "random"])
    def test_exact(self, size: int, piece: int, content: str) -> None:
        contents: dict[str, Callable[[int], bytes]] = {
            "zeros": bytes,
            "words": text,
            "random": random.Random(4).randbytes,
        }
        message = contents[content](size)
        compressed = compress(message)
        assert inflate(agree(), cut(compressed, piece), size) == message
        if size:
            with pytest.raises(InflatedTooLarge):
                inflate(agree(), cut(compressed, piece), size - 1)
            with pytest.raises(InflatedTooLarge):
                inflate(agree(), cut(compressed, piece), 0)

    @pytest.mark.parametrize("allowed", [0, 1000, MEBIBYTE])
    @pytest.mark.parametrize("piece", [500, 5000, PLENTY])
    @pytest.mark.parametrize("fin", [False, True])
    def test_bomb(self, bomb: bytes, allocated: Callable[[], int], allowed: int, piece: int, fin: bool) -> None:
        """A bomb takes the allowance and a little."""
        pieces = cut(bomb, piece)
        server = agree("permessage-deflate")
        received: list[bytes] = []

        def receive() -> None:
            for number, data in enumerate(pieces):
                last = fin and number == len(pieces) - 1
                received.append(server.decompress(data, last, allowed - sum(map(len, received))))

        allocated()
        with pytest.raises(InflatedTooLarge):
            receive()
        assert sum(map(len, received)) <= allowed
        # Besides: the inflater (40 KiB), and pieces of a message that are joined while their sum is delivered.
        joined = max(map(len, received), default=0)
        assert allocated() <= allowed + joined + 128 * 1024

    def test_memory_between_messages(self, allocated: Callable[[], int], monkeypatch: pytest.MonkeyPatch) -> None:
        """Nothing is allocated before the first message, and nothing is kept without context takeover."""
        monkeypatch.setattr(deflate, "_isal", None)
        message, compressed = text(1000), compress(text(1000))
        own = PerMessageDeflate()
        dropping = PerMessageDeflate(server_no_context_takeover=True, client_no_context_takeover=True)
        offers = parse_extensions([b"permessage-deflate; client_max_window_bits"])
        agreements = own.negotiate(offers), dropping.negotiate(offers)
        assert agreements[0] is not None
        assert agreements[1] is not None
        codec = Deflate(agreements[0], own)
        stateless = Deflate(agreements[1], dropping)
        stateless.compress(message)
        stateless.decompress(compressed, True, 1000)

        def grow(action: Callable[[], object]) -> int:
            before = tracemalloc.get_traced_memory()[0]
            kept.append(action())
            return tracemalloc.get_traced_memory()[0] - before

        kept: list[object] = []
        assert grow(lambda: Deflate(agreements[0], own) if agreements[0] else None) < 1000
        assert grow(lambda: codec.compress(b"") and None) < 1000
        assert 35_000 < grow(lambda: codec.compress(message) and None) < 42_000
        assert 8_000 < grow(lambda: codec.decompress(compressed, True, 1000) and None) < 13_000
        for _ in range(2):
            assert grow(lambda: codec.compress(message) and None) < 1000
            assert grow(lambda: codec.decompress(compressed, True, 1000) and None) < 1000
            assert grow(lambda: stateless.compress(message) and None) < 1000
            assert grow(lambda: stateless.decompress(compressed, True, 1000) and None) < 1000
            assert grow(lambda: inflate(stateless, cut(compressed, 100)) and None) < 1000

    @pytest.mark.parametrize("content", ["stored", "zeros", "final blocks"])
    def test_time_is_linear(self, content: str) -> None:
        """Four times the data takes about four times as long, not sixteen times."""

        def measure(size: int) -> float:
            data = {
                "stored": lambda: compress(random.Random(5).randbytes(size)),
                "zeros": lambda: compress(bytes(8 * size)),
                "final blocks": lambda: (HELLO_FINAL[:-1] + HELLO_STORED[:-1] * 6) * (size // 400) + b"\x00",
            }[content]()
            times = []
            for _ in range(5):
                codec = agree()
                start = time.process_time()
                codec.decompress(data, True, PLENTY)
                times.append(time.process_time() - start)
            return min(times)

        assert measure(2 * MEBIBYTE) < 12 * measure(MEBIBYTE // 2)


def outcome(codec: Deflate, pieces: list[bytes], max_size: int) -> bytes | type[Exception]:
    """What becomes of a message. Any other exception is an error."""
    try:
        return inflate(codec, pieces, max_size)
    except (DeflateError, InflatedTooLarge) as error:
        return type(error)


def damage(data: bytes, position: int, byte: int) -> bytes:
    """``data`` with one byte changed."""
    position %= len(data)
    return data[:position] + bytes([byte]) + data[position + 1 :]


# Arbitrary bytes soon end in an error; parts of valid messages get further.
PARTS = st.one_of(
    st.binary(max_size=20),
    st.sampled_from([HELLO, HELLO_AGAIN, HELLO_STORED, HELLO_FINAL, HELLO_FINAL[:-1], HELLO_TWO_BLOCKS, TAIL, b"\x00"]),
    st.binary(max_size=50).map(compress),
    st.builds(
        damage, st.sampled_from([compress(text(500)), compress(bytes(40_000))]), st.integers(0), st.integers(0, 255)
    ),
)
DATA = st.lists(PARTS, max_size=6).map(b"".join)


class TestFuzz:
    @settings(deadline=None, max_examples=200)
    @given(messages=st.lists(DATA, min_size=1, max_size=3), size=st.integers(1, 60), takeover=st.booleans())
    def test_any_data_cut_anywhere(self, messages: list[bytes], size: int, takeover: bool) -> None:
        whole = agree(client_no_context_takeover=not takeover)
        parts = agree(client_no_context_takeover=not takeover)
        for message in messages:
            expected = outcome(whole, [message], PLENTY)
            assert outcome(parts, [*cut(message, size), b""], PLENTY) == expected
            if isinstance(expected, type):
                assert expected is DeflateError
                break

    @settings(deadline=None, max_examples=200)
    @given(data=DATA, size=st.integers(1, 60), max_size=st.integers(0, 200))
    def test_any_data_within_a_limit(self, data: bytes, size: int, max_size: int) -> None:
        for pieces in ([data], [*cut(data, size), b""]):
            result = outcome(agree(), pieces, max_size)
            if isinstance(result, bytes):
                assert len(result) <= max_size

    @settings(deadline=None)
    @given(data=st.binary(max_size=10_000))
    def test_any_bytes(self, data: bytes) -> None:
        outcome(agree(), [data], MEBIBYTE)


def test_connections_share_an_agreement() -> None:
    offers = parse_extensions([b"permessage-deflate; client_max_window_bits"])
    first, second = (PerMessageDeflate().negotiate(offers) for _ in range(2))
    assert first is not None
    assert first is second


def test_agreement_is_a_value() -> None:
    assert DeflateAgreement().header == "permessage-deflate"
    assert DeflateAgreement(client_max_window_bits=9) == DeflateAgreement(False, False, None, 9)
    offers = parse_extensions([b"permessage-deflate; client_max_window_bits"])
    assert PerMessageDeflate().negotiate(offers) == DeflateAgreement(client_max_window_bits=12)
