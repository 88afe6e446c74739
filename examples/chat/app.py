"""A chat whose login guards its WebSocket: one HTTP middleware refuses strangers, handshakes included.

Settings, all from the environment:
    REDIS_URL: lets rooms and logins span workers, e.g. redis://127.0.0.1:6379/0. Default: they live in this process.
"""

import logging
import multiprocessing
import os
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated

from fastapi import FastAPI, Form, Request, Response, WebSocket
from fastapi import Path as PathParameter
from fastapi.responses import FileResponse, PlainTextResponse, RedirectResponse
from fastapi.staticfiles import StaticFiles
from logins import SECONDS, LocalLogins, RedisLogins
from redis.exceptions import RedisError
from rooms import LocalRooms, RedisRooms, Unavailable
from session import ChatSession, event, farewell

from asgi_upgrade import UpgradeMiddleware, WebSocketSettings

logger = logging.getLogger("uvicorn.error")

STATIC = Path(__file__).with_name("static")
NAME = re.compile(r"[\w .'-]{1,24}")
COOKIE = "chat"
PUBLIC = ("/login", "/static/")
SAFE = ("GET", "HEAD", "OPTIONS")

RoomName = Annotated[str, PathParameter(pattern=r"^[a-z0-9-]{1,32}$")]

redis_url = os.environ.get("REDIS_URL")
rooms: LocalRooms
logins: LocalLogins | RedisLogins
if redis_url:
    rooms = RedisRooms(redis_url)
    logins = RedisLogins(rooms.redis)
else:
    rooms, logins = LocalRooms(), LocalLogins()
    if multiprocessing.parent_process():
        logger.warning("Each worker has its own logins and rooms: several need REDIS_URL")


@asynccontextmanager
async def lifespan(_: FastAPI) -> AsyncIterator[None]:
    """Keep the rooms connected while the server runs."""
    async with rooms.running():
        yield


app = FastAPI(title="Chat", lifespan=lifespan, docs_url=None, redoc_url=None, openapi_url=None)

# What is added last is outermost: the guard decides, then the handshake is answered.
app.add_middleware(UpgradeMiddleware, subprotocols=["chat.v1"], websocket=WebSocketSettings(max_message_size=16 * 1024))


def comes_from_elsewhere(request: Request) -> bool:
    """Whether a page of another site has sent this. Without these fields it is no browser that did."""
    if (site := request.headers.get("sec-fetch-site")) is not None:
        return site not in ("same-origin", "none")
    origin = request.headers.get("origin")
    return origin is not None and origin != f"{request.url.scheme}://{request.url.netloc}"


@app.middleware("http")
async def guard(request: Request, call_next: Callable[[Request], Awaitable[Response]]) -> Response:
    """Refuse whoever is not logged in: pages, files and WebSocket handshakes alike."""
    if request.method not in SAFE and comes_from_elsewhere(request):
        # Or another site could log its visitors in, under a name of its choice, and out.
        return PlainTextResponse("not from another site\n", status_code=403)
    token = request.cookies.get(COOKIE)
    try:
        request.state.login = await logins.find(token) if token else None
    except (RedisError, OSError):
        return PlainTextResponse("try again in a moment\n", status_code=503, headers={"retry-after": "1"})
    path = request.url.path.removeprefix(request.scope.get("root_path", ""))
    if request.state.login is None and not path.startswith(PUBLIC):
        if "text/html" in request.headers.get("accept", ""):
            return RedirectResponse("login", status_code=303)
        return PlainTextResponse("log in first\n", status_code=401)
    response = await call_next(request)
    response.headers["content-security-policy"] = (
        "default-src 'self'; img-src data:; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
    )
    return response


app.mount("/static", StaticFiles(directory=STATIC))


@app.get("/")
async def chat_page() -> FileResponse:
    """The chat itself; `?room=` names the room."""
    return FileResponse(STATIC / "chat.html", headers={"cache-control": "no-store"})


@app.get("/login")
async def login_page() -> FileResponse:
    """The only page for strangers."""
    return FileResponse(STATIC / "login.html")


@app.post("/login")
async def login(request: Request, name: Annotated[str, Form()] = "") -> RedirectResponse:
    """Anyone may choose a name here: put your own check of who it is in this place."""
    if not NAME.fullmatch(name := name.strip()):
        return RedirectResponse("login#error", status_code=303)
    if request.state.login is not None:
        await logins.end(request.state.login)
    response = RedirectResponse("./", status_code=303)
    response.set_cookie(
        COOKIE,
        await logins.begin(name),
        max_age=SECONDS,
        httponly=True,
        samesite="lax",
        secure=request.url.scheme == "https",  # behind a proxy, uvicorn knows it from X-Forwarded-Proto
    )
    return response


@app.post("/logout")
async def logout(request: Request) -> RedirectResponse:
    """End the login, and what was opened with it."""
    await logins.end(request.state.login)
    try:
        await rooms.publish(farewell(request.state.login), event("logout"))
    except Unavailable:
        logger.warning("Redis is away: WebSockets of a login that has ended stay open")
    response = RedirectResponse("login", status_code=303)
    response.delete_cookie(COOKIE, httponly=True, samesite="lax", secure=request.url.scheme == "https")
    return response


@app.get("/rooms/{name}")
async def describe_room(request: Request, name: RoomName) -> dict[str, str]:
    """Who is asking for which room: as a browser hides why a handshake was refused, the page asks here."""
    return {"room": name, "user": request.state.login.user}


@app.websocket("/rooms/{name}")
async def room(websocket: WebSocket, name: RoomName) -> None:
    """One client in one room, until either side ends it."""
    await websocket.accept()
    await ChatSession(websocket, rooms, name, websocket.state.login).run()
