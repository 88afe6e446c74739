"""Which web pages may open a WebSocket (RFC 6455 section 10.2)."""

import inspect
import logging
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias

from asgi_upgrade.http.headers import HeaderError, collect, parse_host
from asgi_upgrade.websocket.handshake import Reject

logger = logging.getLogger("asgi_upgrade")

_DEFAULT_PORTS = {"http": 80, "https": 443}
_HTTP_SCHEMES = {"ws": "http", "wss": "https"}
# RFC 6454 section 7: scheme "://" host [":" port]. The scheme's form is that of RFC 3986 section 3.1.
_match_origin = re.compile(rb"([A-Za-z][A-Za-z0-9+.\-]*)://(.*)").fullmatch
_FIELDS = frozenset({b"host", b"origin"})
_ANY_PORT = re.compile(r"(.*):\*").fullmatch
_ANY_HOST = re.compile(r"([A-Za-z][A-Za-z0-9+.\-]*)://\*").fullmatch
# Of these a page's origin has a name that tells who made it.
_NAMED_SCHEMES = frozenset({"file", "http", "https", "ws", "wss"})

_LOOPBACK = frozenset({"localhost", "127.0.0.1", "[::1]"})

AllowedOrigins: TypeAlias = "Sequence[str] | Callable[[str, Any], bool]"
"""The types of the argument ``allowed_origins``, see `OriginPolicy`. The second argument of a function is the scope."""
# No more of a client's words than this goes into one log line.
_LOGGED_LENGTH = 200


class Origin(NamedTuple):
    """Scheme, host and port (RFC 6454 section 4): lower case, default port filled in."""

    scheme: str
    host: str
    port: int | None

    def __str__(self) -> str:
        """Return the origin as browsers write it, the port only where it is not the scheme's default."""
        port = "" if self.port == _DEFAULT_PORTS.get(self.scheme) else f":{self.port}"
        return f"{self.scheme}://{self.host}{port}"


