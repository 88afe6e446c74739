"""The requests that a server is asked with: each is complete, and none changes anything at the server (``GET``)."""

from __future__ import annotations

import base64
import hashlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from asgi_upgrade.probe.exchange import Target

__all__ = ["ACCEPT", "FOREIGN_ORIGIN", "requests"]

FOREIGN_ORIGIN = "https://foreign.example"
"""The origin of a page that has nothing to do with the server; ``.example`` is nobody's (RFC 2606)."""

_KEY = base64.b64encode(b"asgi-upgrade-key").decode()
ACCEPT = base64.b64encode(
    hashlib.sha1((_KEY + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11").encode(), usedforsecurity=False).digest()
).decode()
"""What has to answer our key (RFC 6455 section 4.2.2)."""

_WEBSOCKET = {
    "Connection": "Upgrade",
    "Upgrade": "websocket",
    "Sec-WebSocket-Key": _KEY,
    "Sec-WebSocket-Version": "13",
}
_H2C = {
    "Connection": "Upgrade, HTTP2-Settings",
    "Upgrade": "h2c",
    "HTTP2-Settings": "AAMAAABkAAQAAP__",  # RFC 7540 section 3.2.1
}
_BODY = b"hello"


def requests(target: Target, headers: Sequence[tuple[str, str]] = ()) -> dict[str, bytes]:
    """Return the requests, by the names of what they show.

    Args:
        target: Where they go.
        headers: Fields that each of them shall have, such as a cookie. Default: none.
    """

    def make(fields: Mapping[str, str], body: bytes = b"", version: str = "1.1") -> bytes:
        lines = [f"GET {target.path} HTTP/{version}", f"Host: {target.authority}", "User-Agent: asgi-upgrade-probe"]
        lines += [f"{name}: {value}" for name, value in (*headers, *fields.items())]
        if body:
            lines.append(f"Content-Length: {len(body)}")
        return "\r\n".join([*lines, "", ""]).encode("latin-1") + body

    return {
        "plain": make({}),
        "websocket": make(_WEBSOCKET),
        "foreign origin": make({**_WEBSOCKET, "Origin": FOREIGN_ORIGIN}),
        "wrong version": make({**_WEBSOCKET, "Sec-WebSocket-Version": "12"}),
        "body": make({}, _BODY),
        "h2c with a body": make(_H2C, _BODY),
        "unknown protocol": make({"Connection": "Upgrade", "Upgrade": "example-unknown/1"}),
        "HTTP/1.0": make(_WEBSOCKET, version="1.0"),
    }
