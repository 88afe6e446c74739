"""Applications that give their connections away: FastAPI's and Starlette's routes, and the middleware's protocols."""

import asyncio
import hashlib
import json
import logging
import os
import resource
import ssl
from collections.abc import Awaitable, Callable
from typing import Annotated, Any

import anyio
from anyio.abc import SocketAttribute
from anyio.streams.buffered import BufferedByteStream
from anyio.streams.text import TextStream
from anyio.streams.tls import TLSAttribute, TLSStream
from fastapi import Body, Depends, FastAPI, Header, HTTPException, Request
from notes import note
from starlette.applications import Starlette
from starlette.authentication import AuthCredentials, AuthenticationBackend, SimpleUser, requires
from starlette.background import BackgroundTask
from starlette.middleware import Middleware
from starlette.middleware.authentication import AuthenticationMiddleware
from starlette.middleware.base import BaseHTTPMiddleware, RequestResponseEndpoint
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import HTTPConnection
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from asgi_upgrade import StreamSettings, UpgradeAttribute, UpgradeMiddleware, UpgradeResponse, UpgradeStream

Handler = Callable[[UpgradeStream], Awaitable[None]]

HANDLERS: dict[str, Handler] = {}

logging.basicConfig(format="%(levelname)s %(message)s")
logging.getLogger("asgi_upgrade").setLevel(logging.INFO)


def handler(function: Handler) -> Handler:
    """Serve `function` at its own name: `def echo_lines` at /echo-lines."""
    HANDLERS[function.__name__.replace("_", "-")] = function
    return function


@handler
async def echo(stream: UpgradeStream) -> None:
    async for data in stream:
        await stream.send(data)


@handler
async def digest(stream: UpgradeStream) -> None:
    """Read all there is, then answer with what it was."""
    length, sha = 0, hashlib.sha256()
    async for data in stream:
        assert data
        length += len(data)
        sha.update(data)
    await stream.send(json.dumps({"length": length, "sha256": sha.hexdigest()}).encode())


@handler
async def answer_after_the_end(stream: UpgradeStream) -> None:
    """Go on sending for a while after the client has ended its side."""
    async for data in stream:
        await stream.send(data)
    for number in range(5):
        await anyio.sleep(0.05)
        await stream.send(b" %d" % number)


@handler
async def end_first(stream: UpgradeStream) -> None:
    await stream.send(b"all I have to say")
    await stream.send_eof()
    received = b"".join([data async for data in stream])
    note(stream.scope, "received", data=received.decode())


@handler
async def end_first_if_possible(stream: UpgradeStream) -> None:
    try:
        await stream.send_eof()
    except NotImplementedError as error:
        note(stream.scope, "raised", message=str(error))
    await stream.send(b"still here")


@handler
async def flood(stream: UpgradeStream) -> None:
    """Send until the client's slowness is felt, then until the end; note how much went out before."""
    sent = 0
    while True:
        with anyio.move_on_after(0.5) as patience:
            await stream.send(bytes(16 * 1024))
        if patience.cancelled_caught:
            break
        sent += 16 * 1024
    note(stream.scope, "blocked", sent=sent, memory=memory())
    await stream.send(b"the end")


@handler
async def read_late(stream: UpgradeStream) -> None:
    """Leave the input alone until half a second has passed, so that the client must wait."""
    await anyio.sleep(0.5)
    note(stream.scope, "memory", bytes=memory())
    await digest(stream)


@handler
async def count(stream: UpgradeStream) -> None:
    """Throw away what comes, and tell how much it was and what memory it took."""
    received = 0
    async for data in stream:
        received += len(data)
    await stream.send(json.dumps({"received": received, "memory": memory()}).encode())


@handler
async def pour(stream: UpgradeStream) -> None:
    """Send as many bytes as the query says, and tell what memory it took."""
    left, piece = int(option(stream, "bytes")), bytes(256 * 1024)
    while left:
        await stream.send(piece[:left])
        left -= min(left, len(piece))
    note(stream.scope, "poured", memory=memory())


@handler
async def describe(stream: UpgradeStream) -> None:
    facts: dict[str, Any] = {
        "remote": stream.extra(SocketAttribute.remote_address),
        "local": stream.extra(SocketAttribute.local_address),
        "ports": [stream.extra(port, None) for port in (SocketAttribute.local_port, SocketAttribute.remote_port)],
        "family": stream.extra(SocketAttribute.family).name,
        "socket": stream.extra(SocketAttribute.raw_socket).fileno() > 0,
        "scope": stream.extra(UpgradeAttribute.scope)["path"],
        "same scope": stream.scope is stream.extra(UpgradeAttribute.scope),
        "protocol": stream.extra(UpgradeAttribute.protocol),
        "half close": stream.extra(UpgradeAttribute.half_close),
        "tls": stream.extra(TLSAttribute.tls_version, None),
        "cipher": bool(stream.extra(TLSAttribute.cipher, None)),
        "server side": stream.extra(TLSAttribute.server_side, None),
    }
    await stream.send(json.dumps(facts).encode())


