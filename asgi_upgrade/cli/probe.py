"""The command ``asgi-upgrade probe``: its arguments, its output and its exit code."""

from __future__ import annotations

import json
import re
import sys
from typing import TYPE_CHECKING

from asgi_upgrade.cli.tree import Tree, show
from asgi_upgrade.probe.exchange import Target
from asgi_upgrade.probe.findings import Level, probe
from asgi_upgrade.system.interrupts import run_interruptibly

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

__all__ = ["add_arguments", "run"]

_STYLES = {Level.GOOD: "green", Level.NOTE: "yellow", Level.BAD: "bold red"}
# RFC 9110 section 5: a token, and a value without control characters.
_FIELD = re.compile(r"([!#$%&'*+\-.^_`|~0-9A-Za-z]+):[ \t]*([\x20-\x7e\x80-\xff]*)")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument("url", help="http, https, ws or wss: a path that speaks WebSocket")
    parser.add_argument(
        "-H", "--header", action="append", default=[], help="a field for each request, such as 'Cookie: session=...'"
    )
    parser.add_argument("--timeout", type=float, default=5.0, help="seconds that each request may take (5)")
    parser.add_argument("--insecure", action="store_true", help="do not check the server's certificate")
    parser.add_argument("--json", action="store_true", help="write JSON")


def run(arguments: argparse.Namespace) -> int:
    """Run the command; return its exit code: 1 if something is bad, 2 if the server cannot be asked."""
    try:
        target = Target.from_url(arguments.url, verify=not arguments.insecure)
        headers = _parse(arguments.header)
        if not 0 < arguments.timeout <= 600:
            raise ValueError(f"--timeout must be between 0 and 600 seconds, not {arguments.timeout:g}")
        findings = run_interruptibly(probe(target, headers=headers, seconds=arguments.timeout))
    except (ValueError, OSError) as error:
        sys.stderr.write(f"asgi-upgrade probe: {error}\n")
        return 2
    if arguments.json:
        rows = [{**each._asdict(), "level": each.level.value} for each in findings]
        sys.stdout.write(json.dumps({"url": arguments.url, "findings": rows}, indent=2) + "\n")
    else:
        tree = Tree(arguments.url, "bold")
        for each in findings:
            status = "" if each.status is None else f"{each.status}, "
            tree.add(f"{each.offer}: {status}{each.words}", _STYLES[each.level])
        show(tree)
    return int(any(each.level is Level.BAD for each in findings))


def _parse(lines: Sequence[str]) -> list[tuple[str, str]]:
    fields = []
    for line in lines:
        match = _FIELD.fullmatch(line)
        if match is None:
            raise ValueError(f"{line!r} is no header field of the form 'Name: value'")
        fields.append((match[1], match[2]))
    return fields
