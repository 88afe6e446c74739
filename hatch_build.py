"""Compiles modules of the WebSocket engine while a wheel is built, if ``ASGI_UPGRADE_COMPILE`` asks for it.

The variable has three values. Empty or ``0``, the default, compiles nothing. ``1`` compiles, and builds the pure wheel
with a message where that fails, for want of a compiler for example. ``require`` fails instead: releases use it.

``pyproject.toml`` has two lists for this hook: the ``modules`` that mypyc compiles, and the ``extensions`` in C.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

VARIABLE = "ASGI_UPGRADE_COMPILE"


class CompiledModules(BuildHookInterface[Any]):
    """Adds the compiled modules to a wheel; their sources stay in it, for tracebacks and type checkers."""

    PLUGIN_NAME = "custom"

    def dependencies(self) -> list[str]:
        """Name what compiling needs, which pip then installs for the build."""
        return ["mypy>=1.20", "setuptools>=77"] if _wanted() else []

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Compile before hatchling collects the files; an editable install stays pure."""
        if version == "editable" or not _wanted():
            return
        self._directory = tempfile.mkdtemp()
        try:
            libraries = _compile(
                Path(self.root), Path(self._directory), self.config["modules"], self.config["extensions"]
            )
        # What goes wrong comes from the compiler, from mypyc or from setuptools, as any exception and as SystemExit.
        except (Exception, SystemExit) as error:
            if _wanted() == "require":
                raise
            self.app.display_warning(f"asgi-upgrade is built without compiled modules, and will be slower: {error!r}")
            return
        build_data["force_include"].update(libraries)
        build_data["pure_python"] = False
        build_data["infer_tag"] = True

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:  # noqa: ARG002
        """Remove what was compiled: the wheel has it."""
        if directory := getattr(self, "_directory", None):
            shutil.rmtree(directory, ignore_errors=True)


def _wanted() -> str:
    value = os.environ.get(VARIABLE, "").strip()
    if value not in ("", "0", "1", "require"):
        raise ValueError(f'{VARIABLE} is "0", "1" or "require", not {value!r}')
    return "" if value == "0" else value


def _compile(root: Path, directory: Path, modules: list[str], extensions: list[str]) -> dict[str, str]:
    """Return the path of each library that was built, with its place in the wheel."""
    # Before what is below: setuptools brings distutils, which Python 3.12 has no more.
    from setuptools import Distribution, Extension  # isort: skip
    from mypyc.build import mypycify

    before = Path.cwd()
    sources, built = directory / "sources", directory / "built"
    # mypyc names modules by their paths, and writes beside them.
    shutil.copytree(root / "asgi_upgrade", sources / "asgi_upgrade", ignore=shutil.ignore_patterns("__pycache__"))
    os.chdir(sources)
    try:
        # The types are checked elsewhere, with all dependencies at hand. Here they may be missing.
        options = ["--config-file=", "--ignore-missing-imports", "--follow-imports=silent"]
        compiled = mypycify(
            [*options, *modules], opt_level="3", group_name="asgi_upgrade", target_dir=str(directory / "c")
        )
        flags = [] if os.name == "nt" else ["-O3"]
        for source in extensions:
            name = source.removesuffix(".c").replace("/", ".")
            compiled.append(Extension(name, [source], extra_compile_args=flags))
        distribution = Distribution({"name": "asgi-upgrade", "ext_modules": compiled})
        command = distribution.get_command_obj("build_ext")
        command.build_lib, command.build_temp = str(built), str(directory / "objects")  # type: ignore[attr-defined]
        command.ensure_finalized()
        command.run()
    finally:
        os.chdir(before)
    suffixes = (".so", ".pyd")
    libraries = {str(path): path.relative_to(built).as_posix() for path in built.rglob("*") if path.suffix in suffixes}
    wanted = len(modules) + len(extensions)
    if len(libraries) < wanted:
        raise RuntimeError(f"{len(libraries)} libraries were built for {wanted} modules")
    print(f"asgi-upgrade: compiled {wanted} modules", file=sys.stderr)  # noqa: T201
    return libraries
