"""What a visitor sends, and what came of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Visit:
    """A handshake, and the messages that follow it.

    Attributes:
        path: With the query.
        headers: Besides those of every handshake.
        first: A message to send before anything is expected, or `None`.
    """

    path: str
    headers: dict[str, str] = field(default_factory=dict)
    first: str | None = None


@dataclass
class Outcome:
    """What came of a handshake.

    Attributes:
        status: 101 if the endpoint served it; the code with which it was closed if something else accepted it;
            else the status of the refusal.
        headers: Of the answer, their names in lower case.
        close: Code and reason, where the client is told of a refusal by them.
        report: The first message of the endpoint.
        seen: What layers and endpoint have noted, outermost first.
    """

    status: int
    headers: list[tuple[str, str]] = field(default_factory=list)
    close: tuple[int, str] | None = None
    report: dict[str, Any] = field(default_factory=dict)
    seen: list[str] = field(default_factory=list)

    def all(self, name: str) -> list[str]:
        """The values of all header lines called `name`."""
        return [value for field_name, value in self.headers if field_name == name]
