"""WebSocket applications, one behaviour each, chosen by the path."""

import asyncio
import json
import resource
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import parse_qs

from notes import note
from starlette.types import Receive, Scope, Send

Session = Callable[[Scope, Receive, Send], Awaitable[None]]

SESSIONS: dict[str, Session] = {}
RELEASED = asyncio.Event()


def session(application: Session) -> Session:
    """Serve `application` at its own name: `def close_later` at /close-later."""
    SESSIONS["/" + application.__name__.replace("_", "-")] = application
    return application


def option(scope: Scope, name: str) -> str:
    """One parameter of the query string, or nothing."""
    query: str = scope["query_string"].decode()
    return parse_qs(query).get(name, [""])[-1]


async def connect(scope: Scope, receive: Receive) -> None:
    message = await receive()
    note(scope, "first message", type=message["type"])


async def accept(scope: Scope, receive: Receive, send: Send) -> None:
    await connect(scope, receive)
    await send({"type": "websocket.accept"})


async def until_disconnect(scope: Scope, receive: Receive) -> None:
    while (message := await receive())["type"] != "websocket.disconnect":
        pass
    note(scope, "disconnect", code=message["code"], reason=message.get("reason"))


async def attempt(scope: Scope, send: Send, message: dict[str, Any]) -> bool:
    """Send `message`; note what it raised, if anything."""
    try:
        await send(message)
    except Exception as error:  # noqa: BLE001 - the test judges it
        note(scope, "raised", type=type(error).__name__, os_error=isinstance(error, OSError), message=str(error))
        return False
    note(scope, "sent")
    return True


@session
async def echo(scope: Scope, receive: Receive, send: Send) -> None:
    await accept(scope, receive, send)
    while (message := await receive())["type"] == "websocket.receive":
        kind = "text" if message.get("text") is not None else "bytes"
        await send({"type": "websocket.send", kind: message[kind]})
    note(scope, message["type"], code=message["code"], reason=message.get("reason"))


SESSIONS["/websocket-only"] = echo


@session
async def describe_scope(scope: Scope, receive: Receive, send: Send) -> None:
    """Send the scope; bytes in it as text, what JSON does not know as its repr."""
    await accept(scope, receive, send)
    headers = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in scope["headers"]]
    plain = {
        key: value.decode("latin-1") if isinstance(value, bytes) else value
        for key, value in scope.items()
        if key != "headers"
    }
    await send({"type": "websocket.send", "text": json.dumps({**plain, "headers": headers}, default=repr)})
    await until_disconnect(scope, receive)


@session
async def change_state(scope: Scope, receive: Receive, send: Send) -> None:
    """Send what `state` says, then change it: the next request must not see that."""
    await accept(scope, receive, send)
    await send({"type": "websocket.send", "text": json.dumps(scope["state"])})
    scope["state"]["changed by a session"] = True
    scope["state"]["shared"].append("session")
    await until_disconnect(scope, receive)


@session
async def accept_with(scope: Scope, receive: Receive, send: Send) -> None:
    """Accept with the subprotocol and the header named in the query; if that is refused, accept without."""
    await connect(scope, receive)
    name, _, value = option(scope, "header").partition(":")
    message = {
        "type": "websocket.accept",
        "subprotocol": option(scope, "subprotocol") or None,
        "headers": [(name.encode("latin-1"), value.encode("latin-1"))] if name else [],
    }
    if not await attempt(scope, send, message):
        await send({"type": "websocket.accept"})
    await until_disconnect(scope, receive)


@session
async def insist(scope: Scope, receive: Receive, send: Send) -> None:
    """Accept with the subprotocol named in the query, whatever the client offers."""
    await connect(scope, receive)
    await send({"type": "websocket.accept", "subprotocol": option(scope, "subprotocol")})
    await until_disconnect(scope, receive)


