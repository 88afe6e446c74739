"""What a measurement is made of: how much, who, and what came out."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.generator import Sample
from benchmarks.rows import Row
from benchmarks.servers import Server, Settings, free_port


@dataclass(frozen=True)
class Plan:
    """How much is measured, and where; ``certificate`` (and its key) measures over TLS."""

    runs: int = 5
    seconds: float = 2.0
    server_core: int = 0
    load_core: int = 1
    certificate: tuple[Path, Path] | None = None

    @property
    def tls(self) -> bool:
        """Whether connections use TLS."""
        return self.certificate is not None


@dataclass(frozen=True)
class Contestant:
    """A server and what it runs on; ``variant`` names that where several are compared."""

    server: Server
    python: str
    loop: str = "uvloop"
    variant: str = ""

    def settings(self, row: Row, plan: Plan) -> Settings:
        """What its server is started with, on a port of its own."""
        certificate, key = plan.certificate or (None, None)
        app = f"{self.server.apps}:{row.app}"
        return Settings(app=app, port=free_port(), loop=self.loop, certificate=certificate, key=key)


@dataclass
class Result:
    """What a contestant reached in a row; ``error`` says why it did not finish."""

    name: str
    variant: str = ""
    samples: list[Sample] = field(default_factory=list)
    error: str | None = None
    compressed_to: float | None = None  # size of the compressed answers over their plain size

    @property
    def median(self) -> float:
        """The median figure of all runs."""
        return statistics.median(sample.rate for sample in self.samples)

    def ratio(self, other: Result) -> float:
        """Own figure over the other's: the median of the rounds' ratios, as noise hits both sides of a round."""
        pairs = zip(self.samples, other.samples, strict=True)
        return statistics.median(own.rate / theirs.rate for own, theirs in pairs)


def entrants(row: Row, contestants: Sequence[Contestant]) -> dict[Contestant, Result]:
    """Those who may take part in ``row``, with their results, which are still empty."""
    fit = [contestant for contestant in contestants if not row.only or contestant.server.name in row.only]
    return {contestant: Result(contestant.server.name, contestant.variant) for contestant in fit}
