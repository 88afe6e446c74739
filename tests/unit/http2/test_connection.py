"""The connection: how it begins, which requests it serves, and what it sends when."""

from __future__ import annotations

import asyncio
import struct
from typing import TYPE_CHECKING, Any

import h2.events
import pytest

from asgi_upgrade.http2.engine import goaway
from asgi_upgrade.http2.server import ServerSide
from tests.unit.http2.clock import timeless
from tests.unit.http2.pair import (
    DATA,
    END_STREAM,
    GOAWAY,
    HEADERS,
    PADDED,
    PING,
    RST_STREAM,
    SETTINGS,
    WINDOW_UPDATE,
    ErrorCodes,
    Pair,
    SettingCodes,
    body,
    frame,
    frames,
    joined,
    start,
    stays,
)

if TYPE_CHECKING:
    from tests.unit.http2.pair import Call

KIBIBYTE = 1024


# How it begins


@timeless
async def test_settings_come_first() -> None:
    async with joined(
        first=True, max_concurrent_streams=7, max_header_size=5000, read_buffer_size=70_000, write_buffer_size=9000
    ) as pair:
        kind, flags, stream_id, payload = frames(bytes(pair.wire.unsent))[0]
        assert (kind, flags, stream_id) == (SETTINGS, 0, 0)
        values = dict(struct.iter_unpack(">HL", payload))
        assert values[SettingCodes.ENABLE_PUSH] == 0
        assert values[SettingCodes.ENABLE_CONNECT_PROTOCOL] == 1
        assert values[SettingCodes.INITIAL_WINDOW_SIZE] == 70_000
        assert values[SettingCodes.MAX_CONCURRENT_STREAMS] == 7
        assert values[SettingCodes.MAX_HEADER_LIST_SIZE] == 5000
        assert pair.wire.high == 9000


@pytest.mark.parametrize(
    ("streams", "size", "grown"), [(100, 65536, 100 * 65536 - 65535), (1, 65536, 1), (1, 65535, 0)]
)
@timeless
async def test_the_connections_window_has_room_for_all_streams(streams: int, size: int, grown: int) -> None:
    async with joined(first=True, max_concurrent_streams=streams, read_buffer_size=size) as pair:
        updates = [each for each in frames(bytes(pair.wire.unsent)) if each[0] == WINDOW_UPDATE]
        assert updates == ([(WINDOW_UPDATE, 0, 0, grown.to_bytes(4, "big"))] if grown else [])


@timeless
async def test_the_request_that_made_the_offer_is_the_first_stream() -> None:
    async with joined(first=True) as pair:
        call = await pair.called()
        assert call.scope["http_version"] == "2"
        assert (call.scope["method"], call.scope["path"], call.scope["query_string"]) == ("GET", "/first", b"a=b")
        assert call.scope["headers"] == [(b"host", b"example.com"), (b"x-first", b"yes")]
        assert set(call.scope["extensions"]) == {"other", "http.response.trailers"}
        assert await call.receive() == {"type": "http.request", "body": b"", "more_body": False}
        await call.respond(201, b"first")
        await pair.settle()
        assert (pair.answers[1].status, pair.answers[1].body, pair.answers[1].ended) == (201, b"first", True)
        assert await call.receive() == {"type": "http.disconnect"}


@timeless
async def test_a_body_that_was_given_is_not_given_again() -> None:
    pair = Pair()
    pair.switch(body_given=True)
    call = await pair.called()
    receiving = asyncio.ensure_future(call.receive())
    assert await stays(receiving)
    await call.respond()
    assert await receiving == {"type": "http.disconnect"}
    call.done()
    pair.protocol.abort()
    await pair.protocol.wait_closed()


@timeless
async def test_no_data_is_sent_before_the_clients_preface() -> None:
    async with joined(first=True) as pair:
        pair.taking = False
        call = await pair.called()
        responding = asyncio.ensure_future(call.respond(200, b"x"))
        assert await stays(responding)
        assert {kind for kind, *_ in frames(bytes(pair.wire.unsent))} == {SETTINGS, WINDOW_UPDATE, HEADERS}
        pair.taking = True
        await pair.settle()
        assert responding.done()
        assert pair.answers[1].body == b"x"


