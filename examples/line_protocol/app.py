"""A protocol of our own in two versions, beside an ordinary API: the client chooses.

    uvicorn app:app --app-dir examples/line_protocol
    python examples/line_protocol/client.py http://127.0.0.1:8000/ --offer "foo/2, foo/1" hello world

``foo/1`` answers each line with the same line in upper case. ``foo/2`` numbers its answers, and ``quit`` ends it.
"""

from __future__ import annotations

import anyio
from anyio.streams.buffered import BufferedByteStream
from fastapi import FastAPI

from asgi_upgrade import StreamSettings, UpgradeMiddleware, UpgradeStream

MAX_LINE = 1024  # bytes


async def foo_1(stream: UpgradeStream) -> None:
    """Answer each line."""
    lines = BufferedByteStream(stream)
    while True:
        # The end of the input ends this with an exception that nobody need catch.
        line = await lines.receive_until(b"\n", MAX_LINE)
        await lines.send(line.upper() + b"\n")


async def foo_2(stream: UpgradeStream) -> None:
    """Greet, answer each line with its number, and take leave."""
    lines = BufferedByteStream(stream)
    await lines.send(b"this is foo/2\n")
    number = 0
    while (line := await receive_line(lines)) not in (b"quit", None):
        number += 1
        await lines.send(b"%d %b\n" % (number, line.upper()))
    await lines.send(b"%d lines, goodbye\n" % number)


async def receive_line(lines: BufferedByteStream) -> bytes | None:
    """Return the next line, ``None`` at the end of the input."""
    try:
        return await lines.receive_until(b"\n", MAX_LINE)
    except anyio.IncompleteRead:
        return None


app = FastAPI()
app.add_middleware(
    UpgradeMiddleware, protocols={"foo/1": foo_1, "foo/2": foo_2}, streams=StreamSettings(idle_timeout=300.0)
)


@app.get("/")
async def index() -> dict[str, list[str]]:
    """What a client gets that does not upgrade."""
    return {"protocols": ["foo/1", "foo/2"]}
