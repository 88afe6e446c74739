"""The tutorial, step by step: its files are saved, its commands run, and what they print is compared."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.docs.tutorial import read_steps, save
from tests.server.support.process import child_environment, uvicorn

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.server.support.process import Server

ADDRESS = "127.0.0.1:8000"


class Reader:
    """Somebody who does what the tutorial says, in a directory of their own."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self.folder = folder
        self.stack = stack
        self.server: Server | None = None
        self.commands: list[str] = []

    def enter(self, command: str, expected: list[str]) -> None:
        """Enter a command, and compare what it prints."""
        self.commands.append(command)
        if command.startswith("uvicorn"):
            self.serve(command, expected)
        elif not command.startswith(("pip ", "python -m venv", ". ")):
            assert self.run(command) == expected, command

    def serve(self, command: str, expected: list[str]) -> None:
        self.stack.close()
        app, *options = shlex.split(command)[1:]
        self.server = self.stack.enter_context(uvicorn(app, *options, "--app-dir", str(self.folder)))
        for line in expected:
            assert self.server.log.search(re.escape(line).replace(re.escape(ADDRESS), re.escape(self.server.host)))

    def run(self, command: str) -> list[str]:
        """The lines that a command prints, with the address that the tutorial has."""
        host = self.server.host if self.server else ADDRESS
        for path in self.folder.glob("*.py"):
            path.write_text(path.read_text(encoding="utf-8").replace(ADDRESS, host), encoding="utf-8")
        environment = child_environment({"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"})
        done = subprocess.run(
            ["bash", "-c", command.replace(ADDRESS, host)],
            cwd=self.folder, env=environment, capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
        for path in self.folder.glob("*.py"):
            path.write_text(path.read_text(encoding="utf-8").replace(host, ADDRESS), encoding="utf-8")
        if "pytest" in command:
            return re.findall(r"\d+ (?:passed|failed).*", done.stdout)
        return done.stdout.replace(host, ADDRESS).splitlines()


@pytest.fixture
def reader(tmp_path: Path) -> Iterator[Reader]:
    with ExitStack() as stack:
        yield Reader(tmp_path, stack)


def test_each_step_prints_what_the_tutorial_shows(reader: Reader, monkeypatch: pytest.MonkeyPatch) -> None:
    # How long its test takes, and whether a library is deprecated, is not the tutorial's to say.
    unimportant = re.compile(r"(, \d+ warnings?)? in [\d.]+s$")
    run = reader.run
    monkeypatch.setattr(reader, "run", lambda command: [unimportant.sub("", line) for line in run(command)])
    for title, text in read_steps():
        if title:
            save(reader.folder, title, text)
            continue
        for entry in re.split(r"^\$ ", text, flags=re.MULTILINE)[1:]:
            command, *expected = entry.splitlines()
            reader.enter(command, [unimportant.sub("", line) for line in expected])
    assert len(reader.commands) == 12
