"""Panel in a FastAPI application: a middleware that serves its own paths, WebSockets included."""

import os
from typing import Any

import panel as pn
from fastapi import FastAPI
from panel.io.fastapi import PanelDispatchMiddleware, add_application

from asgi_upgrade import UpgradeMiddleware
from tests.middlewares.apps.common import echo
from tests.middlewares.apps.key import Key


def application(*, panel_outside: bool, **options: Any) -> FastAPI:
    """With Panel outside or inside of the guard."""
    app = FastAPI()
    app.add_api_websocket_route("/rooms/{room}", echo)
    app.add_middleware(UpgradeMiddleware, extend_server="UNATTACHED" not in os.environ, **options)
    if panel_outside:
        app.add_middleware(Key)
    add_application("/panel", app=app, title="panel")(lambda: pn.pane.Markdown("hello from Panel"))
    if not panel_outside:
        app.add_middleware(Key)
    return app


untold = application(panel_outside=True)
told = application(panel_outside=True, websocket_middleware=[PanelDispatchMiddleware])
guarded = application(panel_outside=False, websocket_middleware=[PanelDispatchMiddleware])
by_path = application(panel_outside=True, insecure_skip_http_middleware=["/panel/ws"])
