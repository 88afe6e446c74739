"""What is tried: each application, where it stands, and its clients. The table of the docs is made of it."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from typing import Any

from tests.docs_table import DocsTable

DOCS = DocsTable(
    Path(__file__).parents[2] / "docs" / "reference" / "compatibility.md",
    "<!-- Written by: tox -e apps -- --write-table -->\n",
)


@dataclass(frozen=True)
class Place:
    """An application at one place.

    Attributes:
        app: `MODULE:NAME`, of `apps/`.
        words: Where it stands.
        clients: `MODULE:NAME` each, of `clients/`.
        path: What the clients are given as the path.
        handshake: The path of a WebSocket; `None` where there is none.
        fields: What else its handshake needs.
        needs_more: Whether the application refuses a handshake that no page of its has prepared.
        outside: Whether the application stands around the cookie check, so that nobody is asked.
        lingers: Whether the process goes on once the server has ended, without us too.
        note: What to set, or to know.
    """

    app: str
    words: str
    clients: tuple[str, ...]
    handshake: str | None
    path: str = ""
    fields: Mapping[str, str] = field(default_factory=dict)
    needs_more: bool = False
    outside: bool = False
    lingers: bool = False
    note: str = ""

    def connect(self, client: str, *args: Any) -> AbstractContextManager[Any]:
        """Connect a client; the value is what it has seen."""
        module, _, name = client.partition(":")
        make: Callable[..., AbstractContextManager[Any]] = getattr(import_module(f"tests.apps.clients.{module}"), name)
        return make(*args, self.path)


@dataclass(frozen=True)
class Application:
    """A published application.

    Attributes:
        name: Its name.
        package: What pip installs.
        client: What the clients are.
        places: Where it is tried.
    """

    name: str
    package: str
    client: str
    places: tuple[Place, ...]


def _echo(name: str, package: str, module: str) -> Application:
    return Application(
        name,
        package,
        "`websockets`",
        (
            Place(f"{module}:alone", "alone", ("echo:client",), "/rooms/blue"),
            Place(f"{module}:mounted", "mounted in FastAPI", ("echo:client",), "/sub/rooms/blue", path="/sub"),
        ),
    )


_NEW = {"Sec-WebSocket-Protocol": "graphql-transport-ws"}
_OLD = {"Sec-WebSocket-Protocol": "graphql-ws"}
_ENGINE_IO = "?EIO=4&transport=websocket"
_SOCKET_IO = ("socket_io:by_websocket", "socket_io:from_polling", "socket_io:asynchronous")
_MARIMO: dict[str, Any] = {
    "clients": ("marimo_:client",),
    "handshake": "/notebook/ws?session_id=s_another",
    "path": "/notebook",
    "lingers": True,
    "note": "After Ctrl+C the process waits for the threads of its notebooks. It does so under uvicorn alone too. "
    "Press Ctrl+C again",
}
_MCP: dict[str, Any] = {
    "fields": {"Sec-WebSocket-Protocol": "mcp"},
    "note": "Version 2 of the SDK no longer has WebSockets",
}
_GRADIO: dict[str, Any] = {
    "path": "/gradio",
    "note": "Gradio has no WebSockets. Its queue uses requests and server-sent events",
}

APPLICATIONS = (
    Application(
        "NiceGUI",
        "nicegui",
        "its page's script, by python-socketio",
        (
            Place(
                "nice_gui:mounted",
                "`ui.run_with` FastAPI",
                ("nice_gui:client",),
                f"/_nicegui_ws/socket.io/{_ENGINE_IO}",
            ),
        ),
    ),
    Application(
        "Gradio",
        "gradio",
        "gradio_client",
        (
            Place("gradio_:alone", "alone", ("gradio_:client",), None, **_GRADIO),
            Place("gradio_:mounted", "`mount_gradio_app` in FastAPI", ("gradio_:client",), None, **_GRADIO),
        ),
    ),
    Application(
        "marimo",
        "marimo",
        "its page's messages, by `websockets`",
        (
            Place("marimo_:alone", "alone", **_MARIMO),
            Place("marimo_:mounted", "mounted in FastAPI", **_MARIMO),
        ),
    ),
    Application(
        "python-socketio",
        "python-socketio",
        "its own: `SimpleClient`, by WebSocket and from polling on; `AsyncSimpleClient`",
        (
            Place("socket_io:alone", "alone", _SOCKET_IO, f"/socket.io/{_ENGINE_IO}"),
            Place("socket_io:mounted", "mounted in FastAPI", _SOCKET_IO, f"/socket.io/{_ENGINE_IO}"),
            Place(
                "socket_io:around",
                "around FastAPI",
                _SOCKET_IO,
                f"/socket.io/{_ENGINE_IO}",
                outside=True,
                note="The middleware of FastAPI does not guard what stands around FastAPI: neither requests nor "
                "WebSockets. Mount Socket.IO instead",
            ),
        ),
    ),
    Application(
        "Strawberry",
        "strawberry-graphql",
        "gql, by both protocols, and graphql-ws of Node",
        (
            Place("strawberry_:alone", "alone", ("graphql:new", "graphql:old", "node:graphql_ws"), "/", "/", _NEW),
            Place(
                "strawberry_:router",
                "`GraphQLRouter` of FastAPI",
                ("graphql:new", "graphql:old", "node:graphql_ws"),
                "/graphql",
                "/graphql",
                _NEW,
            ),
            Place(
                "strawberry_:mounted",
                "mounted in FastAPI",
                ("graphql:new", "graphql:old", "node:graphql_ws"),
                "/graphql/",
                "/graphql/",
                _OLD,
            ),
        ),
    ),
    Application(
        "Ariadne",
        "ariadne",
        "gql, by the protocol of Ariadne's handler, and graphql-ws of Node",
        (
            Place(
                "ariadne_:alone",
                "alone, `GraphQLTransportWSHandler`",
                ("graphql:new", "node:graphql_ws"),
                "/",
                "/",
                _NEW,
            ),
            Place("ariadne_:alone_old", "alone, `GraphQLWSHandler`", ("graphql:old",), "/", "/", _OLD),
            Place(
                "ariadne_:mounted",
                "mounted in FastAPI, `GraphQLTransportWSHandler`",
                ("graphql:new", "node:graphql_ws"),
                "/graphql/",
                "/graphql/",
                _NEW,
            ),
            Place(
                "ariadne_:mounted_old",
                "mounted in FastAPI, `GraphQLWSHandler`",
                ("graphql:old",),
                "/graphql/",
                "/graphql/",
                _OLD,
            ),
        ),
    ),
    Application(
        "Django Channels",
        "channels",
        "two `websockets` in a group",
        (
            Place("channels_:alone", "alone", ("channels_:client",), "/rooms/blue"),
            Place("channels_:mounted", "mounted in FastAPI", ("channels_:client",), "/rooms/blue"),
        ),
    ),
    Application(
        "Panel",
        "panel",
        "`bokeh.client`",
        (
            Place(
                "panel_:inside",
                "`add_application` to FastAPI",
                ("panel_:client",),
                "/panel/ws",
                path="/panel",
                needs_more=True,
                note="Set `websocket_middleware=[PanelDispatchMiddleware]`, see "
                "[middleware](../guides/middleware.md#three-cases-that-need-a-decision)",
            ),
        ),
    ),
    Application(
        "Shiny",
        "shiny",
        "its page's messages, by `websockets`",
        (
            Place("shiny_:alone", "alone", ("shiny_:client",), "/websocket/"),
            Place("shiny_:mounted", "mounted in FastAPI", ("shiny_:client",), "/shiny/websocket/", path="/shiny"),
        ),
    ),
    Application(
        "Chainlit",
        "chainlit",
        "its page's script, by python-socketio",
        (
            Place(
                "chainlit_:mounted",
                "`mount_chainlit` in FastAPI",
                ("chainlit_:client",),
                f"/chainlit/ws/socket.io/{_ENGINE_IO}",
                path="/chainlit",
            ),
        ),
    ),
    Application(
        "Streamlit",
        "streamlit",
        "its page's messages, by `websockets`",
        (
            Place("streamlit_:alone", "`streamlit.App` alone", ("streamlit_:client",), "/_stcore/stream"),
            Place("streamlit_:mounted", "mounted in FastAPI", ("streamlit_:client",), "/_stcore/stream"),
        ),
    ),
    Application(
        "pycrdt-websocket",
        "pycrdt-websocket",
        "two of pycrdt's providers, and two of y-websocket of Node: a document of 2 MB",
        (
            Place("pycrdt_:alone", "alone", ("pycrdt_:client", "node:y_websocket"), "/room"),
            Place(
                "pycrdt_:mounted",
                "mounted in FastAPI",
                ("pycrdt_:client", "node:y_websocket"),
                "/documents/room",
                path="/documents",
            ),
        ),
    ),
    Application(
        "MCP's SDK",
        "mcp",
        "its own",
        (
            Place("mcp_:route", "a route of Starlette", ("mcp_:client",), "/mcp", "/mcp", **_MCP),
            Place("mcp_:mounted", "mounted in FastAPI", ("mcp_:client",), "/mcp/", "/mcp/", **_MCP),
        ),
    ),
    _echo("Quart", "quart", "quart_"),
    _echo("Litestar", "litestar", "litestar_"),
    _echo("BlackSheep", "blacksheep", "black_sheep"),
)
PLACES = tuple(place for application in APPLICATIONS for place in application.places)


def render() -> str:
    """The table, in Markdown, with the versions that are installed."""
    lines = [
        "| application | version | client | where it stands | works | to set, or to know |",
        "|---|---|---|---|:-:|---|",
    ]
    for application in APPLICATIONS:
        for place in application.places:
            first = place is application.places[0]
            head = (application.name, version(application.package), application.client) if first else ("", "", "")
            lines.append(f"| {' | '.join((*head, place.words))} | ✓ | {place.note} |".replace("  ", " "))
    return "\n".join(lines) + "\n"


def without_versions(table: str) -> str:
    """What does not change with each release."""
    return re.sub(r"^(\| [^|]+ \|) [\w.]+ \|", r"\1 |", table, flags=re.MULTILINE)