@timeless
async def test_a_full_transport_does_not_hide_that_the_preface_is_missing() -> None:
    async with joined(first=True, write_buffer_size=10) as pair:
        pair.taking = False
        call = await pair.called()
        responding = asyncio.ensure_future(call.respond(200, b"x"))
        assert await stays(responding)
        assert pair.wire.paused
        taken = pair.wire.take()
        assert await stays(responding)
        assert DATA not in {kind for kind, *_ in frames(taken + bytes(pair.wire.unsent))}


@timeless
async def test_settings_of_the_offer_are_in_force_at_once() -> None:
    async with joined(first=True, settings={SettingCodes.INITIAL_WINDOW_SIZE: 5}) as pair:
        pair.grants = False
        call = await pair.called()
        responding = asyncio.ensure_future(call.respond(200, b"0123456789"))
        await pair.settle()
        assert pair.answers[1].body == b"01234"
        assert not responding.done()
        pair.client.increment_flow_control_window(5, 1)
        await pair.settle()
        assert pair.answers[1].body == b"0123456789"
        assert responding.done()


@timeless
async def test_the_preface_may_come_byte_by_byte() -> None:
    async with joined(first=True) as pair:
        for byte in pair.client.data_to_send():
            pair.wire.deliver(bytes([byte]))
        await pair.answer_first()


@timeless
async def test_what_is_no_preface_ends_the_connection() -> None:
    async with joined(first=True) as pair:
        pair.client.clear_outbound_data_buffer()
        pair.wire.deliver(b"GET / HTTP/1.1\r\nHost: example.com\r\n\r\n")
        call = await pair.called()
        assert pair.goaways == [(1, ErrorCodes.PROTOCOL_ERROR)]
        assert len(pair.calls) == 1
        assert await call.receive() == {"type": "http.disconnect"}
        await call.respond()  # nobody takes it
        call.done()
        await pair.settle()


# Requests


@timeless
async def test_a_request_reaches_the_application() -> None:
    async with joined() as pair:
        pair.ask(b"/a%20b?c=d", (b"x-a", b"b"), method=b"PATCH")
        call = await pair.called()
        scope = call.scope
        assert (scope["method"], scope["path"], scope["raw_path"]) == ("PATCH", "/a b", b"/a%20b")
        assert (scope["query_string"], scope["http_version"], scope["type"]) == (b"c=d", "2", "http")
        assert scope["headers"] == [(b"host", b"example.com"), (b"x-a", b"b")]
        assert scope["state"] == {"shared": 1}


@timeless
async def test_each_request_has_its_own_state() -> None:
    async with joined() as pair:
        pair.ask()
        pair.ask()
        one, two = await pair.called(), await pair.called()
        one.scope["state"]["mine"] = 1
        assert "mine" not in two.scope["state"]


@timeless
async def test_requests_are_answered_in_any_order() -> None:
    async with joined() as pair:
        streams = [pair.ask(b"/%d" % number) for number in range(5)]
        calls = [await pair.called() for _ in streams]
        for number in (3, 0, 4, 1, 2):
            await calls[number].respond(200, calls[number].scope["path"].encode())
            await pair.settle()
            assert pair.answers[streams[number]].body == b"/%d" % number
        assert all(pair.answers[each].ended for each in streams)


@timeless
async def test_what_the_server_does_for_each_request() -> None:
    told: list[tuple[str, int]] = []
    side = ServerSide(
        default_headers=lambda: [(b"server", b"mine"), (b"date", b"now")],
        on_response=lambda scope, status: told.append((scope["path"], status)),
    )
    async with joined(server=side) as pair:
        stream_id = pair.ask(b"/x")
        call = await pair.called()
        assert len(side.tasks) == 1
        await call.send(start(404, (b"x", b"y")))
        await call.send(body())
        call.done()
        await pair.settle()
        assert pair.answers[stream_id].headers == [
            (b":status", b"404"),
            (b"server", b"mine"),
            (b"date", b"now"),
            (b"x", b"y"),
        ]
        assert told == [("/first", 200), ("/x", 404)]
        assert not side.tasks


