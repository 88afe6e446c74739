"""Java's HttpClient, by the programs in `java/`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from tests.e2e.support.tools import run

if TYPE_CHECKING:
    from collections.abc import Iterator

SOURCES = Path(__file__).parent.parent / "java"
QUICK_START = ("-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Xshare:auto")


class Answer(NamedTuple):
    """A response as Java saw it."""

    status: int
    version: str
    body: Any


class Java:
    """Compiles the programs into `folder` and runs them."""

    def __init__(self, folder: Path) -> None:
        self._folder = str(folder)
        run("javac", "-Xlint:all", "-d", self._folder, *map(str, sorted(SOURCES.glob("*.java"))))

    def run(self, program: str, *arguments: str) -> list[str]:
        """The lines that `program` prints."""
        return run("java", *QUICK_START, "-cp", self._folder, program, *arguments).splitlines()

    def answers(self, program: str, *arguments: str) -> Iterator[Answer]:
        """The responses that `Get` or `Post` got, in order."""
        for line in self.run(program, *arguments):
            status, version, body = line.split(" ", 2)
            yield Answer(int(status), version, json.loads(body))
