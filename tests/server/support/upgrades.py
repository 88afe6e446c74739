"""Clients of protocols that are streams of bytes, by hand."""

from __future__ import annotations

import json
import socket
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .peer import Peer, Response

TCP = {"Connection": "Upgrade", "Upgrade": "tcp"}


def upgrade(
    peer: Peer, target: str, headers: dict[str, Any] | None = None, *, early: bytes = b"", **options: Any
) -> Response:
    """Ask for `Upgrade: tcp`, or what `headers` say, with `early` right behind the request; give the 101."""
    options = {"method": "GET", **options}
    peer.send(peer.request(options.pop("method"), target, headers={**TCP, **(headers or {})}, **options) + early)
    response = peer.receive_response()
    assert response.status == 101, response
    return response


def finish(peer: Peer) -> None:
    """End our side of the connection, and only that."""
    peer.socket.shutdown(socket.SHUT_WR)


def receive_json(peer: Peer) -> Any:
    """All that comes up to the end, which is JSON."""
    return json.loads(peer.receive_end())
