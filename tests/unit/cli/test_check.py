"""``asgi-upgrade check``: what it prints, and its exit codes."""

from __future__ import annotations

import json
import logging
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from asgi_upgrade import __version__
from asgi_upgrade.cli import main

if TYPE_CHECKING:
    from collections.abc import Iterator

APPLICATION = """
from contextlib import asynccontextmanager
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.responses import PlainTextResponse
from starlette.routing import WebSocketRoute
from asgi_upgrade import UpgradeMiddleware

class Login:
    def __init__(self, app):
        self.app = app
    async def __call__(self, scope, receive, send):
        known = scope["type"] == "http" and any(name == b"cookie" for name, _ in scope["headers"])
        if scope["type"] == "http" and not known and not scope["path"].startswith("/public"):
            await PlainTextResponse("who are you?", 401)(scope, receive, send)
        else:
            await self.app(scope, receive, send)

async def chat(websocket):
    await websocket.accept()
    await websocket.receive()

routes = [WebSocketRoute("/rooms/{number:int}", chat), WebSocketRoute("/public", chat)]
app = Starlette(routes=routes, middleware=[Middleware(Login), Middleware(UpgradeMiddleware)])
unguarded = Starlette(routes=routes, middleware=[Middleware(UpgradeMiddleware, allowed_origins=["*"])])
plain = Starlette(routes=routes, middleware=[Middleware(Login)])
nothing = 42

class Hidden:
    __signature__ = "what it takes cannot be told"
    async def __call__(self, scope, receive, send):
        await app(scope, receive, send)

hidden = Hidden()

def make():
    return app

@asynccontextmanager
async def failing(app):
    raise RuntimeError("no database")
    yield

fails = Starlette(routes=routes, middleware=[Middleware(UpgradeMiddleware)], lifespan=failing)
"""


@pytest.fixture(autouse=True)
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "checked.py").write_text(APPLICATION)
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    monkeypatch.chdir(tmp_path)
    for name in ("broken", "checked"):
        sys.modules.pop(name, None)


def check(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, dict[str, Any]]:
    code = main(["check", *arguments, "--json"])
    captured = capsys.readouterr()
    return code, json.loads(captured.out) if captured.out else {"error": captured.err}


def verdicts(report: dict[str, Any]) -> dict[str, str]:
    return {each["path"]: each["verdict"] for each in report["routes"]}


def test_a_route_that_passes_the_guard_that_is_named_is_guarded(capsys: pytest.CaptureFixture[str]) -> None:
    code, report = check(capsys, "checked:app", "/rooms/{number:int}", "--guard", "checked:Login")
    assert (code, report["ok"]) == (0, True)
    assert verdicts(report)["/rooms/{number:int}"] == "guarded"


def test_without_evidence_a_required_route_fails(capsys: pytest.CaptureFixture[str]) -> None:
    code, report = check(capsys, "checked:app", "--route", "/rooms/*")
    assert (code, report["ok"]) == (1, False)
    assert [(each["verdict"], each["required"]) for each in report["routes"]] == [
        ("undecided", True),
        ("undecided", False),
    ]


def test_nothing_is_required_unless_it_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    code, report = check(capsys, "checked:unguarded")
    assert code == 0
    assert set(verdicts(report).values()) == {"open"}


def test_a_handshake_is_tried_if_that_is_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    code, report = check(capsys, "checked:app", "--try", "/rooms/7")
    assert code == 0
    assert report["routes"][0]["reason"] == "/rooms/7 refuses a client without credentials: 401"
    code, report = check(capsys, "checked:app", "--try", "*")
    assert code == 1
    assert verdicts(report) == {"/rooms/{number:int}": "guarded", "/public": "open"}


def test_an_open_route_is_open_whatever_guard_it_passes(capsys: pytest.CaptureFixture[str]) -> None:
    code, report = check(capsys, "checked:app", "--try", "--guard", "Login", "/public")
    assert code == 1
    assert verdicts(report)["/public"] == "open"


def test_without_the_middleware_a_guard_for_http_guards_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    code, report = check(capsys, "checked:plain", "*", "--guard", "Login")
    assert code == 1
    assert set(verdicts(report).values()) == {"open"}
    assert "There is no UpgradeMiddleware" in report["problems"][0]
    assert any("not extended: there is no UpgradeMiddleware" in line for line in report["servers"])


