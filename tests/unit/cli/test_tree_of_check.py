"""``asgi-upgrade check``: the tree that it prints, and what its options are passed on as."""

from __future__ import annotations

import sys
from dataclasses import astuple
from pathlib import Path
from typing import Any

import pytest

from asgi_upgrade.check.report import Options, Report, check
from asgi_upgrade.cli import check as command
from asgi_upgrade.cli import main
from asgi_upgrade.cli.tree import Tree

APPLICATION = """
import logging
from fastapi import Depends, FastAPI
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.routing import Host, WebSocketRoute
from asgi_upgrade import UpgradeMiddleware

logging.getLogger("asgi_upgrade").warning("said while it was imported")

class Layer:
    def __init__(self, app):
        self.app = app
    async def __call__(self, scope, receive, send):
        await self.app(scope, receive, send)

class Login(Layer): ...

class Ticket(Layer):
    async def __call__(self, scope, receive, send):
        if scope["type"] == "websocket" and not scope["query_string"]:
            await send({"type": "websocket.close"})
        else:
            await self.app(scope, receive, send)

async def chat(websocket): ...

def depend(): ...

layers = [Middleware(Login), Middleware(UpgradeMiddleware), Middleware(Ticket)]
app = Starlette(routes=[WebSocketRoute("/rooms/{number:int}", chat), WebSocketRoute("/other", chat)], middleware=layers)

hosts = Starlette(routes=[Host("chat.example", Starlette(routes=[WebSocketRoute("/ws", chat)]))])

skipping = FastAPI(routes=[WebSocketRoute("/ws", chat)], middleware=[Middleware(Login), Middleware(
    UpgradeMiddleware, insecure_skip_http_middleware=["/ws"], allowed_origins=["https://a.example"])])

@skipping.websocket("/fast", dependencies=[Depends(depend)])
async def fast(websocket): ...

none = Starlette()
"""
POLICY = "asgi_upgrade.middleware.UpgradeMiddleware (decides on handshakes, by their origin)"


@pytest.fixture(autouse=True)
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "shown.py").write_text(APPLICATION)
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    monkeypatch.setattr("asgi_upgrade.check.report.describe_servers", lambda **_: ["a server"])
    monkeypatch.chdir(tmp_path)
    sys.modules.pop("shown", None)


def printed(capsys: pytest.CaptureFixture[str], *arguments: str) -> list[str]:
    main(["check", *arguments])
    captured = capsys.readouterr()
    assert captured.err == ""
    # Which layers Starlette and FastAPI have of their own is not our business.
    return [
        line for line in captured.out.splitlines() if not line.lstrip("│├─ ").startswith(("starlette.", "fastapi."))
    ]


def test_routes_with_what_guards_them(capsys: pytest.CaptureFixture[str]) -> None:
    assert printed(capsys, "shown:app", "/rooms/7", "--guard", "Ticket") == [
        "shown:app",
        "├── WebSocket routes",
        "│   ├── /rooms/{number:int}: guarded, must be guarded",
        "│   │   ├── passes shown.Ticket",
        "│   │   ├── shown.Login",
        f"│   │   ├── {POLICY}",
        "│   │   ├── shown.Ticket (as a WebSocket)",
        "│   │   └── answers: shown.chat",
        "│   └── /other: guarded",
        "│       ├── passes shown.Ticket",
        "│       ├── shown.Login",
        f"│       ├── {POLICY}",
        "│       ├── shown.Ticket (as a WebSocket)",
        "│       └── answers: shown.chat",
        "├── origins that may connect",
        "│   └── pages of the same origin",
        "├── servers",
        "│   └── a server",
        "└── look at this",
        "    └── said while it was imported",
    ]


def test_routes_that_pass_layers_unseen_and_dependencies(capsys: pytest.CaptureFixture[str]) -> None:
    assert printed(capsys, "shown:skipping", "/ws", "/fast") == [
        "shown:skipping",
        "├── WebSocket routes",
        "│   ├── /ws: open, must be guarded",
        "│   │   ├── insecure_skip_http_middleware: nothing in front of the endpoint could refuse a client",
        "│   │   ├── shown.Login (lets WebSockets pass unseen)",
        f"│   │   ├── {POLICY}",
        "│   │   └── answers: shown.chat",
        "│   └── /fast: undecided, must be guarded",
        "│       ├── may be refused by shown.Login, shown.depend: show it with --guard or --try",
        "│       ├── shown.Login",
        f"│       ├── {POLICY}",
        "│       ├── shown.depend (dependency)",
        "│       └── answers: shown.fast",
        "├── origins that may connect",
        "│   └── pages of the same origin, https://a.example",
        "├── servers",
        "│   └── a server",
        "├── look at this",
        "│   ├── /ws: insecure_skip_http_middleware takes it past all HTTP middleware.",
        "│   └── said while it was imported",
        "└── not shown to be guarded: /ws, /fast",
    ]


