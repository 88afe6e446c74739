"""The scope of a request that came as HTTP/2. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any
from urllib.parse import unquote

from starlette.types import Scope

from asgi_upgrade.http.fields import CONNECTION_SPECIFIC
from asgi_upgrade.http.headers import HeaderError, get_all, parse_tokens
from asgi_upgrade.switching.extension import EXTENSION

__all__ = ["TRAILERS", "MalformedRequestError", "Request", "ScopeTemplate"]

TRAILERS = "http.response.trailers"

# RFC 9113 section 8.2.1, as strict as RFC 9110: a token in lower case; no control characters but the tab.
_are_names = re.compile(rb"[!#$%&'*+\-.^_`|~0-9a-z]+").fullmatch
_find_control = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]").search
_is_target = re.compile(rb"/[!-~]*|\*").fullmatch


class MalformedRequestError(ValueError):
    """A request that RFC 9113 section 8.1.1 calls malformed."""


class Request:
    """The head of a request, as it stands in a HEADERS frame.

    Args:
        fields: Pairs of name and value, pseudo-header fields first.

    Attributes:
        pseudo: The pseudo-header fields (section 8.3.1), names without the colon.
        headers: The others, with ``host`` for ``:authority`` in front.

    Raises:
        MalformedRequestError: A field has a name or a value that HTTP does not allow.
    """

    __slots__ = ("headers", "pseudo")

    def __init__(self, fields: Iterable[tuple[bytes, bytes]]) -> None:
        self.pseudo: dict[bytes, bytes] = {}
        self.headers: list[tuple[bytes, bytes]] = []
        names, values = [], []
        for name, value in fields:
            values.append(value)
            if name.startswith(b":"):
                self.pseudo[bytes(name[1:])] = bytes(value)
            else:
                names.append(name)
                self.headers.append((bytes(name), bytes(value)))
        if _find_control(b" ".join(values)) or b"" in names or (names and not _are_names(b"".join(names))):
            raise MalformedRequestError("a field has a name or a value that is not allowed")
        authority = self.pseudo.get(b"authority")
        if authority:
            # Section 8.3.1: it says what Host would say, and goes before one.
            self.headers = [(b"host", authority), *(field for field in self.headers if field[0] != b"host")]


class ScopeTemplate:
    """The part of a scope that all requests of a connection share: the server's entries in the scope of the first one.

    Args:
        scope: The HTTP/1.1 scope of the request that has become the first stream.
    """

    def __init__(self, scope: Scope) -> None:
        extensions = {name: entry for name, entry in scope.get("extensions", {}).items() if name != EXTENSION}
        self._extensions: dict[str, Any] = {**extensions, TRAILERS: {}}
        self._state: dict[str, Any] | None = dict(scope["state"]) if "state" in scope else None
        self._scope = {**scope, "http_version": "2"}
        self._root_path: str = scope.get("root_path", "")
        self._raw_root_path = self._root_path.encode("ascii", "ignore")

    def first(self) -> Scope:
        """The scope of the request that came as HTTP/1.1 (RFC 7540 section 3.2)."""
        headers = self._scope["headers"]
        try:
            listed = parse_tokens(get_all(headers, b"connection"))
        except HeaderError:  # pragma: no cover - it has offered h2c there
            listed = []
        dropped = CONNECTION_SPECIFIC | {token.lower().encode() for token in listed}
        return {**self._fresh(), "headers": [field for field in headers if field[0] not in dropped]}

    def build(self, request: Request, method: str) -> Scope:
        """The scope of a request that came as HTTP/2.

        Raises:
            MalformedRequestError: Its path has no form that HTTP knows.
        """
        target = request.pseudo.get(b"path", b"")
        if not _is_target(target):
            raise MalformedRequestError("the path is malformed")
        raw_path, _, query_string = target.partition(b"?")
        path = raw_path.decode("ascii")
        return {
            **self._fresh(),
            "method": method,
            "path": self._root_path + (unquote(path) if "%" in path else path),
            "raw_path": self._raw_root_path + raw_path,
            "query_string": query_string,
            "headers": request.headers,
        }

    def _fresh(self) -> Scope:
        scope = {**self._scope, "extensions": dict(self._extensions)}
        if self._state is not None:
            scope["state"] = self._state.copy()
        return scope
