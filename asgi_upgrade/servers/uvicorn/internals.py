"""What is used of uvicorn's insides. No other room uses more; `attach` looks whether it is there."""

from __future__ import annotations

from asgi_upgrade.system.internals import Internals, Missing

__all__ = ["UVICORN", "missing_for"]

# Of each HTTP protocol: what it is made with, what it keeps, and the methods that are extended or called.
_PROTOCOL = (
    "access_log",
    "access_logger",
    "app",
    "app_state",
    "config",
    "connection_made",
    "connections",
    "cycle",
    "data_received",
    "eof_received",
    "flow",
    "headers",
    "logger",
    "loop",
    "root_path",
    "scope",
    "send_400_response",
    "server_state",
    "shutdown",
    "tasks",
    "transport",
    "_should_upgrade",
    "_unset_keepalive_if_required",
)
# Of what serves one request: the switch answers in its place, and ends it.
_CYCLE = (
    "access_log",
    "access_logger",
    "default_headers",
    "disconnected",
    "flow",
    "message_event",
    "more_body",
    "on_response",
    "receive",
    "response_complete",
    "response_started",
    "scope",
    "send",
    "transport",
)

UVICORN = Internals(
    "uvicorn",
    {
        # Its class for connections is replaced, what it calls is adapted.
        "uvicorn.config:Config": ("http_protocol_class", "limit_concurrency", "loaded_app"),
        # It leads from the application's lifespan to the server.
        "uvicorn.lifespan.on:LifespanOn": ("config", "receive"),
        "uvicorn.protocols.http.flow_control:FlowControl": (
            "drain",
            "pause_reading",
            "read_paused",
            "resume_reading",
            "write_paused",
        ),
        "uvicorn.protocols.utils": ("get_client_addr", "get_path_with_query_string"),
        "uvicorn.server:ServerState": ("connections", "default_headers", "tasks", "total_requests"),
        "uvicorn.protocols.http.h11_impl:H11Protocol": (*_PROTOCOL, "conn", "handle_events", "on_response_complete"),
        "uvicorn.protocols.http.h11_impl:RequestResponseCycle": (*_CYCLE, "conn"),
        "uvicorn.protocols.http.httptools_impl:HttpToolsProtocol": (
            *_PROTOCOL,
            "on_body",
            "on_headers_complete",
            "on_message_complete",
            "on_response_complete",
            "parser",
            "url",
            "_unsupported_upgrade_warning",
        ),
        "uvicorn.protocols.http.httptools_impl:RequestResponseCycle": _CYCLE,
        "uvicorn.protocols.http.zttp_impl:ZttpProtocol": (*_PROTOCOL, "conn", "on_response_complete"),
        "uvicorn.protocols.http.zttp_impl:RequestResponseCycle": (*_CYCLE, "conn"),
        # It chooses between HTTP/1.1, which is extended, and HTTP/2, which is not.
        "uvicorn.protocols.http.auto_zttp_impl:AutoZttpProtocol": ("_switch",),
        "uvicorn.protocols.http.zttp_h2_impl": ("ZttpH2Protocol",),
    },
)

_COMMON = (
    *(owner for owner in UVICORN.needed if not owner.startswith("uvicorn.protocols.http.")),
    "uvicorn.protocols.http.flow_control:FlowControl",
)
_BY_MODULE = {
    "uvicorn.protocols.http.h11_impl": ("H11Protocol", "RequestResponseCycle"),
    "uvicorn.protocols.http.httptools_impl": ("HttpToolsProtocol", "RequestResponseCycle"),
    "uvicorn.protocols.http.zttp_impl": ("ZttpProtocol", "RequestResponseCycle"),
    "uvicorn.protocols.http.auto_zttp_impl": ("AutoZttpProtocol",),
}


def missing_for(module: str) -> Missing | None:
    """Return what uvicorn lacks for its protocol in ``module`` to be extended, as words; ``None`` if it is all there.

    Args:
        module: The name of uvicorn's module of this protocol.
    """
    own = [f"{module}:{name}" for name in _BY_MODULE.get(module, ())]
    if module == "uvicorn.protocols.http.auto_zttp_impl":
        own += [f"uvicorn.protocols.http.zttp_impl:{name}" for name in _BY_MODULE["uvicorn.protocols.http.zttp_impl"]]
        own.append("uvicorn.protocols.http.zttp_h2_impl")
    return UVICORN.missing(*_COMMON, *own)