@timeless
async def test_a_busy_server_refuses_with_503() -> None:
    busy = False
    side = ServerSide(is_busy=lambda: busy, default_headers=lambda: [(b"server", b"mine")])
    async with joined(server=side) as pair:
        busy = True
        whole, half = pair.ask(), pair.ask(method=b"POST", end=False)
        await pair.settle()
        for stream_id in (whole, half):
            answer = pair.answers[stream_id]
            assert answer.headers == [(b":status", b"503"), (b"server", b"mine"), (b"content-length", b"0")]
            assert answer.ended
        assert pair.answers[whole].reset is None
        assert pair.answers[half].reset == ErrorCodes.NO_ERROR  # its body is not wanted
        assert len(pair.calls) == 1
        busy = False
        pair.ask()
        await pair.called()


@pytest.mark.parametrize("protocol", [b"echo", b"WebSocket", b"websocket2"])
@timeless
async def test_an_extended_connect_for_anything_but_a_websocket_is_not_implemented(protocol: bytes) -> None:
    async with joined() as pair:
        stream_id = pair.connect(protocol=protocol)
        await pair.settle()
        assert pair.answers[stream_id].status == 501
        assert pair.answers[stream_id].reset == ErrorCodes.NO_ERROR
        assert len(pair.calls) == 1


@timeless
async def test_a_plain_connect_reaches_no_application() -> None:
    async with joined() as pair:
        stream_id = pair.open([(b":method", b"CONNECT"), (b":authority", b"example.com:80")], end=False)
        await pair.settle()
        # Old versions of h2 do not know a CONNECT without a path, and end the connection.
        assert pair.answers[stream_id].status == 501 or pair.goaways == [(stream_id, ErrorCodes.PROTOCOL_ERROR)]
        assert len(pair.calls) == 1


@pytest.mark.parametrize(
    ("method", "path", "header"),
    [
        (b"GET", b"nowhere", b""),
        (b"GET", b"/gr\xfc\xdfe", b""),
        (b"GR\xdcN", b"/", b""),
        (b"GET", b"/", b"x(y)"),
    ],
)
@timeless
async def test_a_malformed_request_is_reset(method: bytes, path: bytes, header: bytes) -> None:
    async with joined() as pair:
        stream_id = pair.ask(path, *[(header, b"z")] if header else [], method=method)
        await pair.settle()
        assert pair.answers[stream_id].reset == ErrorCodes.PROTOCOL_ERROR
        assert len(pair.calls) == 1
        assert not pair.goaways
        pair.ask()
        await pair.called()


@timeless
async def test_requests_above_the_limit_are_refused_in_a_way_that_lets_them_be_repeated() -> None:
    async with joined(max_concurrent_streams=2) as pair:
        pair.client.remote_settings = type(pair.client.remote_settings)(client=False)  # let it forget the limit
        pair.ask()
        pair.ask()
        call, _ = await pair.called(), await pair.called()
        third = pair.ask()
        await pair.settle()
        assert pair.answers[third].reset == ErrorCodes.REFUSED_STREAM
        await call.respond()
        call.done()
        await pair.settle()
        pair.ask()
        await pair.called()
        assert not pair.goaways


@timeless
async def test_twice_as_many_end_the_connection() -> None:
    async with joined(max_concurrent_streams=2) as pair:
        pair.client.remote_settings = type(pair.client.remote_settings)(client=False)
        for _ in range(5):
            pair.ask()
        await pair.settle()
        assert [code for _, code in pair.goaways] == [ErrorCodes.PROTOCOL_ERROR]


@timeless
async def test_a_request_that_was_reset_counts_until_its_application_returns() -> None:
    async with joined(max_concurrent_streams=1) as pair:
        stream_id = pair.ask()
        call = await pair.called()
        pair.client.reset_stream(stream_id)
        await pair.settle()
        refused = pair.ask()
        await pair.settle()
        assert pair.answers[refused].reset == ErrorCodes.REFUSED_STREAM
        call.done()
        await pair.settle()
        pair.ask()
        await pair.called()


@timeless
async def test_a_request_opened_and_reset_in_one_go_reaches_no_application() -> None:
    async with joined() as pair:
        stream_id = pair.ask()
        pair.client.reset_stream(stream_id)
        await pair.settle()
        assert len(pair.calls) == 1
        pair.ask()
        await pair.called()


@timeless
async def test_a_reset_is_a_disconnect_for_its_request_only() -> None:
    async with joined() as pair:
        one, two = pair.ask(method=b"POST", end=False), pair.ask(method=b"POST", end=False)
        calls = [await pair.called(), await pair.called()]
        receiving = [asyncio.ensure_future(call.receive()) for call in calls]
        pair.client.reset_stream(one)
        await pair.settle()
        assert receiving[0].result() == {"type": "http.disconnect"}
        assert not receiving[1].done()
        pair.client.send_data(two, b"x", end_stream=True)
        await pair.settle()
        assert receiving[1].result() == {"type": "http.request", "body": b"x", "more_body": False}


