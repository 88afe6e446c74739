"""a2wsgi: an application of WSGI, mounted at `/`, where everything arrives that has no route."""

import os
from collections.abc import Iterable
from typing import Any

from a2wsgi import WSGIMiddleware
from fastapi import FastAPI

from asgi_upgrade import UpgradeMiddleware
from tests.middlewares.apps.common import echo
from tests.middlewares.apps.key import Key


def legacy(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
    print("LEGACY " + environ["PATH_INFO"], flush=True)
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"legacy"]


app = FastAPI()
app.add_middleware(UpgradeMiddleware, extend_server="UNATTACHED" not in os.environ)
app.add_middleware(Key)
app.add_api_websocket_route("/rooms/{room}", echo)
app.mount("/", WSGIMiddleware(legacy))
