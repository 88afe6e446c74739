"""pytest plugin: uvicorn runs with the protocols of the package, and every application has an `UpgradeMiddleware`.

The middleware stands innermost, inside uvicorn's own. It is told what uvicorn's options say of WebSockets.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

import peers_counting
from uvicorn.config import Config
from uvicorn.middleware.message_logger import MessageLoggerMiddleware
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from asgi_upgrade import UpgradeMiddleware, WebSocketSettings

# uvicorn's classes are replaced where they are defined, so that tests that build a connection by hand get ours, too.
_REPLACED = {
    "h11_impl": "h11_protocol:H11UpgradeProtocol",
    "httptools_impl": "httptools_protocol:HttpToolsUpgradeProtocol",
    "zttp_impl": "zttp_protocol:ZttpUpgradeProtocol",
    "auto_zttp_impl": "zttp_protocol:AutoZttpUpgradeProtocol",
}


def pytest_configure() -> None:
    peers_counting.count()
    replacements = []
    for theirs, ours in _REPLACED.items():
        module, _, name = ours.partition(":")
        replacements.append((import_module(f"uvicorn.protocols.http.{theirs}"), name, module))
    for theirs_module, name, module in replacements:
        ours = getattr(import_module(f"asgi_upgrade.servers.uvicorn.{module}"), name)
        setattr(theirs_module, name.replace("UpgradeProtocol", "Protocol"), ours)
    load = Config.load

    def load_with_middleware(self: Config) -> None:
        load(self)
        if self.interface != "wsgi" and self.ws != "none":
            _add(self)

    Config.load = load_with_middleware  # type: ignore[method-assign]


def _add(config: Config) -> None:
    outer: Any = None
    app: Any = config.loaded_app
    while isinstance(app, (MessageLoggerMiddleware, ProxyHeadersMiddleware)):
        outer, app = app, app.app
    app = UpgradeMiddleware(
        app,
        websocket=WebSocketSettings(
            deflate=config.ws_per_message_deflate,
            max_message_size=config.ws_max_size,
            max_queue=config.ws_max_queue,
            ping_interval=config.ws_ping_interval or None,
            ping_timeout=config.ws_ping_timeout,
        ),
    )
    if outer is None:
        config.loaded_app = app
    else:
        outer.app = app
