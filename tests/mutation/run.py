"""Runs the tests against mutants of the package: `python -m tests.mutation.run guard/gate.py`.

The mutants are mutmut's, see `mutants`, and the runner is ours. mutmut's puts a function of its own around each
function of a module; the guard looks at the calls that are running, and would see those.

Each worker has a copy of the package and its tests. Most mutants are killed in a fork of a pytest that has collected
the tests, see `quick`. For each other mutant the worker changes one file in its copy, and a forked child runs the
tests.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue

import tomllib

from tests.mutation.mutants import Mutant, make_mutants
from tests.mutation.quick import Trial

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
COPIED = ("asgi_upgrade", "docs", "examples", "tests", "pyproject.toml")
# Plugins have been imported before pytest could rewrite them.
_OPTIONS = (
    "-x",
    "-q",
    "-p",
    "no:cacheprovider",
    "-p",
    "no:xdist",
    "--tb=short",
    "-W",
    "ignore:Module already imported",
)
_NO_LIMIT = float("inf")
SLOWEST = 60.0  # seconds that the tests of a module may take without a mutant


@dataclass(frozen=True)
class Result:
    """What became of one mutant."""

    name: str
    outcome: str  # "killed", "timeout" or "survived"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("modules", nargs="*", help="such as guard/gate.py; default: all of modules.toml")
    parser.add_argument("--sample", type=int, help="how many mutants of each module, at most; default: all")
    parser.add_argument("--seed", type=int, default=12, help="of the sample")
    parser.add_argument("--again", type=Path, help="a file that --results has written: only what survived then")
    parser.add_argument("--quick", action="store_true", help="do not try survivors again in a process of their own")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--results", type=Path, help="a file to add a line of JSON to for each module")
    options = parser.parse_args()
    again = _read_survivors(options.again)
    tests = tomllib.loads((HERE / "modules.toml").read_text(encoding="utf-8"))
    explained = tomllib.loads((HERE / "survivors.toml").read_text(encoding="utf-8"))
    _import_what_is_not_ours()
    failed = False
    with tempfile.TemporaryDirectory() as directory:
        workers = [Worker(Path(directory) / str(number)) for number in range(options.workers)]
        for module in options.modules or tests:
            mutants = everything = make_mutants(_path(ROOT, module).read_text(encoding="utf-8"))
            count = len(mutants)
            if again is not None:
                mutants = [each for each in mutants if each.name in again.get(module, ())]
            elif options.sample is not None and options.sample < count:
                mutants = random.Random(options.seed).sample(mutants, options.sample)
            started = time.monotonic()
            results = run(module, mutants, tests[module], workers, quick=options.quick)
            outcomes = Counter(each.outcome for each in results)
            reasons = {each["mutant"] for each in explained.get(module, ())}
            stale = reasons - {each.name for each in everything}
            survived = [each.name for each in results if each.outcome == "survived"]
            unexplained = [name for name in survived if name not in reasons]
            for name in unexplained:
                print(f"  SURVIVED {name}")
            for name in stale:
                print(f"  NO SUCH MUTANT IS LEFT {name}")
            print(
                f"{module}: {len(mutants)} of {count} mutants, {outcomes['killed'] + outcomes['timeout']} killed, "
                f"{len(survived)} survived, {len(survived) - len(unexplained)} of them explained, "
                f"{time.monotonic() - started:.0f} s",
                flush=True,
            )
            if options.results is not None:
                line = {"module": module, "mutants": count, "tried": len(mutants), **outcomes, "survivors": survived}
                with options.results.open("a") as file:
                    file.write(json.dumps(line) + "\n")
            failed |= bool(unexplained or stale)
    return failed


def run(module: str, mutants: list[Mutant], tests: list[str], workers: list[Worker], *, quick: bool) -> list[Result]:
    """Try each mutant of a module, on all workers at once.

    Args:
        module: The module.
        mutants: Its mutants.
        tests: The tests that concern it.
        workers: Who tries them.
        quick: Whether to believe what survives in a fork. Code that has run when the module was imported too may do so.
    """
    with ThreadPoolExecutor(len(workers)) as threads:
        shares = [mutants[number :: len(workers)] for number in range(len(workers))]
        found = threads.map(lambda worker, share: worker.try_quickly(module, share, tests), workers, shares)
        outcomes = {name: outcome for share in found for name, outcome in share.items()}
        doubtful = [
            each for each in mutants if outcomes[each.name] in (("unknown",) if quick else ("survived", "unknown"))
        ]
        for result in _try_each(module, doubtful, tests, workers, threads):
            outcomes[result.name] = result.outcome
    return [Result(each.name, outcomes[each.name]) for each in mutants]


def _try_each(
    module: str, mutants: list[Mutant], tests: list[str], workers: list[Worker], threads: ThreadPoolExecutor
) -> list[Result]:
    """Try mutants in processes of their own."""
    if not mutants:
        return []
    idle = SimpleQueue[Worker]()
    for worker in workers:
        # Also writes what Python compiles, once for all.
        duration, passed = worker.run(tests, SLOWEST)
        if not passed:
            raise SystemExit(f"{worker.output.read_text()}\n{module}: its tests fail without a mutant")
        worker.timeout = 5 * duration + 10
        idle.put(worker)

    def try_one(mutant: Mutant) -> Result:
        worker = idle.get()
        try:
            return worker.try_mutant(module, mutant, tests)
        finally:
            idle.put(worker)

    return list(threads.map(try_one, mutants))


class Worker:
    """A copy of the repository, in which one mutant at a time is tried."""

    def __init__(self, directory: Path) -> None:
        self.output = directory / "output.txt"
        self.timeout = SLOWEST
        self._directory = directory
        directory.mkdir(parents=True)
        for name in COPIED:
            if (ROOT / name).is_dir():
                shutil.copytree(ROOT / name, directory / name, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copy2(ROOT / name, directory / name)

    def try_quickly(self, module: str, mutants: list[Mutant], tests: list[str]) -> dict[str, str]:
        """Run the tests in forks of one pytest; give the outcome by the name of the mutant."""
        results = self._directory / "results.jsonl"
        results.unlink(missing_ok=True)
        name = "asgi_upgrade." + module.removesuffix("/__init__.py").removesuffix(".py").replace("/", ".")
        trial = Trial(name, _path(self._directory, module).read_text(encoding="utf-8"), mutants, results)
        self.run(tests, _NO_LIMIT, trial)
        lines = results.read_text(encoding="utf-8").splitlines() if results.exists() else []
        outcomes: dict[str, str] = dict(map(json.loads, lines))
        if outcomes.pop("", None) != "survived" or len(outcomes) < len(mutants):
            raise SystemExit(f"{self.output.read_text()}\n{module}: its tests fail without a mutant")
        return outcomes

    def try_mutant(self, module: str, mutant: Mutant, tests: list[str]) -> Result:
        """Run the tests with one change."""
        path = _path(self._directory, module)
        before, times = path.read_text(encoding="utf-8"), path.stat()
        path.write_text(mutant.source, encoding="utf-8")
        os.utime(path, (times.st_atime, times.st_mtime - 10))  # not what has been compiled
        try:
            duration, passed = self.run(tests, self.timeout)
        finally:
            path.write_text(before, encoding="utf-8")
            os.utime(path, (times.st_atime, times.st_mtime))
        return Result(mutant.name, "survived" if passed else "timeout" if duration >= self.timeout else "killed")

    def run(self, tests: list[str], timeout: float, *plugins: object) -> tuple[float, bool]:
        """Run tests in a process of their own; return how many seconds they took, and whether they passed."""
        started = time.monotonic()
        child = os.fork()
        if child == 0:
            self._become_pytest(tests, plugins)
        while True:
            pid, status = os.waitpid(child, os.WNOHANG)
            duration = time.monotonic() - started
            if pid:
                break
            if duration > timeout:
                os.killpg(child, signal.SIGKILL)
                os.waitpid(child, 0)
                return duration, False
            time.sleep(0.01)
        return duration, os.waitstatus_to_exitcode(status) == 0

    def _become_pytest(self, tests: list[str], plugins: tuple[object, ...]) -> None:
        code = 99
        try:
            os.setsid()  # what it starts is killed with it
            os.chdir(self._directory)
            sys.path[:] = [str(self._directory), *(each for each in sys.path if Path(each or ".").resolve() != ROOT)]
            for name in [name for name in sys.modules if name.partition(".")[0] in ("tests", "asgi_upgrade")]:
                del sys.modules[name]
            os.environ["PYTHONPATH"] = str(self._directory)
            file = os.open(self.output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
            os.dup2(file, 1)
            os.dup2(file, 2)
            import pytest
            from hypothesis import settings

            settings.register_profile("mutation", max_examples=10, deadline=None)
            settings.load_profile("mutation")
            code = pytest.main([*tests, *_OPTIONS], plugins)
        except BaseException:  # noqa: BLE001 - nothing of the parent may run here
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)


def _read_survivors(results: Path | None) -> dict[str, list[str]] | None:
    """What survived in each module the last time, if anything is to be tried again."""
    if results is None:
        return None
    lines = map(json.loads, results.read_text(encoding="utf-8").splitlines())
    return {line["module"]: line["survivors"] for line in lines}


def _path(root: Path, module: str) -> Path:
    return root / "asgi_upgrade" / module


def _import_what_is_not_ours() -> None:
    """What all children need, once."""
    import fastapi
    import httpx
    import hypothesis
    import pytest
    import starlette.testclient
    import uvicorn
    import uvloop
    import websockets

    assert all((fastapi, httpx, hypothesis, pytest, starlette, uvicorn, uvloop, websockets))


if __name__ == "__main__":
    raise SystemExit(main())
