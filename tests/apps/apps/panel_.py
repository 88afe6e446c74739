"""Panel's middleware, which serves its own paths, WebSockets included."""

import panel as pn
from fastapi import FastAPI
from panel.io.fastapi import PanelDispatchMiddleware, add_application

from .cookie import guard

inside = FastAPI()
add_application("/panel", app=inside, title="panel")(lambda: pn.pane.Markdown("hello from Panel"))
guard(inside, websocket_middleware=[PanelDispatchMiddleware])
