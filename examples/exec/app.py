"""What ``docker exec`` needs of a Docker engine: runs any command on this machine for whoever knows the token.

    EXEC_TOKEN=secret uvicorn app:app --app-dir examples/exec --port 2375
    mkdir -p /tmp/client && echo '{"HttpHeaders": {"X-Exec-Token": "secret"}}' > /tmp/client/config.json
    echo hello | docker --config /tmp/client -H tcp://127.0.0.1:2375 exec -i here tr a-z A-Z

The client asks for ``Upgrade: tcp`` with a request body, sends FIN behind its input and goes on reading: the command
sees the end of its input, and its output still arrives. Only what a command without a terminal needs is here.
"""

from __future__ import annotations

import json
import os
import secrets
import subprocess
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import anyio
from anyio.abc import ByteReceiveStream, ByteSendStream, Process
from fastapi import FastAPI, HTTPException, Request, Response
from fastapi.responses import JSONResponse

from asgi_upgrade import UpgradeMiddleware, UpgradeResponse, UpgradeStream

TOKEN = os.environ["EXEC_TOKEN"]
CONTAINER = "here"
API_VERSION = "1.41"
STDOUT, STDERR = 1, 2
MAX_EXECUTIONS = 1000


@dataclass
class Execution:
    """A command that a client has prepared, and what became of it."""

    command: list[str]
    exit_code: int | None = None
    running: bool = False


executions: dict[str, Execution] = {}
app = FastAPI(openapi_url=None)
app.add_middleware(UpgradeMiddleware)


@app.middleware("http")
async def authenticate(request: Request, call_next: Callable[[Request], Awaitable[Response]]) -> Response:
    """Refuse whoever does not know the token, before anything is switched."""
    given = request.headers.get("x-exec-token", "")
    if not secrets.compare_digest(given.encode(), TOKEN.encode()):
        return JSONResponse({"message": "the X-Exec-Token field is missing or wrong"}, 401)
    return await call_next(request)


@app.exception_handler(HTTPException)
async def explain(_: Request, error: HTTPException) -> Response:
    """Say it in the form that Docker's clients print."""
    return JSONResponse({"message": error.detail}, error.status_code)


@app.api_route("/_ping", methods=["GET", "HEAD"])
@app.api_route("/{version}/_ping", methods=["GET", "HEAD"])
async def ping() -> Response:
    """Tell the version of the API, by which clients choose theirs."""
    return Response("OK", headers={"Api-Version": API_VERSION, "Ostype": "linux"})


@app.get("/{version}/version")
async def engine_version() -> dict[str, Any]:
    """Tell what this claims to be."""
    return {"ApiVersion": API_VERSION, "MinAPIVersion": "1.24", "Version": "0", "Os": "linux", "Arch": "amd64"}


@app.get("/{version}/containers/{name}/json")
async def inspect_container(name: str) -> dict[str, Any]:
    """Describe the only container there is."""
    if name != CONTAINER:
        raise HTTPException(404, f"No such container: {name}")
    return {"Id": CONTAINER, "Name": f"/{CONTAINER}", "State": {"Running": True}, "Config": {"Tty": False}}


@app.post("/{version}/containers/{name}/exec", status_code=201)
async def prepare(name: str, request: Request) -> dict[str, str]:
    """Prepare a command."""
    await inspect_container(name)
    wanted = await read_json(request)
    if wanted.get("Tty"):
        raise HTTPException(501, "there are no terminals here, leave out -t")
    if len(executions) >= MAX_EXECUTIONS:
        del executions[next(iter(executions))]
    identifier = secrets.token_hex(32)
    executions[identifier] = Execution(wanted["Cmd"])
    return {"Id": identifier}


@app.post("/{version}/exec/{identifier}/start")
async def start(identifier: str, request: Request) -> UpgradeResponse:
    """Run a prepared command on the client's connection."""
    execution = find(identifier)
    if (await read_json(request)).get("Detach"):
        raise HTTPException(501, "commands run in the foreground here, leave out -d")
    if execution.running or execution.exit_code is not None:
        raise HTTPException(409, "this command has been started before")

    async def handler(stream: UpgradeStream) -> None:
        await run(execution, stream)

    return UpgradeResponse(handler, "tcp", {"Content-Type": "application/vnd.docker.raw-stream"})


@app.get("/{version}/exec/{identifier}/json")
async def inspect_execution(identifier: str) -> dict[str, Any]:
    """Tell whether a command still runs and how it ended."""
    execution = find(identifier)
    return {"ID": identifier, "Running": execution.running, "ExitCode": execution.exit_code, "Pid": 0}


async def run(execution: Execution, stream: UpgradeStream) -> None:
    """Run a command with its standard streams on ``stream``; end it if the client leaves."""
    execution.running = True
    try:
        process = await anyio.open_process(execution.command, stdin=subprocess.PIPE)
    except OSError as error:
        execution.exit_code, execution.running = 127, False
        await stream.send(frame(STDERR, f"{execution.command[0]}: {error.strerror}\n".encode()))
        return
    async with process:
        try:
            await carry(process, stream)
        except BaseException:
            process.kill()
            raise
        finally:
            with anyio.CancelScope(shield=True):
                execution.exit_code = await process.wait()
            execution.running = False


async def carry(process: Process, stream: UpgradeStream) -> None:
    """Carry input and output until both kinds of output have ended."""
    assert process.stdin is not None
    assert process.stdout is not None
    assert process.stderr is not None
    turn = anyio.Lock()  # a stream takes one sender at a time

    async def output(kind: int, source: ByteReceiveStream) -> None:
        async for data in source:
            async with turn:
                await stream.send(frame(kind, data))

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(carry_input, stream, process.stdin)
        async with anyio.create_task_group() as outputs:
            outputs.start_soon(output, STDOUT, process.stdout)
            outputs.start_soon(output, STDERR, process.stderr)
        tasks.cancel_scope.cancel()


async def carry_input(stream: UpgradeStream, sink: ByteSendStream) -> None:
    """Carry what the client sends, and then its end."""
    async for data in stream:
        try:
            await sink.send(data)
        except (anyio.BrokenResourceError, OSError, RuntimeError):
            # The command does not read any more: older versions of AnyIO let asyncio and uvloop say so.
            break
    await sink.aclose()


def frame(kind: int, data: bytes) -> bytes:
    """One piece of output as Docker's clients expect it: kind, three zeros, length in network order, data."""
    return bytes([kind, 0, 0, 0]) + len(data).to_bytes(4, "big") + data


def find(identifier: str) -> Execution:
    """Return a prepared command."""
    if identifier not in executions:
        raise HTTPException(404, f"No such exec instance: {identifier}")
    return executions[identifier]


async def read_json(request: Request) -> dict[str, Any]:
    """Return the body, which clients do not always declare as JSON."""
    try:
        content = json.loads(await request.body() or b"{}")
    except ValueError:
        raise HTTPException(400, "the body is not JSON") from None
    if not isinstance(content, dict):
        raise HTTPException(400, "the body is not a JSON object")
    return content
