"""A program like `docker exec -i`, with Docker's own client for Python: `docker_exec.py HOST CONTAINER COMMAND...`.

X-Exec-Token comes from the environment. It runs in a process of its own because that client leaves sockets open.
"""

from __future__ import annotations

import os
import socket
import struct
import sys
import threading
from typing import TYPE_CHECKING, BinaryIO

import docker  # type: ignore[import-untyped]

if TYPE_CHECKING:
    from collections.abc import Iterator


def main(host: str, container: str, command: list[str]) -> int:
    client = docker.APIClient(f"tcp://{host}", version="1.41", timeout=10)
    client.headers["X-Exec-Token"] = os.environ["EXEC_TOKEN"]
    identifier = client.exec_create(container, command, stdin=True)["Id"]
    connection = client.exec_start(identifier, socket=True)

    def send() -> None:
        connection._sock.sendall(sys.stdin.buffer.read())
        connection._sock.shutdown(socket.SHUT_WR)

    sender = threading.Thread(target=send)
    sender.start()
    outputs = {1: sys.stdout.buffer, 2: sys.stderr.buffer}
    for kind, data in read_frames(connection._response.raw._fp.fp):
        outputs[kind].write(data)
    sender.join(10)
    exit_code: int = client.exec_inspect(identifier)["ExitCode"]
    return exit_code


def read_frames(reader: BinaryIO) -> Iterator[tuple[int, bytes]]:
    """The pieces of output up to the end.

    docker-py has a function for that, but it reads from the bare socket, and misses what its HTTP library has read
    already: output that arrived together with the 101.
    """
    while head := reader.read(8):
        kind, length = struct.unpack(">BxxxL", head)
        yield kind, reader.read(length)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2], sys.argv[3:]))
