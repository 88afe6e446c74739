"""Java's HttpClient, by the programs in `java/`, and Netty, by those in `netty/`."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from tests.e2e.support.tools import run

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

SOURCES = Path(__file__).parent.parent / "java"
NETTY_SOURCES = SOURCES.parent / "netty"
# Of the Debian packages libnetty-java and libjzlib-java, which it compresses with where a window is chosen.
NETTY = [
    Path(f"/usr/share/java/netty-{part}.jar")
    for part in ("buffer", "codec", "codec-http", "common", "handler", "resolver", "transport")
] + [Path("/usr/share/java/jzlib.jar")]
QUICK_START = ("-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Xshare:auto")


class Answer(NamedTuple):
    """A response as Java saw it."""

    status: int
    version: str
    body: Any


class Java:
    """Compiles the programs in `sources` into `folder` and runs them, with the archives in `library`."""

    def __init__(self, folder: Path, *, sources: Path = SOURCES, library: Sequence[Path] = ()) -> None:
        self._classes = os.pathsep.join(map(str, [folder, *library]))
        options = ("-Xlint:all", "-d", str(folder), "-cp", self._classes)
        run("javac", *options, *map(str, sorted(sources.glob("*.java"))))

    def run(self, program: str, *arguments: str) -> list[str]:
        """The lines that `program` prints."""
        return run("java", *QUICK_START, "-cp", self._classes, program, *arguments).splitlines()

    def answers(self, program: str, *arguments: str) -> Iterator[Answer]:
        """The responses that `Get` or `Post` got, in order."""
        for line in self.run(program, *arguments):
            status, version, body = line.split(" ", 2)
            yield Answer(int(status), version, json.loads(body))
