"""Removes packages called `tests` from this environment, which distributions install by mistake and which hide ours."""

from __future__ import annotations

import shutil
import sysconfig
from pathlib import Path


def main() -> None:
    for name in ("purelib", "platlib"):
        stray = Path(sysconfig.get_path(name)) / "tests"
        if (stray / "__init__.py").is_file():
            shutil.rmtree(stray)


if __name__ == "__main__":
    main()
