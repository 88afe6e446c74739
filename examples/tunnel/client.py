"""Listens on a local port and carries each connection through the tunnel, as ``kubectl port-forward`` does."""

from __future__ import annotations

import argparse
import os
import socket
import sys
from functools import partial
from typing import Any

import anyio
import httpcore
import httpx
from anyio.abc import SocketAttribute, SocketStream

REFUSALS = {401: "wrong token", 403: "no token", 404: "no such target", 502: "the target does not answer"}


async def main(url: str, port: int, token: str) -> None:
    """Serve until interrupted."""
    async with await anyio.create_tcp_listener(local_host="127.0.0.1", local_port=port) as listener:
        port = listener.listeners[0].extra(SocketAttribute.local_port)  # noqa: S610
        print(f"forwarding 127.0.0.1:{port} to {url}", flush=True)
        async with httpx.AsyncClient(headers={"Authorization": f"Bearer {token}"}) as client:
            await listener.serve(partial(forward, client, url))


async def forward(client: httpx.AsyncClient, url: str, local: SocketStream) -> None:
    """Carry one connection."""
    headers = {"Connection": "Upgrade", "Upgrade": "tcp"}
    async with local, client.stream("GET", url, headers=headers) as response:
        if response.status_code != 101:
            reason = REFUSALS.get(response.status_code, "refused")
            print(f"{response.status_code}: {reason}", file=sys.stderr, flush=True)
            return
        stream = response.extensions["network_stream"]
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(upload, local, stream)
            await download(stream, local)


async def upload(local: SocketStream, stream: Any) -> None:
    """Carry what the local program sends, and then its end."""
    try:
        async for data in local:
            await stream.write(data)
        end_output(stream.get_extra_info("socket"))
    except (anyio.BrokenResourceError, httpcore.WriteError):
        await stream.aclose()


async def download(stream: Any, local: SocketStream) -> None:
    """Carry what the target sends, and then its end."""
    try:
        while data := await stream.read(65536):
            await local.send(data)
        await local.send_eof()
    except (anyio.BrokenResourceError, httpcore.ReadError):
        await local.aclose()


def end_output(sock: socket.socket) -> None:
    """End our direction of the connection; the other one stays open."""
    with socket.socket(fileno=os.dup(sock.fileno())) as same:  # uvloop's sockets have no `shutdown`
        same.shutdown(socket.SHUT_WR)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("url")
    parser.add_argument("--port", type=int, default=0)
    arguments = parser.parse_args()
    anyio.run(main, arguments.url, arguments.port, os.environ["TUNNEL_TOKEN"])
