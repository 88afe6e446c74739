"""Run the tests of uvicorn, Starlette, FastAPI and httpx-ws with the middleware in the path.

A test differs if it fails with the middleware, twice, and passes without it. What is known to differ stands in the
``.toml`` file of the project, each with its reason; anything else that differs fails, and so does what stands there and
differs no more.

    python -m tests.peers.run                    # all
    python -m tests.peers.run starlette          # the tests of one project
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import tomllib

from tests.peers.known import compare, patterns
from tests.peers.suite import Outcome, Suite

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

_PROJECTS = ("uvicorn", "starlette", "fastapi", "httpx-ws")
_SHOWN = 12  # lines of the message of a test that differs


class Peer:
    """One project: its tests, and what is known of them."""

    def __init__(self, project: str, directory: Path) -> None:
        self._known: dict[str, Any] = tomllib.loads((Path(__file__).parent / f"{project}.toml").read_text())
        self._differences = patterns(self._known.get("differences", ()))
        self._sometimes = patterns(self._known.get("sometimes", ()))
        self._suite = Suite(project, directory)
        self.counts: Counter[str] = Counter()

    def run(self) -> None:
        """Run the tests, count their outcomes, and print what is not as it should be."""
        for position in self._known.get("positions", [""]):
            self._run(position)

    def _run(self, position: str) -> None:
        outcomes = self._suite.run(self._known["tests"], self._options(position))
        failed = {each.id: each for each in outcomes if each.failed}
        without = self._fail(failed, self._options())
        differing = {test: failed[test] for test in failed if test not in without}
        ran = [each.id for each in outcomes if each.outcome in ("passed", "failed") and each.id not in without]
        comparison = compare(differing, ran, self._differences, self._sometimes)
        # A machine under load may break any test once.
        unlisted = self._fail(comparison.unlisted, self._options(position))
        counts = Counter(each.outcome for each in outcomes)
        counts["listed"] = len(comparison.listed)
        counts["broken"] = len(without)
        counts["once"] = len(comparison.unlisted) - len(unlisted)
        counts["unlisted"] = len(unlisted)
        counts["outdated"] = len(comparison.outdated)
        name = f"{self._suite.project} {self._suite.version}{position and f', {position}'}"
        skipped = counts["skipped"] + counts["xfailed"]
        print(
            f"{name}: {counts['passed']} passed, {counts['listed']} differ as listed, {skipped} skipped, "
            f"{counts['broken']} fail without the middleware, {counts['once']} failed once"
        )
        for test in unlisted:
            _show(f"{name}: not listed: {test}", failed[test])
        for pattern, same in comparison.outdated.items():
            print(f"{name}: listed, but differs no more: {pattern}", *same[:_SHOWN], sep="\n    ")
        self._check_reached(name, outcomes, counts)
        self.counts += counts

    def _options(self, position: str | None = None) -> list[str]:
        """Return what pytest is told besides what to run. ``None``: the middleware is not in the path."""
        options: list[str] = [*self._known.get("options", ())]
        if position is not None:
            options += ["-p", self._known["plugin"]]
        if position:
            options += ["--position", position]
        return options

    def _fail(self, tests: Iterable[str], options: list[str]) -> set[str]:
        """Run ``tests`` again, and return which of them fail."""
        tests = set(tests)
        if not tests:
            return set()
        # What is missing has not been run, because a worker died of one before it.
        return tests - {each.id for each in self._suite.run(sorted(tests), options) if not each.failed}

    def _check_reached(self, name: str, outcomes: list[Outcome], counts: Counter[str]) -> None:
        """Check that enough tests ran, and that they reached the package: otherwise nothing can differ."""
        reached = sum((each.calls for each in outcomes), Counter(tests=len(outcomes)))
        for what, least in self._known["at_least"].items():
            if reached[what] < least:
                print(f"{name}: only {reached[what]} of at least {least}: {what}")
                counts["missing"] += 1


def _show(title: str, outcome: Outcome) -> None:
    print(title)
    for line in outcome.message.splitlines()[-_SHOWN:]:
        print("   ", line)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what ``arguments`` select; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.peers.run", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("projects", nargs="*", metavar="PROJECT", help=f"of {', '.join(_PROJECTS)}; default: all")
    parser.add_argument("-d", "--directory", type=Path, help="where to unpack the projects, and to keep them")
    options = parser.parse_args(arguments)
    start = time.monotonic()
    counts: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as temporary:
        for project in options.projects or _PROJECTS:
            directory = (options.directory or Path(temporary)) / project
            directory.mkdir(parents=True, exist_ok=True)
            peer = Peer(project, directory)
            peer.run()
            sys.stdout.flush()
            counts += peer.counts
    failed = counts["unlisted"] + counts["outdated"] + counts["missing"]
    parts = [(failed, "failed"), (counts["passed"], "passed"), (counts["skipped"] + counts["broken"], "skipped")]
    parts.append((counts["xfailed"] + counts["listed"], "xfailed"))
    summary = ", ".join(f"{count} {what}" for count, what in parts if count)
    print(f" {summary} in {time.monotonic() - start:.2f}s ".center(80, "="))
    return 1 if failed or not counts["passed"] else 0


if __name__ == "__main__":
    raise SystemExit(main())
