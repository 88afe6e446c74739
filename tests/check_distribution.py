"""Check a built sdist and wheel as PyPI does, and that the wheel imports alone where every warning is an error."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

PYTHONS = ("3.10", "3.11", "3.12", "3.13", "3.14")
# Of the servers and parsers, which are extras, none is there.
CODE = (
    "import sys, asgi_upgrade, asgi_upgrade.check, asgi_upgrade.probe; "
    "assert not {'uvicorn', 'hypercorn', 'h2', 'fastapi'} & set(sys.modules); print(asgi_upgrade.__file__)"
)


def find(version: str) -> str | None:
    """Return the path of an interpreter. One of pyenv's that is not chosen is found first, and does not run."""
    for directory in os.get_exec_path():
        command = [str(Path(directory, f"python{version}")), "-c", "import sys; print(sys.executable)"]
        try:
            found = subprocess.run(command, capture_output=True, text=True, check=True)
        except (OSError, subprocess.CalledProcessError):
            continue
        return found.stdout.strip()
    return None


def check_import(python: str, wheel: Path, directory: Path) -> None:
    # Our own pip installs: unpacking another for each Python would take longer than all the rest.
    subprocess.run([python, "-m", "venv", "--without-pip", directory], check=True)
    inside = directory / ("Scripts" if sys.platform == "win32" else "bin") / "python"
    subprocess.run([sys.executable, "-m", "pip", "--python", inside, "install", "--quiet", wheel], check=True)
    subprocess.run([inside, "-W", "error", "-c", CODE], check=True, cwd=directory)
    subprocess.run(
        [inside, "-W", "error", "-m", "asgi_upgrade", "--help"], check=True, cwd=directory, stdout=subprocess.DEVNULL
    )


def main(dist: Path) -> None:
    wheels, sdists = sorted(dist.glob("*.whl")), sorted(dist.glob("*.tar.gz"))
    assert len(wheels) == len(sdists) == 1, sorted(dist.iterdir())
    assert wheels[0].name.endswith("-py3-none-any.whl"), f"{wheels[0].name} is compiled"
    subprocess.run([sys.executable, "-m", "twine", "check", "--strict", *wheels, *sdists], check=True)
    found = {version: python for version in PYTHONS if (python := find(version))}
    assert found, "no Python was found"
    for version, python in found.items():
        with tempfile.TemporaryDirectory() as directory:
            check_import(python, wheels[0], Path(directory))
        print(f"Python {version}: imported alone, without a warning")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