def test_origins_and_servers_and_problems(capsys: pytest.CaptureFixture[str]) -> None:
    _, report = check(capsys, "checked:unguarded")
    assert report["origins"] == ["every page"]
    assert any("every page that a user visits" in line for line in report["problems"])
    [uvicorn] = [line for line in report["servers"] if line.startswith("uvicorn ")]
    assert "UpgradeProtocol when its lifespan starts" in uvicorn


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["checked"], "not of the form module:application"),
        (["missing_module:app"], "cannot be loaded: ModuleNotFoundError: No module named 'missing_module'\n"),
        (["checked.py:app"], "checked.py is the name of a file; name its module, such as checked:app,"),
        (["./checked:app"], "./checked is the name of a file"),
        (["checked:app", "--app-dir", "missing"], "there is no folder missing"),
        (["checked:app", "--timeout", "0"], "--timeout must be between 0 and 600 seconds, not 0"),
        (["checked:app", "--timeout", "600.5"], "--timeout must be between 0 and 600 seconds, not 600.5"),
        (["checked:app", "--timeout", "nan"], "--timeout must be between 0 and 600 seconds, not nan"),
        (["checked:app", "--base-url", "example.com"], "--base-url must be http or https and a host, not"),
        (["checked:app", "--base-url", "http://localhost/path"], "--base-url must be http or https and a host, not"),
        (["checked:missing"], "AttributeError"),
        (["checked:nothing"], "is no application"),
        (["checked:make"], "checked:make takes no arguments, so it is no application; --factory calls it to make one"),
        (["checked:app", "/misspelled"], "no WebSocket route is /misspelled; there are: /rooms/{number:int}, /public"),
        (["checked:app", "--guard", "Logn"], "no WebSocket route passes Logn; they pass: checked.Login"),
        (["checked:fails", "--try"], "startup has failed: RuntimeError: no database"),
    ],
)
def test_what_cannot_be_checked_is_no_success(
    arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["check", *arguments]) == 2
    captured = capsys.readouterr()
    assert words in captured.err
    assert captured.out == ""


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("app = 1\nraise RuntimeError('no settings')", r"RuntimeError: no settings \(.*broken\.py, line 2\)"),
        ("\nimport missing_module", r"ModuleNotFoundError: No module named 'missing_module' \(.*broken\.py, line 2\)"),
        ("\n\napp = (", r"SyntaxError: '\(' was never closed \(broken\.py, line 3\)"),
        ("import sys\nsys.exit('no settings')", r"SystemExit: no settings \(.*broken\.py, line 2\)"),
    ],
)
def test_what_an_application_raises_is_one_line_that_says_where(
    code: str, words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "broken.py").write_text(code)
    assert main(["check", "broken:app"]) == 2
    assert re.fullmatch(rf"asgi-upgrade check: broken:app cannot be loaded: {words}\n", capsys.readouterr().err)


def test_a_base_url_may_end_with_a_slash(capsys: pytest.CaptureFixture[str]) -> None:
    assert check(capsys, "checked:app", "--try", "/rooms/7", "--base-url", "https://example.com/")[0] == 0


def test_the_lifespan_may_be_left_out(capsys: pytest.CaptureFixture[str]) -> None:
    assert check(capsys, "checked:fails", "--try", "--no-lifespan")[0] == 0


def test_a_factory(capsys: pytest.CaptureFixture[str]) -> None:
    assert check(capsys, "checked:make", "--factory", "/rooms/*", "--guard", "Login")[0] == 0


def test_as_a_program_it_prints_a_tree(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "asgi_upgrade", "check", "checked:app", "--guard", "Login", "/rooms/7", "/public"]
    run = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60, cwd=tmp_path)
    assert (run.returncode, run.stderr) == (0, "")
    lines = run.stdout.splitlines()
    assert lines[0] == "checked:app"
    assert "│   ├── /rooms/{number:int}: guarded, must be guarded" in lines
    assert "│   │   ├── checked.Login" in lines
    assert "│   └── pages of the same origin" in lines


def test_without_httpx_it_says_what_to_install(tmp_path: Path) -> None:
    program = (
        "import sys; sys.modules.update(httpx=None, httpx2=None); from asgi_upgrade.cli import main; "
        "sys.exit(main(['check', 'checked:app', '--try']))"
    )
    run = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False, timeout=60, cwd=tmp_path
    )
    assert run.returncode == 2
    assert run.stderr == (
        "asgi-upgrade check: --try cannot be used: asgi_upgrade.testing needs the package httpx: "
        "pip install 'asgi-upgrade[httpx]'\n"
    )


@pytest.mark.parametrize("arguments", [[], ["serve"], ["check"], ["probe"]])
def test_a_command_that_is_not_whole_is_an_error(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 2
    assert "usage: asgi-upgrade" in capsys.readouterr().err


def test_an_application_may_hide_what_it_takes(capsys: pytest.CaptureFixture[str]) -> None:
    assert check(capsys, "checked:hidden")[0] == 0


def test_a_probe_tells_what_the_system_says(capsys: pytest.CaptureFixture[str]) -> None:
    """TCP has no broadcast: without a packet sent, the kernel refuses."""
    assert main(["probe", "http://255.255.255.255:9/"]) == 2
    words = r"asgi-upgrade probe: 255\.255\.255\.255:9 cannot be asked: [A-Z][a-z ]+\n"
    assert re.fullmatch(words, capsys.readouterr().err)


def test_only_the_application_must_be_named(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["check"])
    assert capsys.readouterr().err.endswith("the following arguments are required: app\n")


def test_the_version(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["--version"])
    assert caught.value.code == 0
    assert capsys.readouterr().out == f"asgi-upgrade {__version__}\n"


@pytest.fixture
def listening_to_ctrl_c() -> Iterator[None]:
    """As in a terminal: what a shell runs in the background ignores the signal, and so do its children."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("listening_to_ctrl_c")
def test_ctrl_c_ends_it_without_a_traceback() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        command = [sys.executable, "-m", "asgi_upgrade", "probe", f"127.0.0.1:{silent.getsockname()[1]}"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as program:
            silent.settimeout(60)
            silent.accept()[0].close()
            with silent.accept()[0]:  # it waits for the second answer now
                program.send_signal(signal.SIGINT)
                out, error = program.communicate(timeout=60)
    assert (program.returncode, out, error) == (130, "", "")


def test_the_log_is_as_it_was() -> None:
    logger = logging.getLogger("asgi_upgrade")
    before = logger.propagate, list(logger.handlers)
    main(["check", "checked:app", "--json"])
    assert (logger.propagate, list(logger.handlers)) == before