@timeless
async def test_data_and_reset_in_one_go() -> None:
    """What came before it is lost with the stream; nothing is acknowledged to a stream that has gone."""
    async with joined() as pair:
        stream_id = pair.ask(method=b"POST", end=False)
        call = await pair.called()
        pair.client.send_data(stream_id, b"x" * 100)
        pair.client.reset_stream(stream_id)
        await pair.settle()
        assert await call.receive() == {"type": "http.disconnect"}
        await call.respond()
        call.done()
        await pair.settle()
        assert not pair.goaways


# Bodies, and the windows for them


@timeless
async def test_a_body_comes_as_it_arrives() -> None:
    async with joined() as pair:
        stream_id = pair.ask(method=b"POST", end=False)
        call = await pair.called()
        receiving = asyncio.ensure_future(call.receive())
        assert await stays(receiving)
        pair.client.send_data(stream_id, b"one")
        await pair.settle()
        assert receiving.result() == {"type": "http.request", "body": b"one", "more_body": True}
        pair.client.send_data(stream_id, b"two")
        pair.client.send_data(stream_id, b"three", end_stream=True)
        await pair.settle()
        assert await call.receive() == {"type": "http.request", "body": b"twothree", "more_body": False}


@timeless
async def test_trailers_of_a_request_end_its_body() -> None:
    async with joined() as pair:
        stream_id = pair.ask(method=b"POST", end=False)
        call = await pair.called()
        pair.client.send_data(stream_id, b"one")
        pair.client.send_headers(stream_id, [(b"x-checksum", b"1")], end_stream=True)
        await pair.settle()
        assert await call.receive() == {"type": "http.request", "body": b"one", "more_body": False}


@timeless
async def test_a_window_is_granted_when_the_application_has_taken_a_body() -> None:
    async with joined(read_buffer_size=1000, max_concurrent_streams=200) as pair:
        stream_id = pair.ask(method=b"POST", end=False)
        call = await pair.called()
        pair.client.send_data(stream_id, bytes(1000))
        await pair.settle()
        assert pair.client.local_flow_control_window(stream_id) == 0
        assert (await call.receive())["body"] == bytes(1000)
        await pair.settle()
        assert pair.client.local_flow_control_window(stream_id) == 1000


@timeless
async def test_an_application_that_does_not_read_stands_in_nobodys_way() -> None:
    async with joined(read_buffer_size=1000, max_concurrent_streams=200) as pair:
        lazy, other = pair.ask(method=b"POST", end=False), pair.ask(method=b"POST", end=False)
        await pair.called()
        call = await pair.called()
        pair.client.send_data(lazy, bytes(1000))
        for _ in range(100):
            pair.client.send_data(other, bytes(1000))
            await pair.settle()
            assert len((await call.receive())["body"]) == 1000
            await pair.settle()


@timeless
async def test_padding_is_granted_again_at_once() -> None:
    async with joined(read_buffer_size=1000, max_concurrent_streams=200) as pair:
        stream_id = pair.ask(method=b"POST", end=False)
        call = await pair.called()
        for _ in range(20):
            pair.client.send_data(stream_id, b"x", pad_length=250)
            await pair.settle()
        assert pair.client.local_flow_control_window(stream_id) >= 500
        assert (await call.receive())["body"] == b"x" * 20


@timeless
async def test_a_body_that_nobody_wants_uses_up_no_window() -> None:
    """The response is complete, the application has returned, or the stream was never opened."""
    async with joined(read_buffer_size=1000, max_concurrent_streams=66) as pair:
        whole = pair.client.outbound_flow_control_window
        for _ in range(100):
            stream_id = pair.ask(method=b"POST", end=False)
            call = await pair.called()
            pair.client.send_data(stream_id, bytes(600))
            await pair.settle()
            pair.client.send_data(stream_id, bytes(400))
            pair.flush()
            await call.respond()
            call.done()
            await pair.settle()
        assert pair.client.outbound_flow_control_window > whole / 2
        assert not pair.goaways


