"""An application that uses the extension `http.upgrade` by itself: no framework, no package around it."""

import asyncio
import copy
import json
import time
from pathlib import Path
from typing import Any, cast
from urllib.parse import parse_qs

from starlette.types import Receive, Scope, Send

RESULTS: dict[str, Any] = {}  # what a session came to, by the key that the client gave it


class Echo(asyncio.Protocol):
    """Sends back what comes, and says what else happens."""

    transport: asyncio.Transport

    def __init__(self, key: str) -> None:
        self.key = key
        self.calls: list[str] = []
        self.closed = asyncio.Event()
        self.ended = asyncio.Event()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.calls.append("connection_made")
        self.transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        self.calls.append("data_received")
        self.transport.write(data)

    def eof_received(self) -> bool:
        self.calls.append("eof_received")
        self.ended.set()
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        self.calls.append("connection_lost")
        self.closed.set()

    def shutdown(self) -> None:
        self.calls.append("shutdown")
        self.transport.write(b"goodbye")
        self.transport.close()


class BufferedEcho(asyncio.BufferedProtocol):
    """The same with a buffer of its own, a very small one."""

    transport: asyncio.Transport

    def __init__(self, key: str) -> None:
        self.buffer = bytearray(3)
        self.ended = asyncio.Event()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)

    def get_buffer(self, sizehint: int) -> bytearray:
        return self.buffer

    def buffer_updated(self, nbytes: int) -> None:
        self.transport.write(bytes(self.buffer[:nbytes]))

    def eof_received(self) -> None:
        self.ended.set()


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "lifespan":
        await lifespan(receive, send)
        return
    assert scope["type"] == "http"
    name = scope["path"][1:].replace("-", "_")
    await BEHAVIOURS[name](scope, receive, send)


async def lifespan(receive: Receive, send: Send) -> None:
    while True:
        kind = (await receive())["type"]
        await send({"type": f"{kind}.complete"})
        if kind == "lifespan.shutdown":
            return


async def respond(send: Send, content: Any, status: int = 200) -> None:
    body = json.dumps(content).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def key_of(scope: Scope) -> str:
    query: str = scope["query_string"].decode()
    return parse_qs(query).get("key", [""])[0]


async def start(scope: Scope, send: Send, protocol: Any, headers: Any = ()) -> Any:
    """Announce `protocol`, send the 101, give the future's result."""
    switched = scope["extensions"]["http.upgrade"]["connect"](protocol, [(b"upgrade", b"echo"), *headers])
    await send({"type": "http.response.start", "status": 101, "headers": []})
    return await asyncio.wait_for(switched, 30)


async def describe(scope: Scope, receive: Receive, send: Send) -> None:
    entry = scope.get("extensions", {}).get("http.upgrade")
    copied = copy.deepcopy(scope).get("extensions", {}).get("http.upgrade")
    same = entry is not None and copied["connect"] == entry["connect"]  # of a method: that of the same object
    await respond(send, {"version": entry and entry["version"], "survives copying": same})


async def results(scope: Scope, receive: Receive, send: Send) -> None:
    """What the session with that key came to, once that is known."""
    for _ in range(3000):
        if key_of(scope) in RESULTS:
            break
        await asyncio.sleep(0.01)
    await respond(send, RESULTS.get(key_of(scope)))


async def echo(scope: Scope, receive: Receive, send: Send) -> None:
    protocol = Echo(key_of(scope))
    switched = await start(scope, send, protocol)
    await protocol.ended.wait()
    protocol.transport.write(b"the end")
    RESULTS[key_of(scope)] = {"switched": switched, "calls": protocol.calls[:]}


async def buffered(scope: Scope, receive: Receive, send: Send) -> None:
    protocol = BufferedEcho(key_of(scope))
    assert await start(scope, send, protocol)
    await protocol.ended.wait()


async def read_first(scope: Scope, receive: Receive, send: Send) -> None:
    """Read the first piece of the body only."""
    message = await receive()
    protocol = Echo(key_of(scope))
    RESULTS[key_of(scope)] = message["body"].decode()
    await start(scope, send, protocol)
    await protocol.ended.wait()


async def fields(scope: Scope, receive: Receive, send: Send) -> None:
    """Send what middleware might have made of a 101."""
    protocol = Echo(key_of(scope))
    upgrade = scope["extensions"]["http.upgrade"]
    switched = upgrade["connect"](protocol, [(b"upgrade", b"echo"), (b"x-essential", b"mine")])
    headers = [
        *(
            (b"upgrade", b"other"),
            (b"X-Essential", b"changed"),
            (b"connection", b"close"),
            (b"keep-alive", b"timeout=5"),
        ),
        *(
            (b"content-length", b"5"),
            (b"content-encoding", b"gzip"),
            (b"content-type", b"text/plain"),
            (b"etag", b'"x"'),
        ),
        *((b"transfer-encoding", b"chunked"), (b"trailer", b"x"), (b"sec-websocket-protocol", b"x")),
        *((b"x-added", b"by middleware"), (b"set-cookie", b"a=1"), (b"Set-Cookie", b"b=2")),
    ]
    await send({"type": "http.response.start", "status": 101, "headers": headers})
    await send({"type": "http.response.body", "body": b"\0", "more_body": True})
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"never seen", "more_body": False})
    assert await switched
    await protocol.ended.wait()


