"""What is tried: each application, where it stands, its client, and what opens its WebSocket."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any


@dataclass(frozen=True)
class Trial:
    """One application at one place, with one client.

    Attributes:
        app: `MODULE:NAME`, of `apps/`.
        client: `MODULE:NAME`, of `clients/`.
        handshake: The path of a WebSocket that anybody could open; `None` where there is none.
        fields: What else the handshake needs.
        path: What the client is given as the path.
        guards_pages_only: Whether the application stands around the cookie check.
    """

    app: str
    client: str
    handshake: str | None
    fields: Mapping[str, str] = field(default_factory=dict)
    path: str = ""
    outside: bool = False

    @property
    def name(self) -> str:
        return f"{self.app} by {self.client}"

    def connect(self, *args: Any) -> AbstractContextManager[Any]:
        """Connect the client; the value is what it has seen."""
        module, _, name = self.client.partition(":")
        make: Callable[..., AbstractContextManager[Any]] = getattr(import_module(f"tests.apps.clients.{module}"), name)
        return make(*args, self.path)


NEW = {"Sec-WebSocket-Protocol": "graphql-transport-ws"}
OLD = {"Sec-WebSocket-Protocol": "graphql-ws"}
SOCKET_IO = "/socket.io/?EIO=4&transport=websocket"

TRIALS = (
    Trial("nice_gui:mounted", "nice_gui:client", None),
    Trial("gradio_:mounted", "gradio_:client", None, path="/gradio"),
    Trial("gradio_:alone", "gradio_:client", None, path="/gradio"),
    Trial("marimo_:alone", "marimo_:client", "/notebook/ws?session_id=s_other1", path="/notebook"),
    Trial("marimo_:mounted", "marimo_:client", "/notebook/ws?session_id=s_other1", path="/notebook"),
    Trial("socket_io:alone", "socket_io:by_websocket", SOCKET_IO),
    Trial("socket_io:alone", "socket_io:from_polling", SOCKET_IO),
    Trial("socket_io:alone", "socket_io:asynchronous", SOCKET_IO),
    Trial("socket_io:mounted", "socket_io:by_websocket", SOCKET_IO),
    Trial("socket_io:mounted", "socket_io:from_polling", SOCKET_IO),
    Trial("socket_io:mounted", "socket_io:asynchronous", SOCKET_IO),
    Trial("socket_io:around", "socket_io:by_websocket", SOCKET_IO, outside=True),
    Trial("socket_io:around", "socket_io:from_polling", SOCKET_IO, outside=True),
    Trial("socket_io:around", "socket_io:asynchronous", SOCKET_IO, outside=True),
    Trial("strawberry_:router", "graphql:new", "/graphql", NEW, path="/graphql"),
    Trial("strawberry_:router", "graphql:old", "/graphql", OLD, path="/graphql"),
    Trial("strawberry_:alone", "graphql:new", "/", NEW, path="/"),
    Trial("strawberry_:alone", "graphql:old", "/", OLD, path="/"),
    Trial("strawberry_:mounted", "graphql:new", "/graphql/", NEW, path="/graphql/"),
    Trial("strawberry_:mounted", "graphql:old", "/graphql/", OLD, path="/graphql/"),
    Trial("ariadne_:alone", "graphql:new", "/", NEW, path="/"),
    Trial("ariadne_:alone_old", "graphql:old", "/", OLD, path="/"),
    Trial("ariadne_:mounted", "graphql:new", "/graphql/", NEW, path="/graphql/"),
    Trial("ariadne_:mounted_old", "graphql:old", "/graphql/", OLD, path="/graphql/"),
    Trial("channels_:alone", "channels_:client", "/rooms/blue"),
    Trial("channels_:mounted", "channels_:client", "/rooms/blue"),
    Trial("panel_:inside", "panel_:client", None, path="/panel"),
    Trial("shiny_:alone", "shiny_:client", "/websocket/"),
    Trial("shiny_:mounted", "shiny_:client", "/shiny/websocket/", path="/shiny"),
    Trial("chainlit_:mounted", "chainlit_:client", None, path="/chainlit"),
    Trial("streamlit_:alone", "streamlit_:client", "/_stcore/stream"),
    Trial("streamlit_:mounted", "streamlit_:client", "/_stcore/stream"),
    Trial("pycrdt_:alone", "pycrdt_:client", "/room"),
    Trial("pycrdt_:mounted", "pycrdt_:client", "/documents/room", path="/documents"),
    Trial("mcp_:route", "mcp_:client", "/mcp", {"Sec-WebSocket-Protocol": "mcp"}, path="/mcp"),
    Trial("mcp_:mounted", "mcp_:client", "/mcp/", {"Sec-WebSocket-Protocol": "mcp"}, path="/mcp/"),
    Trial("quart_:alone", "echo:client", "/rooms/blue"),
    Trial("quart_:mounted", "echo:client", "/sub/rooms/blue", path="/sub"),
    Trial("litestar_:alone", "echo:client", "/rooms/blue"),
    Trial("litestar_:mounted", "echo:client", "/sub/rooms/blue", path="/sub"),
    Trial("black_sheep:alone", "echo:client", "/rooms/blue"),
    Trial("black_sheep:mounted", "echo:client", "/sub/rooms/blue", path="/sub"),
)
