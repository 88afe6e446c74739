"""What a client got for its handshake."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass
class Outcome:
    """The result of one handshake.

    Attributes:
        status: HTTP status, or 101 for an open WebSocket.
        body: Of the refusal.
        headers: Of either, their names in lower case.
        echoed: Whether a message came back over the open WebSocket.
        notes: What guards and endpoint noted, in order.
    """

    status: int
    body: str = ""
    headers: list[tuple[str, str]] = field(default_factory=list)
    echoed: bool = False
    notes: list[str] = field(default_factory=list)

    def all(self, name: str) -> list[str]:
        """The values of all header lines called `name`."""
        return [value for field_name, value in self.headers if field_name == name]
