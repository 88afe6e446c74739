"""The tests of another project: fetched with its source distribution, and run by its own pytest configuration."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tarfile
from collections import Counter
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

_PLUGINS = Path(__file__).parent / "plugins"
# A test that waits longer hangs, in seconds.
_TIMEOUT = 20
_RAN = (0, 1)  # exit statuses of pytest: all passed, some failed


@dataclass(frozen=True)
class Outcome:
    """How one test came out.

    Attributes:
        id: pytest's node id.
        outcome: ``passed``, ``failed``, ``skipped`` or ``xfailed``.
        message: What pytest says of a failure.
        calls: How often the test reached the package, see the plugin `peers_counting`.
    """

    id: str
    outcome: str
    message: str = ""
    calls: Counter[str] = field(default_factory=Counter)

    @property
    def failed(self) -> bool:
        return self.outcome == "failed"


class Suite:
    """The tests of one project.

    Args:
        project: Its name on the index. The version is the installed one.
        directory: Where to unpack it.
    """

    def __init__(self, project: str, directory: Path) -> None:
        self.project = project
        self.version = version(project)
        self._directory = directory
        self._runs = 0
        self._root = self._fetch()

    def _fetch(self) -> Path:
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-binary", ":all:"]
        # pip asks a distribution for its metadata, with the build backends that are installed.
        command += ["--no-build-isolation", "--dest", str(self._directory), f"{self.project}=={self.version}"]
        subprocess.run(command, check=True)
        [archive] = self._directory.glob(f"{self.project.replace('-', '_')}-*.tar.gz")
        with tarfile.open(archive) as file:
            # The package itself is left out: what is tested is what is installed.
            wanted = [member for member in file if not _is_in(member.name, self.project.replace("-", "_"))]
            file.extractall(self._directory, wanted, filter="data")
        return self._directory / archive.name.removesuffix(".tar.gz")

    def run(self, tests: Iterable[str], options: Sequence[str] = ()) -> list[Outcome]:
        """Run tests.

        Args:
            tests: Files, directories or node ids.
            options: What pytest is told besides.

        Raises:
            SystemExit: pytest could not run them; the message is what it printed.
        """
        self._runs += 1
        selection = self._directory / f"{self.project}-{self._runs}.txt"
        selection.write_text("\n".join(tests))
        outcomes = selection.with_suffix(".jsonl")
        command = [sys.executable, "-m", "pytest", "-o", "addopts=", "-p", "no:cacheprovider", "-n", "2", "--quiet"]
        command += ["--timeout", str(_TIMEOUT), "-p", "peers_outcomes", "--outcomes", str(outcomes)]
        path = os.pathsep.join(filter(None, (str(_PLUGINS), os.environ.get("PYTHONPATH"))))
        run = subprocess.run(
            [*command, *options, f"@{selection}"],
            cwd=self._root,
            env={**os.environ, "PYTHONPATH": path},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        if run.returncode not in _RAN:
            raise SystemExit(f"pytest ended with {run.returncode}:\n{run.stdout}")
        lines = outcomes.read_text().splitlines()
        return [Outcome(**{**test, "calls": Counter(test["calls"])}) for test in map(json.loads, lines)]


def _is_in(name: str, package: str) -> bool:
    return Path(name).parts[1:2] == (package,)