@handler
async def buffered(stream: UpgradeStream) -> None:
    lines = BufferedByteStream(stream)
    while True:
        line = await lines.receive_until(b"\n", 1024)
        length = int(line)
        await lines.send(await lines.receive_exactly(length))


@handler
async def text(stream: UpgradeStream) -> None:
    characters = TextStream(stream)
    async for piece in characters:
        await characters.send(piece.upper())


@handler
async def tls_inside(stream: UpgradeStream) -> None:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(os.environ["CERTIFICATE"], os.environ["KEY"])
    async with await TLSStream.wrap(stream, server_side=True, ssl_context=context, standard_compatible=False) as tls:
        await tls.send(tls.extra(UpgradeAttribute.protocol).encode())
        async for data in tls:
            await tls.send(data)


@handler
async def asyncio_lines(stream: UpgradeStream) -> None:
    reader, writer = stream.asyncio_streams()
    while line := await reader.readline():
        writer.write(line.upper())
        await writer.drain()
    writer.write(b"bye")
    writer.write_eof()


@handler
async def raise_an_error(stream: UpgradeStream) -> None:
    await stream.send(b"so far so good")
    raise RuntimeError("the handler has failed")


@handler
async def expect_more(stream: UpgradeStream) -> None:
    """Do not mind the end of the input, as a careless handler would not."""
    while True:
        await stream.send(await stream.receive())


@handler
async def send_for_ever(stream: UpgradeStream) -> None:
    while True:
        await stream.send(b"x" * 1024)


@handler
async def sit(stream: UpgradeStream) -> None:
    """Receive for ever, and note how that ends."""
    note(stream.scope, "started")
    try:
        while True:
            await stream.receive()
    except BaseException as error:
        note(stream.scope, "ended", by=type(error).__name__)
        raise


@handler
async def say_goodbye(stream: UpgradeStream) -> None:
    """Wait until the server stops; take a moment to end well."""
    note(stream.scope, "started", shutting_down=stream.shutting_down)
    await stream.wait_shutdown()
    await stream.send(b"goodbye")
    await anyio.sleep(0.2)
    note(stream.scope, "told", shutting_down=stream.shutting_down)


@handler
async def tick(stream: UpgradeStream) -> None:
    for _ in range(5):
        await anyio.sleep(0.2)
        await stream.send(b"tick")


@handler
async def return_at_once(stream: UpgradeStream) -> None:
    await stream.send(b"x" * 300_000)


def memory() -> int:
    """The most memory this process has had, in bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def option(stream: UpgradeStream, name: str) -> str:
    query: str = stream.scope["query_string"].decode()
    return dict(part.split("=", 1) for part in query.split("&"))[name]


# FastAPI


async def user(authorization: Annotated[str | None, Header()] = None) -> str:
    if authorization is None:
        raise HTTPException(401, "who are you?", {"WWW-Authenticate": "Bearer"})
    return authorization.removeprefix("Bearer ")


class UnknownRoomError(Exception):
    pass


fastapi = FastAPI()


@fastapi.middleware("http")
async def dress(request: Request, call_next: RequestResponseEndpoint) -> Response:
    response = await call_next(request)
    response.headers["x-outer"] = "seen"
    response.headers.append("set-cookie", "outer=1")
    return response


@fastapi.exception_handler(UnknownRoomError)
async def unknown_room(request: Request, error: Exception) -> Response:
    return PlainTextResponse("no such room", 410)


@fastapi.post("/rooms/{number}")
async def room(
    number: int, name: Annotated[str, Depends(user)], greeting: Annotated[str, Body(embed=True)]
) -> UpgradeResponse:
    if number > 99:
        raise UnknownRoomError

    async def speak(stream: UpgradeStream) -> None:
        await stream.send(f"{greeting}, {name}, in {number}".encode())
        await echo(stream)

    response = UpgradeResponse(speak, "tcp", {"X-Room": str(number), "Content-Type": "application/x-room"})
    response.set_cookie("room", str(number))
    return response


@fastapi.api_route("/unread", methods=["GET", "POST", "OPTIONS"])
async def unread() -> UpgradeResponse:
    """The body, if there is one, is nobody's concern."""
    return UpgradeResponse(echo)


