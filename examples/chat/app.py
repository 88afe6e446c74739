"""A chat whose login guards its WebSocket: one HTTP middleware refuses strangers, handshakes included.

Settings, all from the environment:
    CHAT_SECRET: signs the session cookie. Default: random at each start, which one worker alone can use.
    REDIS_URL: lets rooms span workers, e.g. redis://127.0.0.1:6379/0. Default: rooms live in this process.
"""

import logging
import multiprocessing
import os
import re
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated

from fastapi import FastAPI, Form, Request, Response, WebSocket
from fastapi import Path as PathParameter
from fastapi.responses import FileResponse, RedirectResponse
from fastapi.staticfiles import StaticFiles
from rooms import LocalRooms, RedisRooms
from session import ChatSession
from starlette.middleware.sessions import SessionMiddleware

from asgi_upgrade import UpgradeMiddleware

logger = logging.getLogger("uvicorn.error")

STATIC = Path(__file__).with_name("static")
NAME = re.compile(r"[\w .'-]{1,24}")
PUBLIC = ("/login", "/static/")


def session_secret() -> str:
    """The key that signs session cookies: every worker must use the same."""
    if secret := os.environ.get("CHAT_SECRET"):
        return secret
    if os.environ.get("REDIS_URL"):
        raise RuntimeError(
            "REDIS_URL is for several workers, and they share sessions only with one CHAT_SECRET: set it"
        )
    if multiprocessing.parent_process():
        logger.warning("Each worker has its own sessions and rooms: several need CHAT_SECRET and REDIS_URL")
    return secrets.token_urlsafe(32)


redis_url = os.environ.get("REDIS_URL")
rooms = RedisRooms(redis_url) if redis_url else LocalRooms()


@asynccontextmanager
async def lifespan(_: FastAPI) -> AsyncIterator[None]:
    """Keep the rooms connected while the server runs."""
    async with rooms.running():
        yield


app = FastAPI(title="Chat", lifespan=lifespan, docs_url=None, redoc_url=None, openapi_url=None)

# What is added last is outermost: the session is read, then the guard decides, then the handshake is answered.
app.add_middleware(UpgradeMiddleware, subprotocols=["chat.v1"], max_message_size=16 * 1024)


@app.middleware("http")
async def guard(request: Request, call_next: Callable[[Request], Awaitable[Response]]) -> Response:
    """Refuse whoever is not logged in: pages, files and WebSocket handshakes alike."""
    path = request.url.path.removeprefix(request.scope.get("root_path", ""))
    if "user" not in request.session and not path.startswith(PUBLIC):
        if "text/html" in request.headers.get("accept", ""):
            return RedirectResponse("login", status_code=303)
        return Response("log in first\n", status_code=401, media_type="text/plain")
    response = await call_next(request)
    response.headers["content-security-policy"] = "default-src 'self'; img-src data:; frame-ancestors 'none'"
    return response


app.add_middleware(SessionMiddleware, secret_key=session_secret(), session_cookie="chat", same_site="lax")
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
    request.session["user"] = name
    return RedirectResponse("./", status_code=303)


@app.post("/logout")
async def logout(request: Request) -> RedirectResponse:
    """Forget the name."""
    request.session.clear()
    return RedirectResponse("login", status_code=303)


@app.get("/me")
async def me(request: Request) -> dict[str, str]:
    """Who is logged in: the page asks when a connection fails, as a browser hides the status of a refused handshake."""
    return {"user": request.session["user"]}


@app.websocket("/rooms/{name}")
async def room(websocket: WebSocket, name: Annotated[str, PathParameter(pattern=r"^[a-z0-9-]{1,32}$")]) -> None:
    """One client in one room, until either side ends it."""
    await websocket.accept()
    await ChatSession(websocket, rooms, name, websocket.session["user"]).run()
