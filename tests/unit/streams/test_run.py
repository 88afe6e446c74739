"""How a handler is run, from the 101 to the end of its connection, on a loop whose time passes by itself."""

from __future__ import annotations

import asyncio
import gc
import logging
import weakref
from typing import TYPE_CHECKING, Any

import anyio
import pytest

from asgi_upgrade.streams.handlers import run_handler
from asgi_upgrade.streams.settings import StreamSettings
from tests.unit.calls import Call, Extension, http_scope
from tests.unit.http2.clock import timeless
from tests.unit.http2.pair import stays
from tests.unit.streams.wired import Wire
from tests.unit.waiting import turns

if TYPE_CHECKING:
    from starlette.types import Message

    from asgi_upgrade import UpgradeStream


class Run:
    """One request whose handler does what the test says.

    Attributes:
        handler: Has ended when `end` has a result, or raises it.
        cancelled: When the handler was cancelled, in seconds since the switch.
    """

    def __init__(self, *, headers: Any = (), send: Any = None, **settings: Any) -> None:
        loop = asyncio.get_running_loop()
        self.extension = Extension()
        self.call = Call()
        self.wire = Wire()
        self.end: asyncio.Future[None] = loop.create_future()
        self.stream: UpgradeStream | None = None
        self.began = 0.0
        self.cancelled: float | None = None
        self.task = loop.create_task(
            run_handler(
                self._handle,
                http_scope("/up"),
                send or self._send,
                extension=self.extension,  # type: ignore[arg-type]
                protocol="example/1",
                headers=headers,
                settings=StreamSettings(**settings),
            )
        )

    async def _send(self, message: Message) -> None:
        await self.call.send({**message, "lost": self.wire.lost})

    async def _handle(self, stream: UpgradeStream) -> None:
        self.stream, self.began = stream, self.now()
        try:
            await self.end
        except asyncio.CancelledError:
            self.cancelled = self.passed()
            raise

    @staticmethod
    def now() -> float:
        return asyncio.get_running_loop().time()

    def passed(self) -> float:
        """Seconds since the handler has begun."""
        return self.now() - self.began

    async def switch(self) -> None:
        """Be a server that has got the 101."""
        await self.extension.announced.wait()
        self.wire.protocol = self.extension.protocol
        self.wire.protocol.connection_made(self.wire)
        self.extension.switched.set_result(True)
        await turns()

    async def finish(self) -> None:
        """Let the handler return, and the client end its side."""
        self.end.set_result(None)
        await turns()
        self.wire.take()
        self.wire.end()
        await self.task


@timeless
async def test_the_101_has_the_protocol_and_the_fields_and_only_the_essential_ones_are_announced() -> None:
    headers = [(b"x-mine", b"yes"), (b"content-type", b"application/x")]
    run = Run(headers=headers)
    await run.switch()
    assert run.extension.essential == [(b"upgrade", b"example/1"), headers[1]]
    start = run.call.sent[0]
    assert (start["type"], start["status"]) == ("http.response.start", 101)
    assert start["headers"][:-1] == [(b"upgrade", b"example/1"), (b"connection", b"Upgrade"), *headers]
    assert run.stream is not None
    assert (run.stream.protocol, run.stream.scope["path"]) == ("example/1", "/up")
    assert all(message.get("more_body", True) for message in run.call.sent), "the response goes on"
    await run.finish()
    last = run.call.sent[-1]
    assert (last["type"], last.get("more_body", False), last["lost"]) == ("http.response.body", False, True)


@timeless
async def test_without_the_switch_no_handler_runs() -> None:
    run = Run()
    await run.extension.announced.wait()
    assert await stays(run.task)
    run.extension.switched.set_result(False)
    await run.task
    assert run.stream is None


@pytest.mark.parametrize("held_back", ["101", "switch"])
@timeless
async def test_the_101_has_a_limited_time(held_back: str, caplog: pytest.LogCaptureFixture) -> None:
    async def send(message: Message) -> None:
        await asyncio.sleep(100)

    run = Run(send=send if held_back == "101" else None, open_timeout=3.0)
    began = run.now()
    await run.task
    assert run.now() - began == pytest.approx(3)
    assert run.extension.switched.cancelled()
    assert run.stream is None
    (record,) = caplog.records
    message = record.getMessage()
    assert message.startswith("GET /up HTTP/1.1")
    assert "the 101 did not reach the server in 3 seconds" in message


@timeless
async def test_a_handler_that_runs_has_no_limit_of_the_opening() -> None:
    run = Run(open_timeout=3.0)
    await run.switch()
    await asyncio.sleep(100)
    assert run.cancelled is None
    await run.finish()


