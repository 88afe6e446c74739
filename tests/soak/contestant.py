"""A server that goes through the soak: rounds of the three kinds of work, and what is left of it after each."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import statistics
import sys
import tempfile
import time
import urllib.request
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import IO, TYPE_CHECKING, Any

import uvloop

from benchmarks import processes
from benchmarks.generator import LoadError
from benchmarks.servers import Server, Settings, free_port, running
from tests.soak import client, crowd, storm
from tests.soak.numbered import Totals

if TYPE_CHECKING:
    from collections.abc import Coroutine, Iterator

    from tests.soak.client import Exchange
    from tests.soak.crowd import Crowd
    from tests.soak.storm import Storm

# What may be more in the last round than in the first, when all that is loaded once is loaded. Heaps get holes: what is
# compared is the memory with the crowd there, if there is one. Between crowds a server keeps more from round to round.
MEMORY_ALLOWED = 12 * 1024 * 1024
# Blocks of memory that Python has allocated: for what comes to be loaded later, and for each round. A round of the
# short form has two thousand connections.
BLOCKS_ONCE = 500
BLOCKS_ALLOWED = 100
COMPLAINTS = ("Traceback", "ERROR", "CRITICAL", "never retrieved", "was destroyed")


@dataclass(frozen=True)
class Work:
    """What rounds are made of."""

    rounds: int  # at least
    connections: int = 0  # of the crowd; 0 leaves it out
    crowd_seconds: float = 1.0  # in which the active ones talk
    messages: int = 0  # numbered ones in each direction, over all
    exchanging: int = 200  # connections that they are spread over
    clients: int = 0  # in the storm
    storm_patience: float = 20.0  # seconds for each of them
    patience: float = 30.0  # seconds, for messages that do not come
    settle: float = 20.0  # seconds in which everything must have ended: more than any timeout of the application


@dataclass(frozen=True)
class State:
    """What a server has when nothing goes on.

    Memory (bytes) and descriptors are looked at from outside; the application tells of the rest: its tasks, endpoints
    that run, blocks of memory that Python has allocated, and objects by their class.
    """

    memory: int
    descriptors: int
    tasks: int
    running: int
    blocks: int
    objects: dict[str, int]


@dataclass
class Round:
    """What was measured in a round."""

    state: State
    crowd: Crowd | None
    exchange: Exchange
    exchange_seconds: float
    exchange_cpu: float  # seconds of the server's processor time
    storm: Storm

    @property
    def most_memory(self) -> int:
        """Bytes of memory when the most is going on, or at the end."""
        return max(self.state.memory, self.crowd.memory if self.crowd else 0)


def command(settings: Settings) -> list[str]:
    """Plain uvicorn, or uvicorn with the middleware in the application: the same options."""
    return [
        *("uvicorn", f"tests.soak.app:{settings.app}", "--port", str(settings.port), "--loop", settings.loop),
        *("--http", "httptools", "--ws", "websockets-sansio", "--backlog", "8192"),
        # The silent ones of the crowd do not answer.
        *("--no-access-log", "--log-level", "warning", "--ws-ping-timeout", "120"),
    ]


APPS = {"asgi-upgrade": "upgraded", "uvicorn": "plain"}


@dataclass
class Contestant:
    """A running server, what was measured of it, and what was wrong."""

    name: str
    pid: int
    port: int
    core: int  # of the load
    log: IO[bytes]
    first: State | None = None  # before any work
    rounds: list[Round] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    totals: dict[str, Totals] = field(default_factory=lambda: {"server": Totals(), "client": Totals()})
    owner: int = 0  # number of the next sender of messages

    def begin(self) -> None:
        """Look at it before any work."""
        self.first = self._state()

    def work(self, work: Work) -> None:
        """Do a round."""
        gathered = self._gather(work) if work.connections else None
        exchange, seconds, cpu = self._exchange(work)
        blown = _run(storm.blow(self.port, work.clients, len(self.rounds), work.storm_patience))
        self.problems += [what for what, count in blown.problems.items() for _ in range(count)]
        self.rounds.append(Round(self._settle(work.settle), gathered, exchange, seconds, cpu, blown))

    def _gather(self, work: Work) -> Crowd | None:
        try:
            return crowd.gather(self.pid, self.port, work.connections, work.crowd_seconds, self.core)
        except LoadError as error:
            self.problems.append(f"the crowd: {error}")
            return None

    def _exchange(self, work: Work) -> tuple[Exchange, float, float]:
        start, before = time.monotonic(), processes.cpu_time(self.pid)
        each = work.messages // work.exchanging
        if not each:
            return client.Exchange(), 0.0, 0.0
        exchanged = _run(client.exchange(self.port, work.exchanging, each, self.owner, work.patience))
        seconds, cpu = time.monotonic() - start, processes.cpu_time(self.pid) - before
        self.owner += 2 * work.exchanging
        self._settle(work.settle)
        theirs = Totals(**self._get("totals"))
        for who, totals in (("server", theirs), ("client", exchanged.totals)):
            self.problems += totals.faults(f"at the {who}")
            self.totals[who].merge(totals)
        wanted = each * work.exchanging
        if not exchanged.totals.came == exchanged.totals.sent == theirs.came == theirs.sent == wanted:
            counts = (
                f"{exchanged.totals.sent} sent, {theirs.came} came; {theirs.sent} sent, {exchanged.totals.came} came"
            )
            self.problems.append(f"of {wanted} messages each way: {counts}")
        self.problems += exchanged.problems
        return exchanged, seconds, cpu

    # What is left

    def _get(self, what: str) -> Any:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/{what}", timeout=60) as answer:
            return json.load(answer)

    def _state(self) -> State:
        told = self._get("state")
        return State(
            memory=processes.memory(self.pid),
            descriptors=len(os.listdir(f"/proc/{self.pid}/fd")),  # noqa: PTH208 - only how many
            tasks=told["tasks"],
            running=told["running"],
            blocks=told["blocks"],
            objects=told["objects"],
        )

    def _settle(self, seconds: float) -> State:
        """Wait until all is as at first, or for as long as it may take."""
        assert self.first is not None
        until = time.monotonic() + seconds
        while True:
            state = self._state()
            quiet = (state.tasks, state.descriptors) == (self.first.tasks, self.first.descriptors)
            if (quiet and not state.running) or time.monotonic() > until:
                return state
            time.sleep(0.2)

    def judge(self) -> None:
        """Compare the last round with the first, and read the log."""
        assert self.first is not None
        after, last = self.rounds[0].state, self.rounds[-1].state
        if last.running:
            self.problems.append(f"{last.running} endpoints still run")
        for what, before, now in (
            ("tasks", self.first.tasks, last.tasks),
            ("descriptors", self.first.descriptors, last.descriptors),
        ):
            if before != now:
                self.problems.append(f"{now} {what}, {before} before any work")
        if last.blocks > after.blocks + BLOCKS_ONCE + BLOCKS_ALLOWED * len(self.rounds):
            self.problems.append(f"{last.blocks} blocks of memory, {after.blocks} after the first round")
        for name, count in last.objects.items():
            if count > after.objects.get(name, 0):
                self.problems.append(f"{count} objects {name}, {after.objects.get(name, 0)} after the first round")
        most = [each.most_memory for each in self.rounds]
        if most[-1] > most[0] + MEMORY_ALLOWED:
            sizes = " ".join(f"{size / 1024**2:.1f}" for size in most)
            self.problems.append(f"memory grows, MiB in each round: {sizes}")
        self.log.seek(0)
        for line in self.log.read().decode(errors="replace").splitlines():
            if any(complaint in line for complaint in COMPLAINTS):
                self.problems.append(f"logged: {line}")


def _run(work: Coroutine[Any, Any, Any]) -> Any:
    """Run it on a loop of its own. Being told to end ends it: what a handler raises within a loop would be logged."""
    handler = signal.getsignal(signal.SIGTERM)
    loop = uvloop.new_event_loop()
    try:
        task = loop.create_task(work)
        loop.add_signal_handler(signal.SIGTERM, task.cancel)
        return loop.run_until_complete(task)
    except asyncio.CancelledError:
        sys.exit(1)
    finally:
        loop.close()
        signal.signal(signal.SIGTERM, handler)


def cores() -> tuple[int, int]:
    """The cores for the server and for its load, the same one where there is only one."""
    available = sorted(os.sched_getaffinity(0))
    return available[0], available[-1]


@contextmanager
def environment(name: str, fault: str = "") -> Iterator[None]:
    """Servers that are started within the block have what `tests.soak.app` wants to know in their environment."""
    wanted = {"SOAK_FAULT": fault, **({"SOAK_POLITE": "1"} if name == "uvicorn" else {})}
    before = {key: os.environ.get(key) for key in wanted}
    os.environ.update(wanted)
    try:
        yield
    finally:
        for key, value in before.items():
            if value is None:
                del os.environ[key]
            else:
                os.environ[key] = value


@contextmanager
def serving(name: str, on: tuple[int, int], loop: str, fault: str = "") -> Iterator[Contestant]:
    """Run a server for the length of the block: on the first core of ``on``, its load on the second."""
    settings = Settings(app=APPS[name], port=free_port(), loop=loop, certificate=None, key=None)
    with tempfile.TemporaryFile() as log, environment(name, fault):
        server = Server(name, "uvicorn", command)
        with running(server, settings, sys.executable, on[0], log) as pid:
            contestant = Contestant(name, pid, settings.port, on[1], log)
            contestant.begin()
            yield contestant


def middle(values: list[float]) -> float:
    """The median, 0 of nothing."""
    return statistics.median(values) if values else 0.0
