"""uvicorn's HTTP protocols, extended with ``http.upgrade``.

`UpgradeMiddleware` puts them in place by itself when the application starts. To name one explicitly, which also works
without a lifespan::

    uvicorn.run(app, http="asgi_upgrade.servers.uvicorn:AutoProtocol")

``AutoProtocol`` is what uvicorn would choose for ``http="auto"``; ``H11Protocol``, ``HttpToolsProtocol`` and
``ZttpProtocol`` need the parser they are named after.
"""

from __future__ import annotations

import asyncio

__all__ = ["AutoProtocol", "H11Protocol", "HttpToolsProtocol", "ZttpProtocol"]

AutoProtocol: type[asyncio.Protocol]
H11Protocol: type[asyncio.Protocol]
HttpToolsProtocol: type[asyncio.Protocol]
ZttpProtocol: type[asyncio.Protocol]


def __getattr__(name: str) -> type[asyncio.Protocol]:
    # Looked up on first use: each of them imports a parser that may not be installed.
    if name in __all__:
        from asgi_upgrade.servers.uvicorn.logs import adopt_logging

        adopt_logging()
    if name == "AutoProtocol":
        try:
            import httptools  # noqa: F401
        except ImportError:
            name = "H11Protocol"
        else:
            name = "HttpToolsProtocol"
    if name == "H11Protocol":
        from asgi_upgrade.servers.uvicorn.h11 import H11Protocol

        return H11Protocol
    if name == "HttpToolsProtocol":
        from asgi_upgrade.servers.uvicorn.httptools import HttpToolsProtocol

        return HttpToolsProtocol
    if name == "ZttpProtocol":
        from asgi_upgrade.servers.uvicorn.zttp import ZttpProtocol

        return ZttpProtocol
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