@timeless
async def test_a_cancelled_application_cuts_the_connection() -> None:
    run = Run()
    await run.switch()
    run.task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await run.task
    assert run.wire.aborted
    assert run.cancelled == 0


@pytest.mark.parametrize("name", ["total_timeout", "idle_timeout", "shutdown_timeout"])
@timeless
async def test_a_limit_cancels_the_handler_and_closes_in_peace(name: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "asgi_upgrade")
    run = Run(**{name: 5.0})
    await run.switch()
    if name == "shutdown_timeout":
        await asyncio.sleep(2)
        run.wire.protocol.shutdown()
        await asyncio.sleep(2)
        run.wire.protocol.shutdown()
    else:
        await asyncio.sleep(4)
    assert run.stream is not None
    await run.stream.send(b"unsent")
    if name == "idle_timeout":
        await asyncio.sleep(3)
        run.wire.deliver(b"a byte")
    await asyncio.sleep(10)
    assert run.cancelled == pytest.approx({"total_timeout": 5, "idle_timeout": 12, "shutdown_timeout": 7}[name])
    reason = {
        "total_timeout": "open for 5 seconds",
        "idle_timeout": "no byte for 5 seconds",
        "shutdown_timeout": "still open 5 seconds after the server began to stop",
    }[name]
    (record,) = caplog.records
    assert record.levelname == "INFO"
    assert record.getMessage() == f"GET /up HTTP/1.1: {reason}, the example/1 connection is closed."
    if name != "shutdown_timeout":  # which leaves the client a second
        assert not run.wire.aborted
        assert run.wire.take() == b"unsent"
        run.wire.end()
    await run.task
    assert run.wire.aborted is (name == "shutdown_timeout")
    assert run.call.sent[-1]["type"] == "http.response.body"


@timeless
async def test_a_server_that_stops_before_the_handler_has_begun_is_told_too() -> None:
    run = Run(shutdown_timeout=5.0)
    await run.extension.announced.wait()
    run.extension.protocol.shutdown()
    await run.switch()
    assert run.stream is not None
    assert run.stream.shutting_down
    await run.task
    assert run.cancelled == pytest.approx(5)


@timeless
async def test_a_byte_moves_in_any_way_and_the_handler_is_not_idle() -> None:
    run = Run(idle_timeout=5.0)
    await run.switch()
    assert run.stream is not None
    await asyncio.sleep(4.75)
    run.wire.deliver(b"x")
    await asyncio.sleep(4.75)
    await run.stream.send(bytes(10))
    await asyncio.sleep(4.75)
    run.wire.take()
    await asyncio.sleep(4.75)
    assert run.cancelled is None
    await run.task
    # The look at 14.5 seconds has seen that something waits no longer; what was taken is seen when it is looked at.
    assert run.cancelled is not None
    assert 19 < run.cancelled <= 20


@pytest.mark.parametrize("stopping", [False, True])
@timeless
async def test_no_limit_goes_on_behind_the_handler_and_nothing_keeps_its_connection(
    stopping: bool, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "asgi_upgrade")
    run = Run(total_timeout=3600.0, idle_timeout=3600.0, shutdown_timeout=3600.0, stop_timeout=3600.0)
    await run.switch()
    if stopping:
        run.wire.protocol.shutdown()
    run.end.set_result(None)
    await turns()
    run.wire.protocol.shutdown()  # which takes time
    run.wire.end()
    await run.task
    assert caplog.records == []
    kept = weakref.ref(run.wire.protocol)
    del run
    await turns()
    gc.collect()
    assert kept() is None


@timeless
async def test_only_ends_of_the_client_make_an_end_of_a_group(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "asgi_upgrade")

    class Group(Exception):  # as ExceptionGroup, which Python 3.10 has not
        def __init__(self, *exceptions: Exception) -> None:
            super().__init__()
            self.exceptions = exceptions

    for inner, level in (
        ([anyio.EndOfStream(), Group(anyio.BrokenResourceError())], "DEBUG"),
        ([anyio.EndOfStream(), Group(ValueError())], "ERROR"),
    ):
        run = Run()
        await run.switch()
        run.wire.reset()
        run.end.set_exception(Group(*inner))
        await run.task
        (record,) = caplog.records
        assert record.levelname == level
        assert record.exc_info is not None
        assert isinstance(record.exc_info[1], Group)
        assert record.getMessage().startswith("GET /up HTTP/1.1: the ")
        assert "example/1" in record.getMessage()
        caplog.clear()