async def refuse(scope: Scope, receive: Receive, send: Send) -> None:
    """Announce a protocol and answer something else all the same."""
    switched = scope["extensions"]["http.upgrade"]["connect"](Echo(""), [(b"upgrade", b"echo")])
    await respond(send, "refused", 403)
    late = scope["extensions"]["http.upgrade"]["connect"](Echo(""), [(b"upgrade", b"echo")])
    RESULTS[key_of(scope)] = [switched.done() and switched.result(), late.done() and late.result()]


async def return_without_response(scope: Scope, receive: Receive, send: Send) -> None:
    switched = scope["extensions"]["http.upgrade"]["connect"](Echo(""), [(b"upgrade", b"echo")])
    switched.add_done_callback(lambda future: RESULTS.__setitem__(key_of(scope), future.result()))


async def busy(scope: Scope, receive: Receive, send: Send) -> None:
    """Leave the event loop no turn until a file is there, and only as many as it needs to learn of a reset."""
    print("busy", flush=True)
    connect = scope["extensions"]["http.upgrade"]["connect"]
    wait_for_file(Path(scope["query_string"].decode().partition("&until=")[2]))
    # What the selector finds runs behind us in the first turn; who served HTTP is told behind us in the second.
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    protocol = Echo("")
    switched = connect(protocol, [(b"upgrade", b"echo")])
    await send({"type": "http.response.start", "status": 101, "headers": []})
    RESULTS[key_of(scope)] = {"switched": await asyncio.wait_for(switched, 30), "calls": protocol.calls}


def wait_for_file(path: Path) -> None:
    deadline = time.monotonic() + 30
    while not path.exists() and time.monotonic() < deadline:
        time.sleep(0.001)


async def unannounced(scope: Scope, receive: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 101, "headers": [(b"upgrade", b"echo")]})
    await send({"type": "http.response.body", "body": b"\0", "more_body": True})


async def withdrawn(scope: Scope, receive: Receive, send: Send) -> None:
    switched = scope["extensions"]["http.upgrade"]["connect"](Echo(""), [(b"upgrade", b"echo")])
    switched.cancel()
    await unannounced(scope, receive, send)


async def announced_twice(scope: Scope, receive: Receive, send: Send) -> None:
    first = scope["extensions"]["http.upgrade"]["connect"](Echo(""), [(b"upgrade", b"first")])
    protocol = Echo(key_of(scope))
    assert await start(scope, send, protocol)
    RESULTS[key_of(scope)] = first.result()
    await protocol.ended.wait()


async def malformed(scope: Scope, receive: Receive, send: Send) -> None:
    connect = scope["extensions"]["http.upgrade"]["connect"]
    errors = 0
    for headers in ([], [(b"upgrade", b"a\r\nb: c")], [(b"upgrade", b"echo"), (b"x y", b"z")]):
        try:
            connect(Echo(""), headers)
        except ValueError:
            errors += 1
    switched = connect(Echo(""), [(b"upgrade", b"echo")])
    try:
        await send({"type": "http.response.start", "status": 101, "headers": [(b"x", b"a\r\nb: c")]})
    except ValueError:
        errors += 1
    await respond(send, {"errors": errors, "pending": not switched.done()})


async def wait_in_receive(scope: Scope, receive: Receive, send: Send) -> None:
    """Wait for the disconnect in two tasks, as middleware does, beyond the end of the application."""
    waiters = [asyncio.create_task(_disconnect(receive)) for _ in range(2)]
    protocol = Echo(key_of(scope))
    await start(scope, send, protocol)
    await asyncio.sleep(0.05)
    early = [waiter.done() for waiter in waiters]
    protocol.transport.write(b"still waiting")
    await protocol.ended.wait()

    async def record() -> None:
        RESULTS[key_of(scope)] = {"early": early, "late": await asyncio.gather(*waiters)}

    TASKS.append(asyncio.create_task(record()))


async def _disconnect(receive: Receive) -> str:
    while (message := await receive())["type"] != "http.disconnect":
        pass
    kind: str = message["type"]
    return kind


async def fail(scope: Scope, receive: Receive, send: Send) -> None:
    protocol = Echo(key_of(scope))
    await start(scope, send, protocol)
    protocol.transport.write(b"before the error")
    raise RuntimeError("the application has failed")


async def until_shutdown(scope: Scope, receive: Receive, send: Send) -> None:
    protocol = Echo(key_of(scope))
    await start(scope, send, protocol)
    protocol.transport.write(b"ready")
    await protocol.closed.wait()


TASKS: list[asyncio.Task[None]] = []
BEHAVIOURS = {
    function.__name__: function
    for function in (
        *(
            describe,
            results,
            echo,
            buffered,
            read_first,
            fields,
            refuse,
            return_without_response,
            unannounced,
            withdrawn,
        ),
        *(announced_twice, busy, malformed, wait_in_receive, fail, until_shutdown),
    )
}
