"""Copy what the tests need, and not the package: beside its sources, they would not run what is installed."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
NEEDED = ("benchmarks", "docs", "examples", "tests")
FILES = ("CHANGELOG.md", "README.md", "pyproject.toml", "tox.ini", "zensical.toml")


def main(target: Path) -> None:
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir(parents=True)
    for name in NEEDED:
        shutil.copytree(ROOT / name, target / name, ignore=shutil.ignore_patterns("__pycache__", "build"))
    for name in FILES:
        shutil.copy(ROOT / name, target / name)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
