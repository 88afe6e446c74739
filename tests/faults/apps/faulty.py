"""An application that waits at one place, chosen by the path, and goes wrong there if it is told to.

Each line that it tells says what it sees: what `receive` gives, what `send` raises, how it ends.
"""

import asyncio
import json
import os
from collections import defaultdict
from collections.abc import Awaitable, Callable
from typing import Any

from starlette.requests import Request
from starlette.types import Message, Receive, Scope, Send

from asgi_upgrade import (
    H2CSettings,
    StreamSettings,
    UpgradeMiddleware,
    UpgradeResponse,
    UpgradeStream,
    WebSocketSettings,
)

MESSAGE = bytes(1024)

released: dict[str, asyncio.Event] = defaultdict(asyncio.Event)


def key_of(scope: Scope) -> str:
    key: bytes = dict(scope["headers"]).get(b"x-note-key", b"")
    return key.decode()


def tell(scope: Scope, what: str) -> None:
    line = json.dumps({"key": key_of(scope), "what": what, "pid": os.getpid()})
    os.write(1, f"TOLD {line}\n".encode())


# Where it waits


async def accept(scope: Scope, receive: Receive, send: Send) -> None:
    assert (await receive())["type"] == "websocket.connect"
    await send({"type": "websocket.accept"})
    tell(scope, "ready")


async def until_disconnect(scope: Scope, receive: Receive, send: Send | None = None) -> None:
    """Send messages back until there are no more."""
    while (message := await receive())["type"] != "websocket.disconnect":
        if send is not None:
            kind = "bytes" if message.get("text") is None else "text"
            await send({"type": "websocket.send", kind: message[kind]})
    tell(scope, f"receive {message['code']}")


async def send_on_and_on(scope: Scope, send: Callable[[], Awaitable[None]]) -> None:
    try:
        while True:
            await send()
            await asyncio.sleep(0)
    except Exception as error:  # noqa: BLE001 - the test judges it
        tell(scope, f"send {type(error).__name__}")


async def waiting(scope: Scope, receive: Receive, send: Send) -> None:
    """Receive before the handshake is answered."""
    assert (await receive())["type"] == "websocket.connect"
    tell(scope, "ready")
    await until_disconnect(scope, receive)


async def deciding(scope: Scope, receive: Receive, send: Send) -> None:
    """Do something else before the handshake is accepted."""
    assert (await receive())["type"] == "websocket.connect"
    tell(scope, "ready")
    await released[key_of(scope)].wait()
    try:
        await send({"type": "websocket.accept"})
    except Exception as error:  # noqa: BLE001 - the test judges it
        tell(scope, f"accept {type(error).__name__}")
    await until_disconnect(scope, receive, send)


async def idle(scope: Scope, receive: Receive, send: Send) -> None:
    await accept(scope, receive, send)
    await until_disconnect(scope, receive, send)


async def sending(scope: Scope, receive: Receive, send: Send) -> None:
    await accept(scope, receive, send)
    await send_on_and_on(scope, lambda: send({"type": "websocket.send", "bytes": MESSAGE}))
    await until_disconnect(scope, receive)


async def closing(scope: Scope, receive: Receive, send: Send) -> None:
    await accept(scope, receive, send)
    await send({"type": "websocket.close", "code": 4000})
    tell(scope, "closed")
    await until_disconnect(scope, receive)


async def busy(scope: Scope, receive: Receive, send: Send) -> None:
    """Do something else while the client closes."""
    await accept(scope, receive, send)
    await released[key_of(scope)].wait()
    try:
        await send({"type": "websocket.send", "bytes": MESSAGE})
    except Exception as error:  # noqa: BLE001 - the test judges it
        tell(scope, f"send {type(error).__name__}")
    await until_disconnect(scope, receive)


async def stream_idle(stream: UpgradeStream) -> None:
    tell(stream.scope, "ready")
    try:
        while True:
            await stream.send(await stream.receive())
    except Exception as error:
        tell(stream.scope, f"receive {type(error).__name__}")
        raise


async def stream_sending(stream: UpgradeStream) -> None:
    tell(stream.scope, "ready")
    await send_on_and_on(stream.scope, lambda: stream.send(MESSAGE))


async def request_waiting(scope: Scope, receive: Receive, send: Send) -> None:
    """Receive before the request is answered."""
    while (await receive()).get("more_body", False):
        pass
    tell(scope, "ready")
    message = await receive()
    tell(scope, f"receive {message['type']}")


