"""`UpgradeResponse`: the response with which an endpoint gives its connection to another protocol."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from starlette.background import BackgroundTask
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from asgi_upgrade.http.fields import NOT_IN_101
from asgi_upgrade.http.headers import check_response_headers
from asgi_upgrade.http.offer import UpgradeOffer
from asgi_upgrade.streams.handlers import Handler, check_handler, check_protocol, run_handler
from asgi_upgrade.streams.settings import StreamSettings, check_streams
from asgi_upgrade.switching.extension import get_extension
from asgi_upgrade.switching.refusal import refuse, upgrade_fields
from asgi_upgrade.switching.response import report_no_extension

__all__ = ["UpgradeResponse"]

# The only field about a body that reaches the client: Docker's looks at it.
_NOT_OURS = (NOT_IN_101 | {b"te"}) - {b"content-type"}

_SETTINGS = StreamSettings()


class UpgradeResponse(Response):
    """Answers 101 and gives the connection to ``handler`` as an `UpgradeStream` (RFC 9110 §7.8, §15.2.2).

    An endpoint returns it. So routing, dependencies, authentication and the request's body come first:

        @app.post("/exec/{name}")
        async def execute(name: str) -> UpgradeResponse:
            async def handler(stream: UpgradeStream) -> None:
                async for data in stream:
                    await stream.send(data)

            return UpgradeResponse(handler)

    If a request does not offer ``protocol``, it is answered with 426 (RFC 9110 §15.5.22). If the server cannot switch
    the connection, the answer is 501. When the handler has returned, the connection is closed. An exception of the
    handler is logged once, with the request line.

    Args:
        handler: Takes the `UpgradeStream`.
        protocol: ``name`` or ``name/version``. Case does not count in names, but it counts in versions. Default:
            ``"tcp"``.
        headers: More fields of the 101. It writes ``Upgrade`` and ``Connection`` by itself. Fields that describe a body
            are not allowed, except ``Content-Type``. Fields of a WebSocket handshake are not allowed. Default: none.
        fallback: The response, or any ASGI application, for a request that does not offer ``protocol``. Default: 426.
        background: Runs when the connection is closed. Default: none.
        streams: Limits and times of the connection. Default: those of `StreamSettings`.
        status_code: Always 101. FastAPI takes the status of a ``response_class`` from this default.

    Attributes:
        responses: The responses that a client may get. Give them to FastAPI's argument ``responses``.

    Raises:
        ValueError: An argument is out of range; the message names it. When the response is sent, this is also raised
            if the endpoint has added a field that a 101 cannot have.
    """

    responses: ClassVar[dict[int | str, dict[str, Any]]] = {
        101: {
            "description": "The connection speaks another protocol from now on.",
            "headers": {"Upgrade": {"description": "The protocol.", "schema": {"type": "string"}}},
        },
        426: {
            "description": "The request does not offer the protocol.",
            "content": {"text/plain": {"schema": {"type": "string"}}},
            "headers": {"Upgrade": {"description": "The protocol to offer.", "schema": {"type": "string"}}},
        },
    }

    def __init__(
        self,
        handler: Handler,
        protocol: str = "tcp",
        headers: Mapping[str, str] | None = None,
        fallback: ASGIApp | None = None,
        background: BackgroundTask | None = None,
        *,
        streams: StreamSettings = _SETTINGS,
        status_code: int = 101,
    ) -> None:
        if status_code != 101:
            raise ValueError(f"status_code must be 101, not {status_code!r}")
        check_handler(handler)
        check_protocol(protocol)
        if fallback is not None and not callable(fallback):
            raise ValueError(f"fallback must be a response or an ASGI application, not {fallback!r}")
        super().__init__(None, 101, headers, background=background)
        self._check_headers()
        self.handler = handler
        self.protocol = protocol
        self.fallback = fallback
        self._settings = check_streams(streams)

    def _check_headers(self) -> list[tuple[bytes, bytes]]:
        """The fields of the 101, which the endpoint may have changed since.

        Raises:
            ValueError: One of them would break the response, or would not reach the client.
        """
        headers = check_response_headers(self.raw_headers)
        for name, _ in headers:
            if name in _NOT_OURS or name.startswith(b"sec-websocket-"):
                raise ValueError(
                    f"headers must not contain {name.decode()!r}: the server writes it, or a 101 cannot have it"
                )
        return headers

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer the request; returns when the connection is closed, or the response sent that was not a 101."""
        offer = UpgradeOffer.from_scope(scope)
        offered = offer.find(self.protocol) if offer is not None else None
        extension = get_extension(scope)
        if offered is None:
            await (self.fallback or self._require_upgrade)(scope, receive, send)
        elif extension is None:
            report_no_extension(scope, str(offered))
            reason = f"This server cannot switch the connection to {self.protocol}."
            await refuse(scope, receive, send, status=501, reason=reason)
        else:
            await run_handler(
                self.handler,
                scope,
                send,
                extension=extension,
                protocol=str(offered),
                headers=self._check_headers(),
                settings=self._settings,
            )
        if self.background is not None:
            await self.background()

    async def _require_upgrade(self, scope: Scope, receive: Receive, send: Send) -> None:
        # RFC 9110 §15.5.22. HTTP/2 and later have no Upgrade (RFC 9113 §8.6), and HTTP/1.0 ignores it (RFC 9110 §7.8).
        reason = f"This resource speaks {self.protocol}: ask for it with Upgrade: {self.protocol} in HTTP/1.1."
        await refuse(scope, receive, send, status=426, reason=reason, headers=upgrade_fields(scope, self.protocol))