def test_a_route_of_a_host(capsys: pytest.CaptureFixture[str]) -> None:
    assert "│   └── /ws at chat.example: open" in printed(capsys, "shown:hosts")


def test_where_there_is_nothing(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("asgi_upgrade.check.report.describe_servers", lambda **_: [])
    assert printed(capsys, "shown:none") == [
        "shown:none",
        "├── no WebSocket routes",
        "├── no server is installed that is known",
        "└── look at this",
        "    ├── There is no UpgradeMiddleware: HTTP middleware does not see WebSocket handshakes.",
        "    └── said while it was imported",
    ]


def test_a_terminal_gets_a_colour_for_each_verdict(monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[Tree] = []
    monkeypatch.setattr(command, "show", shown.append)
    for arguments in (["shown:app", "--guard", "Ticket"], ["shown:skipping", "/ws"], ["shown:none"]):
        main(["check", *arguments])
    guarded, skipping, none = shown
    assert [tree.style for tree in shown] == ["bold"] * 3
    for tree in shown:
        assert {each.style for each in tree.branches if not each.text.startswith("not shown")} == {"bold"}
    [routes] = [each for each in guarded.branches if each.text == "WebSocket routes"]
    assert {each.style for each in routes.branches} == {"green"}
    assert [each.style for each in skipping.branches[0].branches] == ["bold red", "yellow"]
    assert skipping.branches[-1].style == "bold red"
    # Layers that may refuse somebody stand out.
    layers = {each.text.partition(" ")[0]: each.style for each in routes.branches[0].branches}
    assert layers["shown.Login"] == ""
    assert layers["asgi_upgrade.middleware.UpgradeMiddleware"] == "dim"
    assert {each.style for each in none.branches[-1].branches} == {"yellow"}


@pytest.mark.parametrize(
    ("arguments", "options"),
    [
        ([], Options()),
        (["/a", "--route", "/b", "/c"], Options(routes=("/a", "/c", "/b"))),
        (["--guard", "A", "--guard", "b:B"], Options(guards=("A", "b:B"))),
        (["--try"], Options(run=True)),
        (["--no-lifespan"], Options(lifespan=False)),
        (["--base-url", "https://a.example", "--timeout", "0.5"], Options(base_url="https://a.example", timeout=0.5)),
        (["--base-url", "https://A.BOX/", "--timeout", "600"], Options(base_url="https://A.BOX", timeout=600)),
    ],
)
def test_what_the_options_are_passed_on_as(
    arguments: list[str], options: Options, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Options] = []

    def look(app: Any, given: Options, warnings: list[str]) -> Report:
        assert warnings == ["said while it was imported"]
        seen.append(given)
        return check(app, Options())

    monkeypatch.setattr(command, "check", look)
    assert main(["check", "shown:app", *arguments]) == 0
    assert [astuple(each) for each in seen] == [astuple(options)]


def test_the_folder_of_the_module(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert main(["check", "shown:app", "--app-dir", ".."]) == 0
    assert "said while it was imported" in capsys.readouterr().out


def test_json_is_written_for_people_too(capsys: pytest.CaptureFixture[str]) -> None:
    main(["check", "shown:none", "--json"])
    assert capsys.readouterr().out.startswith('{\n  "routes": [],\n  "origins": [],\n')


def test_an_error_names_the_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", "shown"]) == 2
    assert capsys.readouterr().err == "asgi-upgrade check: 'shown' is not of the form module:application\n"


def test_the_help_says_what_each_argument_is(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "300")
    monkeypatch.setenv("NO_COLOR", "1")
    with pytest.raises(SystemExit):
        main(["check", "--help"])
    lines = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    for line in (
        "app the application, as module:attribute",
        "route a route that must be guarded: its template, a path, or a pattern such as '/admin/*'; '*' for all",
        "--route ROUTE the same",
        "--guard GUARD a middleware or dependency that guards: a class, or module:Class",
        "--try run the application, and try handshakes without credentials",
        "--no-lifespan with --try: do not run the application's lifespan",
        "--base-url BASE_URL with --try: scheme and host of the requests",
        "--timeout TIMEOUT with --try: seconds for each answer (5)",
        "--factory the attribute is a function that makes the application",
        "--app-dir APP_DIR the folder to look for the module in (the current one)",
        "--json write JSON",
    ):
        assert line in lines
