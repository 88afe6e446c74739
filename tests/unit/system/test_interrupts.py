"""Ctrl-C while a command runs an event loop."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator

import pytest

from asgi_upgrade.system.interrupts import run_interruptibly

# The signal comes while a callback of the loop settles the future that the task waits for.
IN_A_CALLBACK = """
import os, signal, socket, sys
from asgi_upgrade.cli import main

def interrupted(sock, *arguments):
    os.kill(os.getpid(), signal.SIGINT)
    return 0

socket.socket.getsockopt = interrupted
sys.exit(main(["probe", sys.argv[1]]))
"""


def press() -> None:
    os.kill(os.getpid(), signal.SIGINT)


@pytest.fixture(autouse=True)
def default() -> Iterator[None]:
    """As in a terminal: what a shell runs in the background ignores the signal, and so do its children."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def test_ctrl_c_between_two_instructions_of_the_loop_prints_nothing() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        command = [sys.executable, "-c", IN_A_CALLBACK, f"127.0.0.1:{silent.getsockname()[1]}"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "")


def test_ctrl_c_cancels() -> None:
    steps = []

    async def work() -> None:
        try:
            press()
            steps.append("no exception between two instructions")
            await asyncio.sleep(60)
        finally:
            await asyncio.sleep(0)
            steps.append("cleaned up")

    with pytest.raises(KeyboardInterrupt):
        run_interruptibly(work())
    assert steps == ["no exception between two instructions", "cleaned up"]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_second_ctrl_c_ends_what_gives_the_loop_no_turn() -> None:
    async def work() -> None:
        press()
        press()
        pytest.fail("it goes on")

    with pytest.raises(KeyboardInterrupt):
        run_interruptibly(work())
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_what_it_returns_and_raises() -> None:
    async def work(value: int) -> int:
        return 10 // value

    assert run_interruptibly(work(2)) == 5
    with pytest.raises(ZeroDivisionError):
        run_interruptibly(work(0))
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_task_that_cancels_itself_was_not_interrupted() -> None:
    async def work() -> None:
        raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        run_interruptibly(work())


def test_a_handler_of_somebody_else_stays() -> None:
    pressed = []

    async def work() -> str:
        press()
        return "done"

    signal.signal(signal.SIGINT, lambda *_: pressed.append(True))
    try:
        assert run_interruptibly(work()) == "done"
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    assert pressed == [True]


def test_in_another_thread() -> None:
    async def work() -> None:
        results.append("done")

    results: list[str] = []
    thread = threading.Thread(target=lambda: run_interruptibly(work()))
    thread.start()
    thread.join(60)
    assert results == ["done"]
