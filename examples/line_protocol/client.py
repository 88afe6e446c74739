"""Sends its arguments as lines over ``foo/1`` or ``foo/2``, whichever the server takes, and prints the answers."""

from __future__ import annotations

import argparse
import os
import socket

import anyio
import httpx


async def main(url: str, offer: str, lines: list[str]) -> None:
    """Ask for the upgrade, send, end our side, and print what comes up to the server's end."""
    headers = {"Connection": "Upgrade", "Upgrade": offer}
    async with httpx.AsyncClient() as client, client.stream("GET", url, headers=headers) as response:
        if response.status_code != 101:
            raise SystemExit(f"the server does not speak {offer}: {response.status_code}")
        print("speaking", response.headers["upgrade"])
        stream = response.extensions["network_stream"]
        await stream.write("".join(f"{line}\n" for line in lines).encode())
        end_output(stream.get_extra_info("socket"))
        while data := await stream.read(65536):
            print(data.decode(), end="")


def end_output(sock: socket.socket) -> None:
    """End our direction of the connection; the other one stays open."""
    with socket.socket(fileno=os.dup(sock.fileno())) as same:  # uvloop's sockets have no `shutdown`
        same.shutdown(socket.SHUT_WR)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("url")
    parser.add_argument("--offer", default="foo/2, foo/1")
    parser.add_argument("lines", nargs="*")
    arguments = parser.parse_intermixed_args()
    anyio.run(main, arguments.url, arguments.offer, arguments.lines)
