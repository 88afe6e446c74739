"""The application under `UpgradeMiddleware` with h2c, and pages that say what becomes of a request on a stream."""

import asyncio
import json
import os
from typing import Any

from notes import note
from pages import PAGES, respond
from plain import app as application
from sessions import RELEASED
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from asgi_upgrade import H2CSettings, UpgradeMiddleware


async def describe(scope: Scope, receive: Receive, send: Send) -> None:
    """Send the scope; bytes in it as text, what JSON does not know as its repr."""
    headers = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in scope["headers"]]
    facts = {
        key: value.decode("latin-1") if isinstance(value, bytes) else value
        for key, value in scope.items()
        if key not in ("headers", "extensions")
    }
    facts = {**facts, "headers": headers, "extensions": sorted(scope["extensions"])}
    described = json.dumps(facts, default=repr).encode()
    scope["state"]["changed by a request"] = True
    await respond(send, described)


async def echo(scope: Scope, receive: Receive, send: Send) -> None:
    """Send the body back while it comes."""
    await send({"type": "http.response.start", "status": 200, "headers": []})
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            note(scope, "disconnect")
            return
        more = message.get("more_body", False)
        await send({"type": "http.response.body", "body": message.get("body", b""), "more_body": more})
        if not more:
            return


async def pour(scope: Scope, receive: Receive, send: Send) -> None:
    """Send as many bytes as the query says, and tell when that stands still."""
    left, piece = int(scope["query_string"]), bytes(64 * 1024)
    sent = 0
    await send({"type": "http.response.start", "status": 200, "headers": []})
    while left:
        size = min(left, len(piece))
        left -= size
        message = {"type": "http.response.body", "body": piece[:size], "more_body": bool(left)}
        sending = asyncio.ensure_future(send(message))
        if not (await asyncio.wait([sending], timeout=0.3))[0]:
            note(scope, "blocked", sent=sent)
        await sending
        sent += size
    note(scope, "all sent")


async def read_later(scope: Scope, receive: Receive, send: Send) -> None:
    """Read the body after POST /release."""
    note(scope, "started")
    await RELEASED.wait()
    RELEASED.clear()
    await PAGES["/slow"](scope, receive, send)


async def read_and_answer(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer while another task reads, as some middleware does."""
    reader = asyncio.create_task(PAGES["/slow"](scope, receive, _nowhere))
    await asyncio.sleep(0.05)
    await respond(send, b'"answered"')
    reader.cancel()
    await asyncio.wait([reader])


async def _nowhere(message: Message) -> None:
    pass


async def wait_for_disconnect(scope: Scope, receive: Receive, send: Send) -> None:
    """Begin a response, then wait for the client to leave."""
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"begun", "more_body": True})
    while (message := await receive())["type"] != "http.disconnect":
        pass
    note(scope, message["type"])
    await send({"type": "http.response.body", "body": b"too late"})
    note(scope, "sent")


async def fail_later(scope: Scope, receive: Receive, send: Send) -> None:
    """Raise in the middle of a response."""
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"half", "more_body": True})
    raise RuntimeError("raised in mid response")


async def say_nothing(scope: Scope, receive: Receive, send: Send) -> None:
    """Return without a response."""


async def too_short(scope: Scope, receive: Receive, send: Send) -> None:
    """Send less than the length that was declared."""
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"10")]})
    await send({"type": "http.response.body", "body": b"short"})


async def nonsense(scope: Scope, receive: Receive, send: Send) -> None:
    """Send what does not fit, and say what that raised."""
    raised = []
    for message in (
        {"type": "http.response.body", "body": b"too early"},
        {"type": "http.response.start", "status": 101, "headers": []},
        {"type": "http.response.start", "status": 200, "headers": [(b"x-a", b"b\r\nx-injected: yes")]},
    ):
        try:
            await send(message)
        except Exception as error:  # noqa: BLE001 - the test judges it
            raised.append(type(error).__name__)
    await respond(send, json.dumps(raised).encode())
    try:
        await send({"type": "http.response.body", "body": b"too late"})
    except RuntimeError as error:
        note(scope, "raised", message=str(error))


async def dressed(scope: Scope, receive: Receive, send: Send) -> None:
    """A response with fields that HTTP/2 does not have, and two cookies."""
    headers = [
        (b"Connection", b"keep-alive"),
        (b"Keep-Alive", b"timeout=5"),
        (b"Transfer-Encoding", b"chunked"),
        (b"X-Upper", b"yes"),
        (b"set-cookie", b"a=1"),
        (b"set-cookie", b"b=2"),
    ]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": b"dressed"})


async def no_content(scope: Scope, receive: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 204, "headers": []})
    await send({"type": "http.response.body", "body": b""})


async def with_trailers(scope: Scope, receive: Receive, send: Send) -> None:
    """A response with trailers in two messages, or with none where the query says so."""
    none = scope["query_string"] == b"none"
    await send({"type": "http.response.start", "status": 200, "headers": [], "trailers": True})
    await send({"type": "http.response.body", "body": b"body", "more_body": True})
    await send({"type": "http.response.body", "body": b" ends"})
    if not none:
        trailer: dict[str, Any] = {"type": "http.response.trailers", "headers": [(b"X-One", b"1")]}
        await send({**trailer, "more_trailers": True})
    await send({"type": "http.response.trailers", "headers": [] if none else [(b"x-two", b"2")]})


OWN = {
    "/describe": describe,
    "/echo-body": echo,
    "/pour": pour,
    "/read-and-answer": read_and_answer,
    "/read-later": read_later,
    "/wait-for-disconnect": wait_for_disconnect,
    "/fail-later": fail_later,
    "/say-nothing": say_nothing,
    "/too-short": too_short,
    "/nonsense": nonsense,
    "/dressed": dressed,
    "/no-content": no_content,
    "/with-trailers": with_trailers,
}


async def pages(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "http" and scope["path"] in OWN:
        await OWN[scope["path"]](scope, receive, send)
    else:
        await application(scope, receive, send)


class Outer:
    """HTTP middleware as users have it; it counts the requests that it sees."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app
        self.seen = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        self.seen += 1
        if scope["path"] == "/forbidden":
            await respond(send, b"forbidden by middleware", 401, b"text/plain")
            return

        async def wrapper(message: Message) -> None:
            if message["type"] == "http.response.start":
                added = [(b"x-outer", b"seen"), (b"x-seen", b"%d" % self.seen)]
                message = {**message, "headers": [*message.get("headers", []), *added]}
            await send(message)

        await self.app(scope, receive, wrapper)


networks = os.environ.get("H2C_NETWORKS")
app = Outer(
    UpgradeMiddleware(
        pages,
        h2c=H2CSettings(networks=networks.split() if networks else None),
        allowed_origins=["https://app.example.com"],
        subprotocols=["configured.v2", "configured.v1"],
        websocket_only=["/websocket-only"],
    )
)
