"""uvicorn's HTTP protocols, extended with ``http.upgrade``.

`UpgradeMiddleware` makes uvicorn use them when the application starts. You can also name one yourself. This works
without a lifespan too:

    uvicorn.run(app, http="asgi_upgrade.servers.uvicorn:AutoUpgradeProtocol")

``AutoUpgradeProtocol`` uses the parser that uvicorn would choose for ``http="auto"``. ``H11UpgradeProtocol``,
``HttpToolsUpgradeProtocol`` and ``ZttpUpgradeProtocol`` each need the parser in their name.
"""

from __future__ import annotations

import asyncio
from importlib import import_module

__all__ = ["AutoUpgradeProtocol", "H11UpgradeProtocol", "HttpToolsUpgradeProtocol", "ZttpUpgradeProtocol"]

AutoUpgradeProtocol: type[asyncio.Protocol]
"""The protocol that fits ``http="auto"``, extended: with httptools if it is installed, else with h11."""

H11UpgradeProtocol: type[asyncio.Protocol]
"""uvicorn's protocol with the parser h11, extended."""

HttpToolsUpgradeProtocol: type[asyncio.Protocol]
"""uvicorn's protocol with the parser httptools, extended."""

ZttpUpgradeProtocol: type[asyncio.Protocol]
"""uvicorn's protocol with the parser zttp, extended."""


# Where each of them is, and uvicorn's module that it extends.
_ROOMS = {
    "H11UpgradeProtocol": ("h11_protocol", "h11_impl"),
    "HttpToolsUpgradeProtocol": ("httptools_protocol", "httptools_impl"),
    "ZttpUpgradeProtocol": ("zttp_protocol", "zttp_impl"),
}


def __getattr__(name: str) -> type[asyncio.Protocol]:
    # Looked up on first use: each of them imports a parser that may not be installed.
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from asgi_upgrade.servers.uvicorn.internals import missing_for
    from asgi_upgrade.servers.uvicorn.logs import adopt_logging

    adopt_logging()
    if name == "AutoUpgradeProtocol":
        try:
            import httptools  # noqa: F401
        except ImportError:
            name = "H11UpgradeProtocol"
        else:
            name = "HttpToolsUpgradeProtocol"
    room, extended = _ROOMS[name]
    lacking = missing_for(f"uvicorn.protocols.http.{extended}")
    if lacking is not None:
        raise ImportError(f"{lacking}: {name} cannot extend it. Use a version of uvicorn that this package knows.")
    protocol: type[asyncio.Protocol] = getattr(import_module(f"asgi_upgrade.servers.uvicorn.{room}"), name)
    return protocol
