"""The upgrades that concern a connection and not a resource: taken before the application is called.

So each request, the one that asked included, passes the application once, with all the middleware around it.
"""

from __future__ import annotations

import logging
import ssl
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.protocols.utils import get_client_addr, get_path_with_query_string

from asgi_upgrade.http.offer import UpgradeOffer
from asgi_upgrade.servers.edge_settings import EdgeSettings
from asgi_upgrade.servers.uvicorn.edge import edge_of
from asgi_upgrade.system.logs import printable
from asgi_upgrade.tls.scope import without_certificate
from asgi_upgrade.tls.upgrade import TLS, Resume, find_tls, is_about_server

if TYPE_CHECKING:
    from asgi_upgrade.http2.server import ServerSide
    from asgi_upgrade.servers.uvicorn.upgrading_protocol import UpgradingProtocol
    from asgi_upgrade.tls.settings import TLSSettings

__all__ = ["log_access", "upgrade_connection", "with_tls"]


def upgrade_connection(
    app: ASGIApp, http: UpgradingProtocol, settings: EdgeSettings, scope: Scope, resume: Callable[..., None]
) -> ASGIApp:
    """Return what to call for a request in the clear: ``app``, or what takes an offer of the request in front of it.

    TLS comes first, wherever it stands in the offer: HTTP/2 could not begin it later.

    A request that was sent in the clear may come from somebody else than the TLS handshake behind it, who would have it
    answered with the rights of the client (as in CVE-2009-3555). So where TLS stands for rights, because clients have
    certificates or TLS is required, only ``OPTIONS *`` may begin it, which asks for nothing.

    Args:
        app: The application.
        http: What serves the connection.
        settings: What the application asks for.
        scope: The request.
        resume: Goes on with HTTP after TLS has begun; gets what makes the protocol for that, and the arguments of
            `asgi_upgrade.tls.upgrade.Resume`.
    """
    offer = UpgradeOffer.from_scope(scope)
    if offer is None:
        return app
    tls = settings.tls
    must_be_tls = tls is not None and tls.refuses(scope)
    if settings.h2c is not None and not must_be_tls and offer.find("h2c") is not None:
        from asgi_upgrade.http2.upgrade import H2C

        app = H2C(app, settings.h2c, _server_side(http))
    if tls is not None and find_tls(offer) is not None and _may_begin_tls(tls, scope):
        bound: Resume = partial(resume, http.successor)
        app = TLS(app, tls, resume=bound)
    return app


def _may_begin_tls(tls: TLSSettings, scope: Scope) -> bool:
    if tls.context.verify_mode == ssl.CERT_NONE and tls.required is False:
        return True
    return is_about_server(scope)


def with_tls(app: ASGIApp, tls: dict[str, Any]) -> ASGIApp:
    """Return an application that calls ``app`` with ASGI's extension ``tls`` in the scope.

    The first call is for the request that was sent in the clear: it carries no certificate of the client.

    Args:
        app: The application.
        tls: The extension.
    """
    entry = without_certificate(tls)

    async def extended(scope: Scope, receive: Receive, send: Send) -> None:
        nonlocal entry
        scope.setdefault("extensions", {})["tls"] = entry
        entry = tls
        return await app(scope, receive, send)

    return extended


def log_access(logger: logging.Logger, scope: Any, status: int) -> None:
    """Write the line of uvicorn's access log."""
    logger.info(
        '%s - "%s %s HTTP/%s" %d',
        get_client_addr(scope),
        printable(scope["method"]),
        printable(get_path_with_query_string(scope)),
        scope["http_version"],
        status,
    )


def _server_side(http: UpgradingProtocol) -> ServerSide:
    """Return uvicorn's part in each request, for requests on the streams of HTTP/2."""
    from asgi_upgrade.http2.server import ServerSide

    state, logger = http.server_state, http.access_logger if http.access_log else None

    def on_response(scope: Scope, status: int) -> None:
        state.total_requests += 1
        if logger is not None:
            log_access(logger, scope, status)

    limit, connections, tasks = http.config.limit_concurrency, http.connections, http.tasks

    def is_busy() -> bool:
        return limit is not None and max(len(connections), len(tasks)) >= limit

    return ServerSide(
        default_headers=lambda: state.default_headers,
        on_response=on_response,
        is_busy=is_busy,
        tasks=tasks,
        logger=http.logger,
        websocket_limits=edge_of(http.config).websocket_limits,
    )
