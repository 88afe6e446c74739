"""What a server has logged, in words."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

_WORDS = {
    r"Exception in ASGI application": "error",
    r"the handler of \w+ raised an exception": "error",
    r"no answer to the WebSocket handshake in 2 seconds": "no answer",
    r"the application returned without accepting the WebSocket": "no answer",
    r"ASGI callable returned without (starting|completing) response": "no response",
}
# What belongs to the line before: of a traceback.
_CONTINUED = (" ", "\t")
# Whether frames that come as HTTP are found to be none before the connection ends depends on the parser.
_EXPECTED = ("INFO", "TOLD ", "WARNING:  Invalid HTTP request received.", *_CONTINUED)


def logged(lines: Iterable[str]) -> str:
    """Say what has been logged, besides what is informative: a word for each line, tracebacks without their frames."""
    text = ", ".join(_word(line) for line in lines if line and not line.startswith(_EXPECTED))
    return text.replace("error, Traceback (most recent call last):, ", "error: ")


def _word(line: str) -> str:
    return next((word for pattern, word in _WORDS.items() if re.search(pattern, line)), line)
