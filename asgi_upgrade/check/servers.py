"""Which parts of the servers that are installed will be extended when they run the application."""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import PackageNotFoundError, version

__all__ = ["describe_servers"]

# They deliver WebSockets, and the application's entrance makes handshakes of them.
_DELIVERING = ("granian", "daphne", "h2corn")


def describe_servers(*, has_policy: bool, extend: bool) -> list[str]:
    """Say, a line for each server that is installed, what becomes of it.

    Args:
        has_policy: Whether there is an `UpgradeMiddleware` that the server's lifespan reaches.
        extend: Whether it may extend the server (``extend_server``).
    """
    lines = []
    if uvicorn := _version("uvicorn"):
        lines.append(f"uvicorn {uvicorn}: {_uvicorn(has_policy=has_policy, extend=extend)}")
    if hypercorn := _version("hypercorn"):
        lines.append(f"hypercorn {hypercorn}: {_hypercorn(extend=has_policy and extend)}")
    for name in _DELIVERING:
        if found := _version(name):
            what = "not extended; WebSockets only, turned into handshakes where the application's stack begins"
            lines.append(f"{name} {found}: {what if has_policy else 'not extended'}")
    return lines


def _uvicorn(*, has_policy: bool, extend: bool) -> str:
    if not has_policy:
        return "not extended: there is no UpgradeMiddleware that its lifespan reaches"
    if not extend:
        return "extended only if it is started with http='asgi_upgrade.servers.uvicorn:AutoUpgradeProtocol'"
    try:
        from uvicorn.protocols.http.auto import AutoHTTPProtocol

        from asgi_upgrade.servers.uvicorn.attach import replacement_of
    except (ImportError, AttributeError) as error:
        return f"not extended, this version is not known: {error}"
    found = replacement_of(AutoHTTPProtocol)
    if found is None:
        return f"not extended: {AutoHTTPProtocol.__qualname__} is not known"
    return f"{AutoHTTPProtocol.__qualname__} becomes {found[1]} when its lifespan starts"


def _hypercorn(*, extend: bool) -> str:
    if not extend:
        return "not extended"
    try:
        import_module("asgi_upgrade.servers.hypercorn.attach")
    except (ImportError, AttributeError) as error:
        return f"not extended, this version is not known: {error}"
    return "its class for HTTP/1.1 is extended when its lifespan starts, on asyncio"


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None
