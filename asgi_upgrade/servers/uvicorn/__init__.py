"""uvicorn's HTTP protocols, extended with ``http.upgrade``.

`UpgradeMiddleware` puts them in place by itself when the application starts. To name one explicitly, which also works
without a lifespan::

    uvicorn.run(app, http="asgi_upgrade.servers.uvicorn:AutoUpgradeProtocol")

``AutoUpgradeProtocol`` is what uvicorn would choose for ``http="auto"``; ``H11UpgradeProtocol``,
``HttpToolsUpgradeProtocol`` and ``ZttpUpgradeProtocol`` need the parser they are named after.
"""

from __future__ import annotations

import asyncio

__all__ = ["AutoUpgradeProtocol", "H11UpgradeProtocol", "HttpToolsUpgradeProtocol", "ZttpUpgradeProtocol"]

AutoUpgradeProtocol: type[asyncio.Protocol]
H11UpgradeProtocol: type[asyncio.Protocol]
HttpToolsUpgradeProtocol: type[asyncio.Protocol]
ZttpUpgradeProtocol: type[asyncio.Protocol]


def __getattr__(name: str) -> type[asyncio.Protocol]:
    # Looked up on first use: each of them imports a parser that may not be installed.
    if name in __all__:
        from asgi_upgrade.servers.uvicorn.logs import adopt_logging

        adopt_logging()
    if name == "AutoUpgradeProtocol":
        try:
            import httptools  # noqa: F401
        except ImportError:
            name = "H11UpgradeProtocol"
        else:
            name = "HttpToolsUpgradeProtocol"
    if name == "H11UpgradeProtocol":
        from asgi_upgrade.servers.uvicorn.h11_protocol import H11UpgradeProtocol

        return H11UpgradeProtocol
    if name == "HttpToolsUpgradeProtocol":
        from asgi_upgrade.servers.uvicorn.httptools_protocol import HttpToolsUpgradeProtocol

        return HttpToolsUpgradeProtocol
    if name == "ZttpUpgradeProtocol":
        from asgi_upgrade.servers.uvicorn.zttp_protocol import ZttpUpgradeProtocol

        return ZttpUpgradeProtocol
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