@timeless
async def test_data_behind_a_reset_of_ours_uses_up_no_window() -> None:
    async with joined(max_concurrent_streams=1) as pair:
        pair.ask()
        await pair.called()
        pair.client.remote_settings = type(pair.client.remote_settings)(client=False)
        whole = pair.client.outbound_flow_control_window
        for _ in range(20):
            stream_id = pair.ask(method=b"POST", end=False)
            pair.client.send_data(stream_id, bytes(4000))  # in one go: the refusal is not known yet
            await pair.settle()
            assert pair.answers[stream_id].reset == ErrorCodes.REFUSED_STREAM
        assert pair.client.outbound_flow_control_window >= whole / 2


@pytest.mark.parametrize("stream_window", [True, False])
@timeless
async def test_a_response_keeps_to_the_windows(stream_window: bool) -> None:
    async with joined() as pair:
        stream_id = pair.ask()
        call = await pair.called()
        pair.grants = False
        if stream_window:
            pair.client.increment_flow_control_window(1_000_000)  # so that only the stream's own is left
        else:
            pair.client.increment_flow_control_window(1_000_000, stream_id)
        responding = asyncio.ensure_future(call.respond(200, bytes(100_000)))
        await pair.settle()
        assert len(pair.answers[stream_id].body) == 65535
        assert not responding.done()
        pair.client.increment_flow_control_window(1, stream_id if stream_window else None)
        await pair.settle()
        assert len(pair.answers[stream_id].body) == 65536
        pair.client.increment_flow_control_window(100_000, stream_id if stream_window else None)
        await pair.settle()
        assert pair.answers[stream_id].ended
        assert responding.done()


@timeless
async def test_a_window_that_opens_by_settings_opens_for_all() -> None:
    async with joined(first=True, settings={SettingCodes.INITIAL_WINDOW_SIZE: 0}) as pair:
        first = await pair.called()
        await pair.settle()
        stream_id = pair.ask()
        second = await pair.called()
        responding = [asyncio.ensure_future(call.respond(200, b"x")) for call in (first, second)]
        await pair.settle()
        assert not any(each.done() for each in responding)
        pair.client.update_settings({SettingCodes.INITIAL_WINDOW_SIZE: 10})
        await pair.settle()
        assert all(each.done() for each in responding)
        assert pair.answers[1].ended
        assert pair.answers[stream_id].ended


@timeless
async def test_a_response_without_a_body_needs_no_window() -> None:
    async with joined(first=True, settings={SettingCodes.INITIAL_WINDOW_SIZE: 0}) as pair:
        call = await pair.called()
        await call.respond()
        await pair.settle()
        assert pair.answers[1].ended


@timeless
async def test_frames_are_as_long_as_the_client_lets_them_be() -> None:
    async with joined(first=True, settings={SettingCodes.INITIAL_WINDOW_SIZE: 2**20}) as pair:
        call = await pair.called()
        responding = asyncio.ensure_future(call.respond(200, bytes(40_000)))
        await pair.settle()
        await responding
        sizes = [len(payload) for kind, *_, payload in frames(bytes(pair.received)) if kind == DATA]
        assert sizes[:3] == [16384, 16384, 40_000 - 2 * 16384]
        assert sum(sizes) == 40_000


# Turns


def data_of(pair: Pair, since: int = 0) -> list[tuple[int, int]]:
    """Stream and size of each DATA frame."""
    return [(each[2], len(each[3])) for each in frames(bytes(pair.received[since:])) if each[0] == DATA]


@timeless
async def test_large_responses_take_turns() -> None:
    async with joined(write_buffer_size=1000) as pair:
        one, two, three = pair.ask(), pair.ask(), pair.ask()
        calls = [await pair.called() for _ in range(3)]
        pair.client.increment_flow_control_window(2**20)
        await pair.settle()
        pair.taking = False
        since = len(pair.received)
        responding = [asyncio.ensure_future(call.respond(200, bytes(60_000))) for call in calls]
        assert await stays(responding[0])
        pair.taking = True
        await pair.settle()
        await asyncio.gather(*responding)
        # The first frame of the first left when nobody else had anything to send.
        assert [stream for stream, _ in data_of(pair, since)] == [one, *[one, two, three] * 3, two, three]


