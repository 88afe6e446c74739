"""Clients of Node: `graphql-ws`, and `y-websocket` with a document of 2 MB."""

from __future__ import annotations

import json
import shutil
import subprocess
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from tests.e2e.support.tools import find, run

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from tests.server.support.process import Server

SOURCES = Path(__file__).parent.parent / "node"


class RefusedError(Exception):
    """The client has ended without seeing anything."""


@lru_cache
def installed() -> TemporaryDirectory[str]:
    """The folder in which the programs and the packages of `package-lock.json` are, until this process ends."""
    folder = TemporaryDirectory(prefix="asgi-upgrade-node-")
    for source in SOURCES.glob("*.js*"):
        shutil.copy(source, folder.name)
    run("npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", cwd=Path(folder.name), timeout=120)
    return folder


@contextmanager
def running(program: str, *arguments: str) -> Iterator[Any]:
    """Run a program until the block ends; the value is what it has seen."""
    command = [find("node"), f"{program}.js", *arguments]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, cwd=installed().name, stdin=pipe, stdout=pipe, stderr=pipe, text=True) as process:
        try:
            assert process.stdout is not None
            assert process.stderr is not None
            line = process.stdout.readline()
            if not line:
                raise RefusedError(process.stderr.read())
            yield json.loads(line)
        finally:
            assert process.stdin is not None
            process.stdin.close()  # it leaves
            try:
                process.wait(5)
            except subprocess.TimeoutExpired:
                process.kill()  # its server has gone, and it tries to connect again


def graphql_ws(server: Server, headers: Mapping[str, str], path: str) -> Any:
    return running("graphql_ws", server.url("ws", path), json.dumps(headers))


def y_websocket(server: Server, headers: Mapping[str, str], path: str) -> Any:
    return running("y_websocket", server.url("ws", path), str(uuid4()), json.dumps(headers))
