"""Where a program is missing, nothing is skipped: the run fails and says what to install."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

CHECKOUT = Path(__file__).parents[2]


def test_a_missing_program_is_one_error_that_names_the_debian_package() -> None:
    run = subprocess.run(
        [sys.executable, "-m", "pytest", "tests/e2e/test_curl.py", "-p", "no:cacheprovider"],
        cwd=CHECKOUT,
        env={**os.environ, "PATH": "/nowhere"},
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )
    assert run.returncode == 1
    [message] = [line for line in run.stdout.splitlines() if "apt-get install" in line]
    assert {"chromium", "curl", "nodejs"} <= set(message.split())
    assert "skipped" not in run.stdout
    assert "passed" not in run.stdout