class OriginPolicy:
    """Decides by its Origin field whether a WebSocket handshake is let in.

    Browsers let any page open a WebSocket to any server, cookies included, and leave the decision to the server. By
    default a page's origin must be the one it connects to: scheme, host and port of the request, as the scope's scheme
    and the Host field give them. A request without an Origin field passes: it does not come from a browser.

    Args:
        allowed_origins: origins that are let in besides the same one, each as browsers send it:
            ``"https://app.example.com"``, ``"http://localhost:5173"``. ``"https://*.example.com"`` lets in every
            name below example.com, but not example.com itself. ``"http://localhost:*"`` lets in every port of a host,
            ``"moz-extension://*"`` every page of a scheme other than http and https. ``"null"`` lets in pages without
            an origin, which any site can produce in a sandboxed frame. ``["*"]`` lets in every page.
            Or a function ``(origin, scope) -> bool``, which is asked about every Origin field, as it was sent, that is
            not the same origin. Default: none.

    Raises:
        ValueError: one of them has another form, or the function is asynchronous. Names ``allowed_origins``.
    """

    def __init__(self, allowed_origins: AllowedOrigins = ()) -> None:
        self._predicate = _check_predicate(allowed_origins) if callable(allowed_origins) else None
        patterns = [] if callable(allowed_origins) else _check_strings(allowed_origins)
        self._given = tuple(patterns)
        self._allow_all = patterns == ["*"]
        self._allow_null = "null" in patterns
        self._origins: set[Origin] = set()
        self._suffixes: list[Origin] = []
        self._schemes: set[str] = set()  # with any host
        self._hosts: set[tuple[str, str]] = set()  # with any port
        self._suffixes_of_hosts: list[tuple[str, str]] = []
        for pattern in patterns:
            if pattern == "null" or self._allow_all:
                continue
            any_host = _ANY_HOST(pattern)
            if any_host is not None and any_host[1].lower() not in _NAMED_SCHEMES:
                self._schemes.add(any_host[1].lower())
                continue
            any_port = _ANY_PORT(pattern)
            origin = _parse_pattern(pattern, pattern if any_port is None else any_port[1])
            if any_port is not None:
                if origin.host.startswith("*"):
                    self._suffixes_of_hosts.append((origin.scheme, origin.host[1:]))
                else:
                    self._hosts.add((origin.scheme, origin.host))
            elif origin.host.startswith("*"):
                self._suffixes.append(origin._replace(host=origin.host[1:]))
            else:
                self._origins.add(origin)

    def check(self, scope: Mapping[str, Any], fields: Mapping[bytes, Sequence[bytes]] | None = None) -> Reject | None:
        """Return ``None`` if the handshake may go on, else a `Reject` with status 403.

        Each refusal writes one line with level WARNING to the logger ``asgi_upgrade``. It names both sides of the
        comparison and what would let the origin in. Raises nothing, whatever the headers contain, but what the function
        given as ``allowed_origins`` raises.

        Args:
            scope: an ASGI ``http`` or ``websocket`` scope.
            fields: the values of its Host and Origin fields, by name in lower case, ``None`` (the default) to read them
                here.
        """
        if self._allow_all:
            return None
        if fields is None:
            fields = collect(scope.get("headers", ()), _FIELDS)
        values = fields.get(b"origin")
        if not values:
            return None
        hosts = fields.get(b"host", [])
        requested = _get_requested(str(scope.get("scheme", "http")), hosts)
        if len(values) == 1:
            value = values[0].strip(b" \t")
            if value == b"null":
                if self._allow_null:
                    return None
            else:
                origin = _parse_origin(value)
                if origin is not None and (origin == requested or self._is_allowed(origin)):
                    return None
            if self._predicate is not None and self._ask(self._predicate, value, scope):
                return None
        _log_refusal(values, hosts, requested, asked=self._predicate is not None)
        return Reject(403, "This origin may not open a WebSocket here")

    def describe(self) -> str:
        """Say in words which pages may connect."""
        if self._allow_all:
            return "every page"
        if self._predicate is not None:
            name = getattr(self._predicate, "__qualname__", type(self._predicate).__qualname__)
            return f"pages of the same origin, and those that {name}() lets in"
        return ", ".join(("pages of the same origin", *self._given))

    @staticmethod
    def _ask(predicate: Callable[[str, Any], bool], value: bytes, scope: Mapping[str, Any]) -> bool:
        answer: object = predicate(value.decode("latin-1"), scope)
        if inspect.isawaitable(answer):
            raise TypeError("allowed_origins: the function must not be asynchronous")
        return bool(answer)

    def _is_allowed(self, origin: Origin) -> bool:
        if (
            origin in self._origins
            or origin.scheme in self._schemes
            or (origin.scheme, origin.host) in self._hosts
            or any(
                origin.scheme == scheme and origin.host.endswith(suffix) and not origin.host.startswith(".")
                for scheme, suffix in self._suffixes_of_hosts
            )
        ):
            return True
        # The suffix starts with its dot: only whole labels stand before it, and at least one.
        return any(
            origin.host.endswith(suffix.host)
            and not origin.host.startswith(".")
            and (origin.scheme, origin.port) == (suffix.scheme, suffix.port)
            for suffix in self._suffixes
        )


def _check_strings(allowed_origins: object) -> list[str]:
    if not isinstance(allowed_origins, Iterable) or isinstance(allowed_origins, (str, bytes)):
        raise ValueError(f"allowed_origins must be a list of strings, not {allowed_origins!r}")
    patterns = list(allowed_origins)
    if not all(isinstance(pattern, str) for pattern in patterns):
        raise ValueError(f"allowed_origins must be a list of strings, not {allowed_origins!r}")
    return patterns


def _check_predicate(predicate: Callable[..., Any]) -> Callable[..., Any]:
    # Its answer would be a coroutine, which is true.
    if inspect.iscoroutinefunction(predicate) or inspect.iscoroutinefunction(type(predicate).__call__):
        raise ValueError(f"allowed_origins: the function must not be asynchronous, as {predicate!r} is")
    return predicate