@fastapi.get("/slow")
async def slow() -> UpgradeResponse:
    await asyncio.sleep(0.3)
    return UpgradeResponse(answer_after_the_end)


@fastapi.get("/slow-refusal")
async def slow_refusal() -> Response:
    await asyncio.sleep(0.3)
    return PlainTextResponse("no", 403)


@fastapi.get("/wait-for-disconnect")
async def wait_for_disconnect(request: Request) -> None:
    note(request.scope, "waiting")
    while (await request.receive())["type"] != "http.disconnect":
        pass
    note(request.scope, "disconnected")


@fastapi.get("/fallback")
async def fallback() -> UpgradeResponse:
    return UpgradeResponse(echo, "bar/2", fallback=PlainTextResponse("plain is fine too"))


@fastapi.get("/with-background")
async def with_background(request: Request) -> UpgradeResponse:
    return UpgradeResponse(echo, background=BackgroundTask(note, request.scope, "background"))


@fastapi.get("/streams/{name}")
async def stream(name: str, request: Request) -> UpgradeResponse:
    options = {key: float(value) for key, value in request.query_params.items() if key.endswith("_timeout")}
    sizes = {key: int(value) for key, value in request.query_params.items() if key.endswith("_size")}
    return UpgradeResponse(HANDLERS[name], streams=StreamSettings(**options, **sizes))  # type: ignore[arg-type]


@fastapi.get("/http")
async def plain(request: Request) -> str:
    note(request.scope, "complete")
    return "plain"


# Starlette


class Bearer(AuthenticationBackend):
    async def authenticate(self, conn: HTTPConnection) -> tuple[AuthCredentials, SimpleUser] | None:
        name = conn.headers.get("authorization", "").removeprefix("Bearer ")
        return (AuthCredentials(["authenticated"]), SimpleUser(name)) if name else None


@requires("authenticated", status_code=401)
async def speak_in_room(request: Any) -> Response:
    body = await request.json()
    name, number = request.user.display_name, request.path_params["number"]
    if number > 99:
        raise UnknownRoomError

    async def speak(stream: UpgradeStream) -> None:
        await stream.send(f"{body['greeting']}, {name}, in {number}".encode())
        await echo(stream)

    response = UpgradeResponse(speak, "tcp", {"X-Room": str(number), "Content-Type": "application/x-room"})
    response.set_cookie("room", str(number))
    return response


starlette = Starlette(
    routes=[Route("/rooms/{number:int}", speak_in_room, methods=["POST"])],
    middleware=[Middleware(AuthenticationMiddleware, backend=Bearer())],
    exception_handlers={UnknownRoomError: unknown_room},
)
starlette.add_middleware(BaseHTTPMiddleware, dispatch=dress)


# The middleware's protocols


async def first_version(stream: UpgradeStream) -> None:
    await stream.send(b"one:" + stream.protocol.encode())


async def second_version(stream: UpgradeStream) -> None:
    await stream.send(b"two:" + stream.protocol.encode())


class Picky:
    """Declines requests for any path but its own."""

    def accepts(self, scope: Any) -> bool:
        return bool(scope["path"] == "/picky")

    async def __call__(self, stream: UpgradeStream) -> None:
        await stream.send(b"picky")


class Ponderous(Picky):
    """The same, after a look somewhere else."""

    async def accepts(self, scope: Any) -> bool:  # type: ignore[override]
        await asyncio.sleep(0)
        return bool(scope["path"] == "/ponderous")

    async def __call__(self, stream: UpgradeStream) -> None:
        await stream.send(b"ponderous")


PROTOCOLS: dict[str, Handler] = {
    "foo/1": first_version,
    "Foo/2": second_version,
    "picky": Picky(),
    "ponderous/X": Ponderous(),
}

unattached = FastAPI()
unattached.include_router(fastapi.router)
unattached.add_middleware(UpgradeMiddleware, protocols=PROTOCOLS, extend_server=False)

fastapi.add_middleware(UpgradeMiddleware, protocols=PROTOCOLS)
fastapi.add_middleware(GZipMiddleware, minimum_size=0)
starlette.add_middleware(UpgradeMiddleware)

impatient = UpgradeMiddleware(
    fastapi,
    protocols={"sit": sit},
    streams=StreamSettings(idle_timeout=0.5, total_timeout=1.0, shutdown_timeout=0.5, close_timeout=0.5),
)
