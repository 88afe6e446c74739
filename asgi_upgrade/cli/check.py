"""The command ``asgi-upgrade check``: its arguments, its output and its exit code."""

from __future__ import annotations

import json
import re
import sys
from typing import TYPE_CHECKING

from asgi_upgrade.check.loading import LoadError, load
from asgi_upgrade.check.report import Checked, CheckError, Options, Report, check, collect_warnings
from asgi_upgrade.check.verdict import Verdict
from asgi_upgrade.cli.tree import Tree, show

if TYPE_CHECKING:
    import argparse

    from asgi_upgrade.guard.survey import Layer

__all__ = ["add_arguments", "run"]

_BASE_URL = re.compile(r"https?://[^\s/?#@]+/?")
_STYLES = {Verdict.GUARDED: "green", Verdict.OPEN: "bold red", Verdict.UNDECIDED: "yellow"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument("app", help="the application, as module:attribute")
    parser.add_argument(
        "names",
        metavar="route",
        nargs="*",
        default=[],  # without it argparse says that it is missing, if the application is
        help="a route that must be guarded: its template, a path, or a pattern such as '/admin/*'; '*' for all",
    )
    parser.add_argument("--route", action="append", default=[], help="the same")
    parser.add_argument(
        "--guard", action="append", default=[], help="a middleware or dependency that guards: a class, or module:Class"
    )
    parser.add_argument(
        "--try",
        dest="run",
        action="store_true",
        help="run the application, and try handshakes without credentials",
    )
    parser.add_argument("--no-lifespan", action="store_true", help="with --try: do not run the application's lifespan")
    parser.add_argument("--base-url", default="http://localhost", help="with --try: scheme and host of the requests")
    parser.add_argument("--timeout", type=float, default=5.0, help="with --try: seconds for each answer (5)")
    parser.add_argument("--factory", action="store_true", help="the attribute is a function that makes the application")
    parser.add_argument("--app-dir", default=".", help="the folder to look for the module in (the current one)")
    parser.add_argument("--json", action="store_true", help="write JSON")


def run(arguments: argparse.Namespace) -> int:
    """Run the command; return its exit code: 1 if a route that must be guarded is not shown to be, 2 for errors."""
    options = Options(
        routes=(*arguments.names, *arguments.route),
        guards=tuple(arguments.guard),
        run=arguments.run,
        lifespan=not arguments.no_lifespan,
        base_url=arguments.base_url.rstrip("/"),  # it is an Origin, too
        timeout=arguments.timeout,
    )
    try:
        if not 0 < arguments.timeout <= 600:
            raise CheckError(f"--timeout must be between 0 and 600 seconds, not {arguments.timeout:g}")
        if not _BASE_URL.fullmatch(arguments.base_url):
            raise CheckError(f"--base-url must be http or https and a host, not {arguments.base_url!r}")
        with collect_warnings() as warnings:
            app = load(arguments.app, factory=arguments.factory, app_dir=arguments.app_dir)
        report = check(app, options, warnings)
    except (LoadError, CheckError) as error:
        sys.stderr.write(f"asgi-upgrade check: {error}\n")
        return 2
    if arguments.json:
        sys.stdout.write(json.dumps(report.as_json(), indent=2) + "\n")
    else:
        show(_as_tree(arguments.app, report))
    return int(report.fails)


def _as_tree(name: str, report: Report) -> Tree:
    tree = Tree(name, "bold")
    routes = tree.add("WebSocket routes" if report.routes else "no WebSocket routes", "bold")
    for each in report.routes:
        _add_route(routes, each)
    if report.origins:
        origins = tree.add("origins that may connect", "bold")
        for text in report.origins:
            origins.add(text)
    servers = tree.add("servers" if report.servers else "no server is installed that is known", "bold")
    for text in report.servers:
        servers.add(text)
    if report.problems:
        problems = tree.add("look at this", "bold")
        for text in report.problems:
            problems.add(text, "yellow")
    if failing := [each.route.path for each in report.routes if each.fails]:
        tree.add(f"not shown to be guarded: {', '.join(failing)}", "bold red")
    return tree


def _add_route(tree: Tree, checked: Checked) -> None:
    route, judgement, required = checked
    host = f" at {route.host}" if route.host else ""
    must = ", must be guarded" if required else ""
    branch = tree.add(f"{route.path}{host}: {judgement.verdict.value}{must}", _STYLES[judgement.verdict])
    branch.add(judgement.reason)
    for layer in route.layers:
        branch.add(f"{layer.name}{_remark(layer)}", "" if layer.may_refuse else "dim")
    branch.add(f"answers: {route.endpoint}")


def _remark(layer: Layer) -> str:
    if layer.is_policy:
        return " (decides on handshakes, by their origin)"
    if not layer.sees:
        return " (lets WebSockets pass unseen)"
    if layer.form == "dependency":
        return " (dependency)"
    return " (as a WebSocket)" if layer.form == "websocket" else ""
