"""A Tornado server: `python -m tornado_alone PORT`."""

from __future__ import annotations

import asyncio
import sys
from contextlib import suppress

from tornado.iostream import StreamClosedError
from tornado.web import Application, HTTPError, RequestHandler
from tornado.websocket import WebSocketHandler


class Guarded(RequestHandler):  # type: ignore[misc]
    """The base of all handlers: `prepare` is called in front of each."""

    def prepare(self) -> None:
        if not self.get_cookie("login"):
            raise HTTPError(401)


class Page(Guarded):
    """A plain request."""

    def get(self) -> None:
        self.write("page")


class Echo(Guarded, WebSocketHandler):  # type: ignore[misc]
    """A WebSocket."""

    async def on_message(self, message: str | bytes) -> None:
        await self.write_message(message)


class Raw(Guarded):
    """Takes the connection over for a protocol of its own."""

    async def get(self) -> None:
        stream = self.detach()
        await stream.write(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: lines\r\n\r\n")
        with suppress(StreamClosedError):
            while True:
                await stream.write(await stream.read_until(b"\n"))


async def main() -> None:
    Application([("/page", Page), ("/echo", Echo), ("/raw", Raw)]).listen(int(sys.argv[1]), "127.0.0.1")
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main())
