"""NiceGUI in a FastAPI application: it brings Socket.IO, mounted at `/_nicegui_ws`."""

import os

from fastapi import FastAPI
from nicegui import ui

from asgi_upgrade import UpgradeMiddleware
from tests.middlewares.apps.common import echo
from tests.middlewares.apps.key import Key

app = FastAPI()
app.add_middleware(UpgradeMiddleware, extend_server="UNATTACHED" not in os.environ)
app.add_middleware(Key)
app.add_api_websocket_route("/rooms/{room}", echo)


@ui.page("/gui")  # type: ignore[untyped-decorator,unused-ignore]
def gui() -> None:
    """A page that changes once its WebSocket is open."""
    label = ui.label("not yet")
    ui.timer(0.1, lambda: label.set_text("told by the server"), once=True)


ui.run_with(app, show_welcome_message=False)