@pytest.mark.parametrize("why", ["window", "reset"])
@timeless
async def test_a_stream_that_cannot_send_any_more_stands_in_nobodys_way(why: str) -> None:
    """Both wait until the client takes what was written. Then it is the turn of the first, which has no window."""
    async with joined(settings={SettingCodes.INITIAL_WINDOW_SIZE: 10}, write_buffer_size=5) as pair:
        pair.grants = False
        one, two = pair.ask(), pair.ask()
        first, second = await pair.called(), await pair.called()
        pair.taking = False
        responding = [
            asyncio.ensure_future(each.respond(200, data)) for each, data in ((first, bytes(100)), (second, b"x"))
        ]
        assert await stays(responding[1])
        if why == "reset":
            pair.wire.deliver(frame(RST_STREAM, 0, one, bytes(4)))
        pair.taking = True
        await pair.settle()
        assert responding[1].done()
        assert pair.answers[two].ended
        assert responding[0].done() is (why == "reset")
        assert (one, 0) not in data_of(pair)


@timeless
async def test_a_stream_whose_window_is_used_up_stands_in_nobodys_way() -> None:
    async with joined() as pair:
        pair.grants = False
        pair.client.increment_flow_control_window(2**20)
        one, two = pair.ask(), pair.ask()
        first, second = await pair.called(), await pair.called()
        blocked = asyncio.ensure_future(first.respond(200, bytes(100_000)))
        await pair.settle()
        assert not blocked.done()
        await second.respond(200, b"x")
        await pair.settle()
        assert pair.answers[two].ended
        assert not pair.answers[one].ended


@timeless
async def test_what_is_sent_in_one_turn_leaves_in_one_write() -> None:
    async with joined() as pair:
        streams = [pair.ask() for _ in range(10)]
        calls = [await pair.called() for _ in streams]
        count = len(pair.wire.writes)

        async def respond(call: Call) -> None:
            await call.respond(200, b"x")

        await asyncio.gather(*(respond(call) for call in calls))
        await pair.settle()
        assert all(pair.answers[each].ended for each in streams)
        assert len(pair.wire.writes) == count + 1


@timeless
async def test_what_is_written_at_once_has_a_limit_and_the_heads_of_frames_count() -> None:
    """A hundred frames of one byte are 1000 bytes."""
    async with joined(write_buffer_size=1000, max_concurrent_streams=200) as pair:
        streams = [pair.ask() for _ in range(150)]
        calls = [await pair.called() for _ in streams]
        for call in calls:
            await call.send(start())
        await pair.settle()
        pair.taking = False
        count = len(pair.wire.writes)
        for call in calls:
            await call.send(body(b"x", more=True))
        [written] = pair.wire.writes[count:]
        assert len(written) == 1000
        pair.taking = True
        await pair.settle()
        assert [pair.answers[stream_id].body for stream_id in streams] == [b"x"] * 150


@timeless
async def test_a_share_is_sent_before_others_get_their_turn() -> None:
    async with joined(write_buffer_size=2**20) as pair:
        pair.client.increment_flow_control_window(2**20)
        stream_id = pair.ask()
        call = await pair.called()
        pair.client.increment_flow_control_window(2**20, stream_id)
        await pair.settle()
        pair.taking = False
        await call.send(start())
        sending = asyncio.ensure_future(call.send(body(bytes(400 * KIBIBYTE))))
        turns = 0
        while not sending.done():
            before = len(pair.wire.unsent)
            await asyncio.sleep(0)
            turns += 1
            # What one turn has prepared leaves with the next.
            assert len(pair.wire.unsent) - before < 2 * 129 * KIBIBYTE
        assert turns >= 400 / 128
        pair.taking = True
        await pair.settle()
        assert pair.answers[stream_id].ended


@timeless
async def test_a_client_that_takes_nothing_blocks_send() -> None:
    async with joined(write_buffer_size=20_000) as pair:
        pair.client.increment_flow_control_window(2**20)
        stream_id = pair.ask()
        call = await pair.called()
        pair.client.increment_flow_control_window(2**20, stream_id)
        await pair.settle()
        pair.taking = False
        await call.send(start())
        sending = asyncio.ensure_future(call.send(body(bytes(400_000))))
        assert await stays(sending)
        assert len(pair.wire.unsent) < 20_000 + 2 * 16384
        pair.taking = True
        await pair.settle()
        assert sending.done()
        assert len(pair.answers[stream_id].body) == 400_000


