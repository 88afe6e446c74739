"""The commands of this repository that the documentation tells its readers to run."""

from __future__ import annotations

import ast
import re
import shlex
from configparser import RawConfigParser
from functools import cache
from importlib.util import find_spec
from typing import TYPE_CHECKING

from benchmarks.rows import ROWS, SIZES
from benchmarks.servers import SERVERS
from tests.docs.blocks import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

# A code span that is a command, or a line of a block of `sh`.
_COMMAND = re.compile(r"(?:pytest tests|tox -e |python -m (?:tests|benchmarks))[^`#\n]*")
# An environment may be spelt in a section for several, such as ``testenv:next{,-py314}``.
_GENERATED = re.compile(r"py3\d+|next-py314")


def find_commands(text: str) -> list[str]:
    """The commands in a page."""
    return [found.strip() for found in _COMMAND.findall(text)]


def find_mistakes(command: str) -> Iterator[str]:
    """What the command names that is not there."""
    program, *arguments = shlex.split(command)
    if program == "pytest":
        yield from _mistakes_of_tests(arguments, [])
    elif program == "tox":
        names, _, rest = " ".join(arguments[1:]).partition(" -- ")
        yield from (f"tox.ini has no {name}" for name in names.split()[0].split(",") if name not in environments())
        yield from _mistakes_of_posargs(names.split()[0], rest.split())
    else:
        module = arguments[1]
        if find_spec(module) is None:
            yield f"there is no module {module}"
        elif module == "benchmarks":
            yield from _mistakes_of_benchmarks(arguments[2:])


@cache
def environments() -> dict[str, str]:
    """The commands of each environment of tox."""
    parser = RawConfigParser()
    parser.read(ROOT / "tox.ini", encoding="utf-8")
    known = {}
    for section in parser.sections():
        name = section.removeprefix("testenv:").partition("{")[0]
        known[name] = parser.get(section, "commands", fallback="")
    listed = parser.get("tox", "env_list").replace(",", " ").split()
    return known | {name: known["testenv"] for name in listed if _GENERATED.fullmatch(name) and name not in known}


def _mistakes_of_posargs(environment: str, arguments: list[str]) -> Iterator[str]:
    if environment == "bench":
        yield from _mistakes_of_benchmarks(arguments)
    elif any(argument.startswith("tests/") for argument in arguments):
        yield f"{environment} would run them beside all others: select by -k"
    elif "-k" in arguments:
        line = next(line for line in environments()[environment].splitlines() if line.startswith("pytest"))
        yield from _mistakes_of_tests(arguments, re.findall(r"tests/\S+", line))


def _mistakes_of_tests(arguments: list[str], always: list[str]) -> Iterator[str]:
    keyword = arguments[arguments.index("-k") + 1] if "-k" in arguments else ""
    named = [argument for argument in arguments if argument.startswith("tests/")]
    for name in named:
        if not (ROOT / name).exists():
            yield f"there is no {name}"
    files = [file for name in named or always for file in _test_files(ROOT / name)]
    if not any(keyword in f"{file.name}::{test}" for file in files for test in _tests_of(file)):
        yield f"no test of {named or always} has {keyword!r} in its name"


def _test_files(path: Path) -> list[Path]:
    return sorted(path.rglob("test_*.py")) if path.is_dir() else [path] if path.exists() else []


def _tests_of(file: Path) -> Iterator[str]:
    for node in ast.parse(file.read_text(encoding="utf-8")).body:
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) and node.name.startswith("test_"):
            yield node.name


def _mistakes_of_benchmarks(arguments: list[str]) -> Iterator[str]:
    known = {"--rows": {row.key for row in (*ROWS, *SIZES)}, "--servers": set(SERVERS)}
    for option, values in known.items():
        if option in arguments:
            named = arguments[arguments.index(option) + 1].split(",")
            yield from (f"{option} has no {name}" for name in named if name not in values)
