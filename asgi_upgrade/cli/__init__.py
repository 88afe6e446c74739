"""The commands ``asgi-upgrade check`` and ``asgi-upgrade probe``, also as ``python -m asgi_upgrade``."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

from asgi_upgrade import __version__
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
    words = list(sys.argv[1:] if arguments is None else arguments)
    if words and words[0] in _COMMANDS:
        module, text = _COMMANDS[words[0]]
        parser = argparse.ArgumentParser(prog=f"asgi-upgrade {words[0]}", description=f"{_as_sentence(text)}.")
        module.add_arguments(parser)
        # Options may stand between positional arguments, which subparsers do not allow.
        options = parser.parse_intermixed_args(words[1:])
        try:
            code: int = module.run(options)
        except KeyboardInterrupt:
            return 130  # as shells say it: 128, and the number of SIGINT
        return code
    parser = argparse.ArgumentParser(prog="asgi-upgrade", description="Tools for HTTP Upgrade on ASGI.")
    parser.add_argument("--version", action="version", version=f"asgi-upgrade {__version__}")
    commands = parser.add_subparsers(dest="command", required=True)
    for name, (_, text) in _COMMANDS.items():
        commands.add_parser(name, help=text)
    parser.parse_args(words)
    return 2  # never: it has been said what is missing


def _as_sentence(text: str) -> str:
    return text[0].upper() + text[1:]