def _parse_origin(value: bytes) -> Origin | None:
    if value == b"file://":
        # What Chromium sends for a page from the local disk; other browsers send null.
        return Origin("file", "", None)
    match = _match_origin(value)
    if match is None:
        return None
    try:
        host, port = parse_host(match[2])
    except HeaderError:
        return None
    scheme = match[1].decode("ascii").lower()
    return Origin(scheme, host, _DEFAULT_PORTS.get(scheme) if port is None else port)


def _parse_pattern(pattern: str, text: str) -> Origin:
    """Parse ``text``, which is ``pattern`` without the port that may be any."""
    problem = f"allowed_origins: {pattern!r} is not an origin such as 'https://example.com' or 'https://*.example.com'"
    if pattern == "*":
        raise ValueError("allowed_origins: '*' lets in every origin and must stand alone")
    origin = _parse_origin(text.encode()) if text.isascii() else None
    if origin is not None and text != pattern and (_match_port(text) or origin.scheme not in ("http", "https")):
        origin = None
    if origin is None:
        raise ValueError(f"{problem}: scheme, host and port only, as a browser sends them")
    if origin.scheme in ("ws", "wss"):
        raise ValueError(f"{problem}: the scheme is the page's, http or https")
    if "*" in origin.host and (origin.host.rfind("*") != 0 or origin.host[1:2] != "." or len(origin.host) < 3):
        raise ValueError(f"{problem}: '*' stands for the first labels of a name, whole ones")
    return origin


def _match_port(text: str) -> bool:
    return text.rpartition(":")[2].isdigit() or text.endswith(":")


def _get_requested(scheme: str, hosts: Sequence[bytes]) -> Origin | None:
    """Return the origin that the request is addressed to, ``None`` if its Host does not tell."""
    if len(hosts) != 1:
        return None
    scheme = scheme.lower()
    scheme = _HTTP_SCHEMES.get(scheme, scheme)
    try:
        host, port = parse_host(hosts[0].strip(b" \t"))
    except HeaderError:
        return None
    return Origin(scheme, host, _DEFAULT_PORTS.get(scheme) if port is None else port)


def _log_refusal(values: Sequence[bytes], hosts: Sequence[bytes], requested: Origin | None, *, asked: bool) -> None:
    if len(values) > 1:
        remedy = "the request has several Origin lines, which no browser sends"
    elif (value := values[0].strip(b" \t")) == b"null":
        remedy = "allowed_origins=['null'] would let in every page without an origin"
    elif (origin := _parse_origin(value)) is None:
        remedy = "this is not an origin, only allowed_origins=['*'] or a function would let it in"
    elif origin.scheme not in _NAMED_SCHEMES:
        pattern = f"{_shorten(origin.scheme)}://*"
        remedy = f"allowed_origins=[{_shorten(str(origin))!r}] would let it in, and {pattern!r} every one of its kind"
    else:
        remedy = f"allowed_origins=[{_shorten(str(origin))!r}] would let it in"
        if requested is not None and requested.host == origin.host and requested.scheme != origin.scheme:
            remedy += "; behind a proxy that ends TLS, let it send X-Forwarded-Proto and the server trust it"
        elif (
            requested is not None
            and requested.host != origin.host
            and _LOOPBACK.issuperset((requested.host, origin.host))
        ):
            remedy += "; to browsers localhost and 127.0.0.1 are two origins: open the page by the name it connects to"
        else:
            remedy += "; behind a proxy, let it forward the client's Host"
    if asked:
        remedy = "the function given as allowed_origins does not let it in"
    logger.warning(
        "WebSocket handshake refused: Origin %a is not the requested %s (Host %a): %s",
        _shorten(b", ".join(values).decode("latin-1")),
        "origin" if requested is None else _shorten(str(requested)),
        _shorten(b", ".join(hosts).decode("latin-1")),
        remedy,
    )


def _shorten(text: str) -> str:
    return text if len(text) <= _LOGGED_LENGTH else f"{text[:_LOGGED_LENGTH]}..."
