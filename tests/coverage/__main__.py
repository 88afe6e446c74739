"""What the tests of one environment cover, in all its processes: `python -m tests.coverage`, after `coverage combine`.

It fails where less is covered than `pyproject.toml` demands, where the README says another number, and where lines are
not covered in functions that `uncovered.toml` does not give a reason for. With arguments, those that pytest got, only a
part of the tests has run: then it reports, and demands nothing.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from tests.coverage import uncovered

ROOT = Path(__file__).parents[2]
README_LINE = re.compile(r"cover (\d+) %]")
# Lines that one run covers and the next does not, those of races; and what is new, until somebody looks.
ALLOWED = 40


def main(arguments: list[str]) -> int:
    report, status = measure(*(["--fail-under=0"] if arguments else []))
    covered: float = report["totals"]["percent_covered"]
    print(f"{covered:.1f} % of the lines are covered.")
    if arguments:
        return 0
    faults = [f"pyproject.toml demands more: {covered:.2f} %"] if status == 2 else []
    faults += check_readme(covered, (ROOT / "README.md").read_text(encoding="utf-8"))
    faults += check_reasons(missing_by_function(report), uncovered.load())
    print(*faults, sep="\n")
    return bool(faults)


def measure(*options: str) -> tuple[dict[str, Any], int]:
    """Give what `coverage json` says, and its exit code: 2 where less is covered than is demanded."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "report.json")
        command = [sys.executable, "-m", "coverage", "json", "--quiet", "-o", str(file), *options]
        done = subprocess.run(command, check=False)
        if done.returncode not in (0, 2):
            sys.exit(done.returncode)
        return json.loads(file.read_text(encoding="utf-8")), done.returncode


def check_readme(covered: float, text: str) -> list[str]:
    """The number may be a point too high, or two too low: who adds tests need not change it at once."""
    (said,) = README_LINE.findall(text)
    return [] if -1 <= covered - int(said) <= 2 else [f"README.md says {said} %, and it is {covered:.1f} %"]


def missing_by_function(report: dict[str, Any]) -> dict[tuple[str, str], list[int]]:
    """The lines that are not covered, by file and function; those outside of functions stand under an empty name."""
    return {
        (file, function): region["missing_lines"]
        for file, found in report["files"].items()
        for function, region in found["functions"].items()
        if region["missing_lines"]
    }


def check_reasons(missing: dict[tuple[str, str], list[int]], reasons: dict[tuple[str, str], str]) -> list[str]:
    unexplained = {place: lines for place, lines in missing.items() if place not in reasons}
    for (file, function), lines in sorted(unexplained.items()):
        print(f"{file}, {function or 'outside of functions'}: no test runs {', '.join(map(str, lines))}")
    for file, function in sorted(reasons.keys() - missing.keys()):
        print(f"{file}, {function}: all lines were run this time")
    count = sum(map(len, unexplained.values()))
    return [f"{count} lines are not covered, and have no reason in uncovered.toml"] if count > ALLOWED else []


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
