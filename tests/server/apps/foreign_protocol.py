"""Somebody's own HTTP protocol."""

from uvicorn.protocols.http.h11_impl import H11Protocol


class ForeignProtocol(H11Protocol):
    pass