@session
async def two_cookies(scope: Scope, receive: Receive, send: Send) -> None:
    await connect(scope, receive)
    cookies = [(b"set-cookie", b"a=1"), (b"set-cookie", b"b=2")]
    await send({"type": "websocket.accept", "headers": cookies})
    await until_disconnect(scope, receive)


@session
async def close_before_accept(scope: Scope, receive: Receive, send: Send) -> None:
    await connect(scope, receive)
    await send({"type": "websocket.close", "code": 4003, "reason": "not today"})
    await until_disconnect(scope, receive)


@session
async def close(scope: Scope, receive: Receive, send: Send) -> None:
    """Close with the code and reason of the query, or with neither, and look at what follows."""
    await accept(scope, receive, send)
    message: dict[str, Any] = {"type": "websocket.close"}
    if code := option(scope, "code"):
        message["code"] = int(code)
    if reason := option(scope, "reason"):
        message["reason"] = reason
    if await attempt(scope, send, message):
        await until_disconnect(scope, receive)
        await attempt(scope, send, {"type": "websocket.send", "text": "too late"})


@session
async def deny(scope: Scope, receive: Receive, send: Send) -> None:
    """A denial response whose body comes in three parts, the last one only after POST /release."""
    await connect(scope, receive)
    headers = [
        (b"content-type", b"text/x-denial"),
        (b"x-denied", b"yes"),
        (b"set-cookie", b"a=1"),
        (b"set-cookie", b"b=2"),
    ]
    await send({"type": "websocket.http.response.start", "status": 418, "headers": headers})
    await send({"type": "websocket.http.response.body", "body": b"one ", "more_body": True})
    await send({"type": "websocket.http.response.body", "body": b"two ", "more_body": True})
    await RELEASED.wait()
    RELEASED.clear()
    await send({"type": "websocket.http.response.body", "body": b"three"})
    note(scope, "denied")


@session
async def deny_shortly(scope: Scope, receive: Receive, send: Send) -> None:
    """The least a denial response needs."""
    await connect(scope, receive)
    await send({"type": "websocket.http.response.start", "status": 401})
    await send({"type": "websocket.http.response.body"})


@session
async def deny_with_injection(scope: Scope, receive: Receive, send: Send) -> None:
    await connect(scope, receive)
    start = {"type": "websocket.http.response.start", "status": 401, "headers": [(b"x-a", b"b\r\nx-injected: yes")]}
    await attempt(scope, send, start)


@session
async def deny_and_raise(scope: Scope, receive: Receive, send: Send) -> None:
    """Raise in the middle of a denial response."""
    await connect(scope, receive)
    await send({"type": "websocket.http.response.start", "status": 401, "headers": []})
    await send({"type": "websocket.http.response.body", "body": b"half", "more_body": True})
    raise RuntimeError("raised in mid denial")


@session
async def never_answer(scope: Scope, receive: Receive, send: Send) -> None:
    try:
        await asyncio.sleep(30)
    except asyncio.CancelledError:
        note(scope, "cancelled")
        raise


@session
async def wait_for_the_client(scope: Scope, receive: Receive, send: Send) -> None:
    await connect(scope, receive)
    await until_disconnect(scope, receive)


@session
async def slow_accept(scope: Scope, receive: Receive, send: Send) -> None:
    await connect(scope, receive)
    await asyncio.sleep(0.4)
    await send({"type": "websocket.accept"})
    await until_disconnect(scope, receive)


@session
async def accept_at_once(scope: Scope, receive: Receive, send: Send) -> None:
    """Accept without having received anything, and tell the types of the first two messages."""
    await send({"type": "websocket.accept"})
    await asyncio.sleep(0.1)
    kinds = [(await receive())["type"] for _ in range(2)]
    await send({"type": "websocket.send", "text": " ".join(kinds)})
    await until_disconnect(scope, receive)


@session
async def wait_before_accept(scope: Scope, receive: Receive, send: Send) -> None:
    """Let the client wait, and look whether it does."""
    await connect(scope, receive)
    await until_disconnect(scope, receive)