async def request_sending(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer without an end, until the client has gone: `send` does not tell."""
    while (await receive()).get("more_body", False):
        pass
    tell(scope, "ready")
    await send({"type": "http.response.start", "status": 200, "headers": []})
    gone = asyncio.ensure_future(receive())
    message: Message = {"type": "http.response.body", "body": MESSAGE, "more_body": True}
    try:
        while not gone.done():
            await send(message)
            await asyncio.sleep(0)
        tell(scope, f"receive {gone.result()['type']}")
    finally:
        gone.cancel()


# What goes wrong there


async def go_wrong(scope: Scope, how: str) -> None:
    if how == "raise":
        raise RuntimeError("the application failed")
    if how == "hang":
        tell(scope, "hangs")
        await asyncio.Event().wait()
    if how == "cancel":
        task = asyncio.current_task()
        assert task is not None
        task.cancel()
        await asyncio.sleep(0)


async def run(scope: Scope, behaviour: Awaitable[None]) -> None:
    """Run it, and tell how it ends; leave it where it is and go wrong when POST /release says so."""
    how = scope["query_string"].decode()
    try:
        if not how:
            await behaviour
        else:
            task = asyncio.ensure_future(behaviour)
            release = asyncio.ensure_future(released[key_of(scope)].wait())
            try:
                await asyncio.wait({task, release}, return_when=asyncio.FIRST_COMPLETED)
            finally:
                stopped = task.done()
                task.cancel()
                release.cancel()
                await asyncio.wait({task, release})
            if stopped:
                await task
            else:
                await go_wrong(scope, how)
    except BaseException as error:
        tell(scope, f"ends by {type(error).__name__}")
        raise
    tell(scope, "returns")


WEBSOCKETS = {
    "/waiting": waiting,
    "/deciding": deciding,
    "/idle": idle,
    "/sending": sending,
    "/closing": closing,
    "/busy": busy,
}
REQUESTS = {"/request-waiting": request_waiting, "/request-sending": request_sending}
STREAMS = {"/stream-idle": stream_idle, "/stream-sending": stream_sending}


async def handle(stream: UpgradeStream) -> None:
    await run(stream.scope, STREAMS[stream.scope["path"]](stream))


async def refuse(scope: Scope, send: Send, status: int) -> None:
    await send({"type": "http.response.start", "status": status, "headers": [(b"content-length", b"0")]})
    await send({"type": "http.response.body"})


async def application(scope: Scope, receive: Receive, send: Send) -> None:
    path: str = scope.get("path", "")
    if scope["type"] == "lifespan":
        while (await receive())["type"] == "lifespan.startup":
            await send({"type": "lifespan.startup.complete"})
        await send({"type": "lifespan.shutdown.complete"})
    elif scope["type"] == "websocket":
        await run(scope, WEBSOCKETS[path](scope, receive, send))
    elif path in REQUESTS:
        await run(scope, REQUESTS[path](scope, receive, send))
    elif path == "/upgrade-waiting":
        await run(scope, upgrade_waiting(scope, receive, send))
    elif path in STREAMS:
        await UpgradeResponse(handle, "stream", streams=StreamSettings(shutdown_timeout=0.5))(scope, receive, send)
    else:
        tell(scope, "alive")
        released[scope["query_string"].decode()].set()
        await refuse(scope, send, 200)


async def upgrade_waiting(scope: Scope, receive: Receive, send: Send) -> None:
    """An endpoint that would answer with an `UpgradeResponse`, if the client were patient."""
    request = Request(scope, receive, send)
    await request.body()
    tell(scope, "ready")
    tell(scope, f"receive {(await receive())['type']}")


# Where many connections are opened before something happens, none of them may be too old then.
PATIENCE = float(os.environ.get("PATIENCE", "1"))
# Seconds that a client may be silent. One that reads and answers gets more: a busy machine may keep it from that.
SILENCE = float(os.environ.get("SILENCE", "1"))
OPENING_AND_CLOSING: dict[str, Any] = {"open_timeout": 2.0 * PATIENCE, "close_timeout": SILENCE}
TIMES: dict[str, Any] = {"ping_interval": SILENCE, "ping_timeout": SILENCE, **OPENING_AND_CLOSING}
app = UpgradeMiddleware(
    application,
    protocols={"table": handle},
    # Its own pings come later, so that those of WebSockets are the first to notice.
    h2c=H2CSettings(**{**TIMES, "ping_timeout": 2.0 * SILENCE}, idle_timeout=2.0, write_timeout=10.0 * PATIENCE),
    websocket=WebSocketSettings(stop_timeout=0.7 * PATIENCE, answer_timeout=2.0, **TIMES),
    streams=StreamSettings(
        keepalive_interval=1.0, stop_timeout=0.7 * PATIENCE, shutdown_timeout=0.5, **OPENING_AND_CLOSING
    ),
)
if os.environ.get("PLAIN"):
    app = application  # type: ignore[assignment]
