"""What is used of hypercorn's insides. No other room uses more; `attach` looks whether it is there."""

from __future__ import annotations

from asgi_upgrade.system.internals import Internals

__all__ = ["HYPERCORN"]

HYPERCORN = Internals(
    "hypercorn",
    {
        # Its class for connections is replaced.
        "hypercorn.protocol": ("H11Protocol",),
        # It leads from the application's lifespan to the server, whose application is adapted.
        "hypercorn.asyncio.lifespan:Lifespan": ("app", "config"),
        "hypercorn.app_wrappers:ASGIWrapper": ("app",),
        # `connection_state` came with 0.17; before, it is built differently.
        "hypercorn.protocol.h11:H11Protocol": (
            "app",
            "client",
            "config",
            "connection",
            "connection_state",
            "context",
            "keep_alive_requests",
            "send",
            "server",
            "ssl",
            "stream",
            "stream_send",
            "task_group",
            "_create_stream",
        ),
        "hypercorn.protocol.h11": ("H11WSConnection", "STREAM_ID"),
        "hypercorn.protocol.http_stream:HTTPStream": ("handle", "scope", "start_time", "state"),
        "hypercorn.protocol.http_stream:ASGIHTTPState": ("CLOSED",),
        "hypercorn.protocol.events:Request": ("headers", "http_version", "method", "raw_path", "state", "stream_id"),
        # The socket, and what waits of it.
        "hypercorn.asyncio.tcp_server:TCPServer": ("reader", "writer"),
        "hypercorn.asyncio.worker_context:WorkerContext": ("mark_request", "terminated"),
        "hypercorn.config:Config": ("h11_pass_raw_headers", "log", "response_headers"),
        # Nothing public tells what is in a reader's buffer.
        "asyncio:StreamReader": ("at_eof", "feed_eof", "set_exception", "_buffer"),
    },
)
