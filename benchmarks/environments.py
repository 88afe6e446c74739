"""What a comparison needs besides the servers: other Pythons, the package with compiled modules, a certificate."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path

from benchmarks.generator import BUILD

HERE = Path(__file__).parent
REQUIREMENTS = HERE / "requirements.txt"


def python(version: str) -> str:
    """The interpreter of an environment with all servers, for Python ``version`` ("3.12"); made at first use."""
    folder = BUILD / f"python{version}"
    interpreter = folder / "bin" / "python"
    ready = folder / "ready"
    if not ready.exists() or ready.stat().st_mtime < REQUIREMENTS.stat().st_mtime:
        base = shutil.which(f"python{version}")
        if base is None:
            raise SystemExit(f"python{version} is not installed")
        # The commands that pyenv puts on the path run a version only if it is chosen.
        chosen = {**os.environ, "PYENV_VERSION": version}
        subprocess.run([base, "-m", "venv", "--clear", folder], check=True, env=chosen)
        subprocess.run(
            [interpreter, "-m", "pip", "install", "--quiet", "--quiet", "--requirement", REQUIREMENTS], check=True
        )
        ready.touch()
    return str(interpreter)


def certificate() -> tuple[Path, Path]:
    """A certificate for this machine and its key, signed by itself; made at first use with the openssl command."""
    BUILD.mkdir(exist_ok=True)
    certificate, key = BUILD / "certificate.pem", BUILD / "key.pem"
    if not key.exists():
        names: list[str] = ["-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1,DNS:localhost"]
        algorithm = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "3650"]
        files: list[str | Path] = ["-keyout", key, "-out", certificate]
        subprocess.run(["openssl", "req", "-x509", *algorithm, *names, *files], check=True, capture_output=True)
    return certificate, key


@cache
def compiled() -> Path:
    """A directory with the package as it is now, its modules compiled, and with the benchmarks; needs a C compiler."""
    folder = BUILD / "compiled"
    shutil.rmtree(folder, ignore_errors=True)
    install: list[str | Path] = [
        sys.executable,
        "-m",
        "pip",
        "install",
        "--quiet",
        "--no-deps",
        "--target",
        folder,
        HERE.parent,
    ]
    subprocess.run(install, check=True, env={**os.environ, "ASGI_UPGRADE_COMPILE": "require"})
    (folder / "benchmarks").symlink_to(HERE)
    return folder
