"""Plain HTTP, to be found intact whatever upgrade a request offered."""

import asyncio
import hashlib
import json
import sys

from notes import note
from sessions import RELEASED
from starlette.types import Receive, Scope, Send


async def respond(
    send: Send, body: bytes, status: int = 200, content_type: bytes = b"application/json", more: bool = False
) -> None:
    headers = [(b"content-type", content_type), (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body, "more_body": more})


async def read(scope: Scope, receive: Receive) -> bytes | None:
    """The whole body, or None if the client went before it was complete."""
    body = bytearray()
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            note(scope, "incomplete", length=len(body))
            return None
        body.extend(message.get("body", b""))
        if not message.get("more_body"):
            note(scope, "complete", length=len(body))
            return bytes(body)


async def report(scope: Scope, receive: Receive, send: Send) -> None:
    """Say what request arrived."""
    if (body := await read(scope, receive)) is None:
        return
    facts = {
        "method": scope["method"],
        "path": scope["path"],
        "query_string": scope["query_string"].decode("latin-1"),
        "http_version": scope["http_version"],
        "scheme": scope["scheme"],
        "headers": [(name.decode("latin-1"), value.decode("latin-1")) for name, value in scope["headers"]],
        "extensions": sorted(scope.get("extensions", {})),
        "length": len(body),
        "sha256": hashlib.sha256(body).hexdigest(),
    }
    await respond(send, json.dumps(facts).encode())


async def ignore_body(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer without looking at the body."""
    await respond(send, b'"not read"')


async def slow(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer late, so that what follows in the pipeline has to wait: after the seconds that the query says."""
    note(scope, "started")
    await asyncio.sleep(float(scope["query_string"] or 0.02))
    await report(scope, receive, send)


async def wait(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer after POST /release."""
    note(scope, "started")
    await RELEASED.wait()
    RELEASED.clear()
    await report(scope, receive, send)


async def poll(scope: Scope, receive: Receive, send: Send) -> None:
    """Ask again and again whether the client has gone, until POST /release or the disconnect."""
    await read(scope, receive)
    note(scope, "started")
    while not RELEASED.is_set():
        try:
            message = await asyncio.wait_for(receive(), 0.005)
        except (TimeoutError, asyncio.TimeoutError):
            continue
        note(scope, "polled", type=message["type"])
        return
    RELEASED.clear()
    await respond(send, b'"polled"')


async def stream(scope: Scope, receive: Receive, send: Send) -> None:
    """A response in chunks."""
    await read(scope, receive)
    await send({"type": "http.response.start", "status": 200, "headers": []})
    for part in (b"one ", b"two ", b"three"):
        await send({"type": "http.response.body", "body": part, "more_body": True})
    await send({"type": "http.response.body", "body": b""})


async def modules(scope: Scope, receive: Receive, send: Send) -> None:
    """The names of all modules that have been imported."""
    await respond(send, json.dumps(sorted(sys.modules)).encode())


async def release(scope: Scope, receive: Receive, send: Send) -> None:
    RELEASED.set()
    await respond(send, b"{}")


async def fail(scope: Scope, receive: Receive, send: Send) -> None:
    raise RuntimeError("a page that fails")


PAGES = {
    "/ignore-body": ignore_body,
    "/slow": slow,
    "/poll": poll,
    "/stream": stream,
    "/wait": wait,
    "/modules": modules,
    "/release": release,
    "/fail": fail,
}
