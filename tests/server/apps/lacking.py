"""A guarded application on packages that seem to lack what `LACKING` names: `module:Class.name`."""

import os
from typing import Any

from asgi_upgrade.guard import starlette_internals
from asgi_upgrade.system import internals

_owner, _, _name = os.environ["LACKING"].rpartition(".")
_module, _, _class = _owner.partition(":")
_names_of = internals.names_of


def _without(owner: Any) -> set[str]:
    if isinstance(owner, type) and (owner.__module__, owner.__qualname__) == (_module, _class):
        return _names_of(owner) - {_name}
    return _names_of(owner)


internals.names_of = _without
starlette_internals.lacking.cache_clear()  # it was asked for when the package was imported

from fastapi import FastAPI, Request, WebSocket  # noqa: E402
from starlette.responses import PlainTextResponse, Response  # noqa: E402

from asgi_upgrade import UpgradeMiddleware  # noqa: E402

app = FastAPI()
app.add_middleware(UpgradeMiddleware)


@app.middleware("http")
async def guard(request: Request, call_next: Any) -> Response:
    if request.headers.get("authorization") != "Bearer right":
        return PlainTextResponse("who are you?\n", 401)
    response: Response = await call_next(request)
    return response


@app.get("/")
async def page() -> str:
    return "page"


@app.websocket("/echo")
async def echo(websocket: WebSocket) -> None:
    await websocket.accept()
    async for text in websocket.iter_text():
        await websocket.send_text(text)
