"""The program ``asgi-upgrade``: which commands it has, and what it says if none of them is called."""

from __future__ import annotations

import sys

import pytest

from asgi_upgrade.cli import main


@pytest.mark.parametrize("from_program", [False, True])
@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["--help"], 0, "Tools for HTTP Upgrade on ASGI."),
        (["--help"], 0, "check tell what guards the WebSocket routes of an application"),
        (["--help"], 0, "probe tell what a running server does with offers to upgrade"),
        (["check", "--help"], 0, "usage: asgi-upgrade check [-h]"),
        (["check", "--help"], 0, "Tell what guards the WebSocket routes of an application."),
        (["probe", "--help"], 0, "usage: asgi-upgrade probe [-h]"),
        (["probe", "--help"], 0, "Tell what a running server does with offers to upgrade."),
        ([], 2, "usage: asgi-upgrade [-h] [--version] {check,probe} ..."),
        ([], 2, "asgi-upgrade: error: the following arguments are required: command"),
        (["serve"], 2, "asgi-upgrade: error: argument command: invalid choice: 'serve'"),
        (["check"], 2, "asgi-upgrade check: error: the following arguments are required: app"),
        (["probe"], 2, "asgi-upgrade probe: error: the following arguments are required: url"),
    ],
)
def test_help_and_errors(  # noqa: PLR0917
    arguments: list[str],
    code: int,
    words: str,
    from_program: bool,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setattr(sys, "argv", ["the program", *arguments] if from_program else ["the program", "wrong"])
    with pytest.raises(SystemExit) as caught:
        main(None if from_program else arguments)
    captured = capsys.readouterr()
    assert caught.value.code == code
    assert words in " ".join((captured.err if code else captured.out).split())


def test_options_may_stand_between_the_arguments(capsys: pytest.CaptureFixture[str]) -> None:
    code = main(["check", "no_such_module:app", "--json", "/chat", "--guard", "Login", "/rooms"])
    assert code == 2
    assert "no_such_module:app cannot be loaded" in capsys.readouterr().err