@timeless
async def test_acknowledgements_for_a_client_that_takes_nothing_do_not_pile_up() -> None:
    async with joined(write_buffer_size=1000) as pair:
        pair.taking = False
        for number in range(300):
            pair.wire.deliver(frame(PING, 0, 0, number.to_bytes(8, "big")))
            await asyncio.sleep(0)
        assert not pair.wire.reading
        assert len(pair.wire.unsent) < 3 * 1000
        pair.taking = True
        await pair.settle()
        assert pair.wire.reading
        assert sum(each[0] == PING and each[1] == 1 for each in frames(bytes(pair.received))) == 300


@timeless
async def test_a_request_ended_with_its_reset_by_us_is_not_reset_twice() -> None:
    async with joined() as pair:
        stream_id = pair.ask(method=b"POST", end=False)
        call = await pair.called()
        await call.respond()
        call.done()
        await pair.settle()
        resets = [each for each in frames(bytes(pair.received)) if each[0] == RST_STREAM]
        assert resets == [(RST_STREAM, 0, stream_id, ErrorCodes.NO_ERROR.to_bytes(4, "big"))]


@timeless
async def test_get_extra_info_is_the_transports() -> None:
    async with joined() as pair:
        assert pair.protocol.get_extra_info("kind") == "in memory"
        assert pair.protocol.get_extra_info("nothing", 5) == 5
        assert pair.protocol.measure() is None


@timeless
async def test_frames_that_nobody_knows_do_no_harm() -> None:
    async with joined() as pair:
        pair.send_raw(frame(99, 0xFF, 0, b"?") + frame(99, 0, 1, b"?"))
        pair.ask()
        await pair.called()
        assert not pair.goaways


@timeless
async def test_pings_are_answered() -> None:
    async with joined() as pair:
        pair.client.ping(b"12345678")
        await pair.settle()
        [pong] = [event for event in pair.events if isinstance(event, h2.events.PingAckReceived)]
        assert pong.ping_data == b"12345678"


@timeless
async def test_empty_data_may_end_a_body() -> None:
    async with joined() as pair:
        stream_id = pair.ask(method=b"POST", end=False)
        call = await pair.called()
        pair.send_raw(frame(DATA, PADDED | END_STREAM, stream_id, b"\3" + bytes(3)))
        await pair.settle()
        message: Any = await call.receive()
        assert message == {"type": "http.request", "body": b"", "more_body": False}


@timeless
async def test_a_request_behind_one_that_was_taken_back_at_once_is_served() -> None:
    async with joined() as pair:
        pair.client.reset_stream(pair.ask(b"/taken-back"))
        stream_id = pair.ask(b"/kept")
        call = await pair.called()
        assert call.scope["path"] == "/kept"
        await call.respond(200, b"served")
        call.done()
        await pair.settle()
        assert pair.answers[stream_id].body == b"served"


@timeless
async def test_the_settings_of_the_offer_hold_until_the_client_sends_others() -> None:
    """RFC 7540 section 3.2.1: a client need not repeat them in its preface."""
    async with joined(first=True, settings={SettingCodes.INITIAL_WINDOW_SIZE: 10}) as pair:
        pair.taking = False
        pair.wire.deliver(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(SETTINGS, 0, 0))
        call = await pair.called()
        sending = asyncio.ensure_future(call.respond(200, bytes(100)))
        await pair.settle()
        assert sum(len(data) for kind, _, _, data in frames(bytes(pair.wire.unsent)) if kind == DATA) == 10
        sending.cancel()


def test_a_goaway_frame() -> None:
    """RFC 9113 section 6.8: on stream 0, without flags."""
    assert frames(goaway(5, 2)) == [(GOAWAY, 0, 0, b"\0\0\0\5\0\0\0\2")]


@timeless
async def test_padding_opens_the_window_for_padding_only() -> None:
    """The application reads nothing, so the client sends no more of the body than may wait for it."""
    async with joined(read_buffer_size=10_000) as pair:
        stream_id = pair.ask(method=b"POST", end=False)
        await pair.called()
        sent = 0
        while sent < 20_000 and pair.client.local_flow_control_window(stream_id) >= 301:
            pair.client.send_data(stream_id, bytes(100), pad_length=200)
            sent += 100
            await pair.settle()
        assert 3_000 < sent <= 10_000
