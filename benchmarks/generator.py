"""The load generator: built from the C sources in ``load/`` at first use, run in a process of its own."""

from __future__ import annotations

import json
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from benchmarks.processes import on_core

SOURCES = Path(__file__).parent / "load"
BUILD = Path(__file__).parent / "build"


class LoadError(Exception):
    """The load generator gave up: its message says why."""


@dataclass(frozen=True)
class Sample:
    """One run: answers per second, the round trip's median and 99th percentile in microseconds."""

    rate: float
    p50: float = 0.0
    p99: float = 0.0
    answers: int = 0  # all of them, the warm-up's included
    cpu: float = 0.0  # microseconds of the server's CPU time for each answer


def build(tls: bool = False) -> Path:
    """The load generator's executable; ``tls`` links OpenSSL, whose headers must then be installed."""
    program = BUILD / ("load-tls" if tls else "load")
    sources = sorted(SOURCES.glob("*.c"))
    if program.exists() and all(program.stat().st_mtime > file.stat().st_mtime for file in SOURCES.iterdir()):
        return program
    compiler = shutil.which("cc")
    if compiler is None:
        raise LoadError("the load generator needs a C compiler called cc")
    BUILD.mkdir(exist_ok=True)
    flags = ["-std=gnu11", "-O2", "-Wall", "-Wextra", *(["-DWITH_TLS"] if tls else [])]
    libraries = ["-lssl", "-lcrypto"] if tls else []
    subprocess.run([compiler, *flags, "-o", program, *sources, *libraries], check=True)
    return program


def start(mode: str, core: int, *, tls: bool = False, **options: object) -> subprocess.Popen[str]:
    """Start the generator on ``core``; options that are None are left out."""
    given = [f"{name}={value}" for name, value in options.items() if value is not None]
    command = [str(build(tls)), mode, f"tls={int(tls)}", *given]
    pipe = subprocess.PIPE
    with on_core(core):
        return subprocess.Popen(command, text=True, stdin=pipe, stdout=pipe, stderr=pipe)


def run(mode: str, core: int, *, seconds: float, tls: bool = False, **options: object) -> Sample:
    """Run the generator for ``seconds`` and return what it measured."""
    process = start(mode, core, tls=tls, seconds=seconds, **options)
    try:
        output, errors = process.communicate(timeout=seconds + 30)
    except subprocess.TimeoutExpired:
        raise LoadError("the load generator hangs") from None
    finally:
        process.kill()
        process.wait()
    if process.returncode:
        raise LoadError(errors.strip())
    figures = json.loads(output)
    return Sample(figures["rate"], figures["p50"], figures["p99"], figures["all"])


def read_line(stream: IO[str] | None) -> str:
    """The next line a started generator prints."""
    return stream.readline().strip() if stream else ""