@session
async def return_before_accept(scope: Scope, receive: Receive, send: Send) -> None:
    await connect(scope, receive)


@session
async def raise_before_accept(scope: Scope, receive: Receive, send: Send) -> None:
    await connect(scope, receive)
    raise RuntimeError("raised before accept")


@session
async def return_after_accept(scope: Scope, receive: Receive, send: Send) -> None:
    await accept(scope, receive, send)


@session
async def raise_after_accept(scope: Scope, receive: Receive, send: Send) -> None:
    await accept(scope, receive, send)
    raise RuntimeError("raised after accept")


@session
async def return_after_a_message(scope: Scope, receive: Receive, send: Send) -> None:
    await accept(scope, receive, send)
    await receive()


@session
async def raise_after_a_message(scope: Scope, receive: Receive, send: Send) -> None:
    await accept(scope, receive, send)
    await receive()
    raise RuntimeError("raised after a message")


@session
async def send_before_accept(scope: Scope, receive: Receive, send: Send) -> None:
    await connect(scope, receive)
    await attempt(scope, send, {"type": "websocket.send", "text": "too early"})
    await send({"type": "websocket.accept"})
    await until_disconnect(scope, receive)


@session
async def send_nonsense(scope: Scope, receive: Receive, send: Send) -> None:
    await accept(scope, receive, send)
    await attempt(scope, send, {"type": "websocket.accept"})
    await attempt(scope, send, {"type": "http.response.start", "status": 200})
    await attempt(scope, send, {"type": "websocket.send"})
    await send({"type": "websocket.send", "text": "still here"})
    await until_disconnect(scope, receive)


@session
async def send_after_disconnect(scope: Scope, receive: Receive, send: Send) -> None:
    await accept(scope, receive, send)
    await until_disconnect(scope, receive)
    await attempt(scope, send, {"type": "websocket.send", "text": "anybody there?"})


@session
async def send_for_ever(scope: Scope, receive: Receive, send: Send) -> None:
    """Never look at what comes in; notice the end by the error that sending raises."""
    await accept(scope, receive, send)
    while True:
        try:
            await send({"type": "websocket.send", "bytes": bytes(10_000)})
        except OSError as error:
            note(scope, "raised", type=type(error).__name__, os_error=True)
            return
        await asyncio.sleep(0)


@session
async def flood(scope: Scope, receive: Receive, send: Send) -> None:
    """Send 256 MiB in pieces of 64 KiB; tell whenever that stands still, and how much the process grew."""
    await accept(scope, receive, send)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    piece = bytes(64 * 1024)
    for number in range(4096):
        sending = asyncio.ensure_future(send({"type": "websocket.send", "bytes": piece}))
        if not (await asyncio.wait([sending], timeout=0.5))[0]:
            grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
            note(scope, "blocked", sent=number * len(piece), grown_kib=grown)
        await sending
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    note(scope, "all sent", grown_kib=grown)
    await until_disconnect(scope, receive)


@session
async def wait_for_release(scope: Scope, receive: Receive, send: Send) -> None:
    """Read nothing until POST /release, then count what came: a text message ends it."""
    await accept(scope, receive, send)
    await RELEASED.wait()
    RELEASED.clear()
    numbers = []
    while (message := await receive()).get("text") is None:
        numbers.append(int.from_bytes(message["bytes"][:4], "big"))
    in_order = numbers == list(range(len(numbers)))
    await send({"type": "websocket.send", "text": json.dumps({"messages": len(numbers), "in order": in_order})})
    await until_disconnect(scope, receive)


@session
async def clean_up(scope: Scope, receive: Receive, send: Send) -> None:
    """Need half a second after the disconnect."""
    await accept(scope, receive, send)
    await until_disconnect(scope, receive)
    await asyncio.sleep(0.5)
    note(scope, "cleaned up")
