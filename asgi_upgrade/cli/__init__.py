"""The commands ``asgi-upgrade check`` and ``asgi-upgrade probe``, also as ``python -m asgi_upgrade``."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from asgi_upgrade.cli import check, probe

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["main"]

_COMMANDS = {
    "check": (check, "tell what guards the WebSocket routes of an application"),
    "probe": (probe, "tell what a running server does with offers to upgrade"),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; return its exit code.

    Args:
        arguments: Those of the command line. Default: the program's.
    """
    parser = argparse.ArgumentParser(prog="asgi-upgrade", description="Tools for HTTP Upgrade on ASGI.")
    commands = parser.add_subparsers(dest="command", required=True)
    for name, (module, words) in _COMMANDS.items():
        module.add_arguments(commands.add_parser(name, help=words, description=f"{words[0].upper()}{words[1:]}."))
    parsed = parser.parse_args(arguments)
    return _COMMANDS[parsed.command][0].run(parsed)
