"""Trees: as plain text, and with colours on a terminal that has the package for it."""

from __future__ import annotations

import io

import pytest

from asgi_upgrade.cli.tree import Tree, show


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def make() -> Tree:
    tree = Tree("root", "bold")
    tree.add("first [red]x[/red]", "green").add("below")
    tree.add("last")
    return tree


PLAIN = "root\n├── first [red]x[/red]\n│   └── below\n└── last\n"


def test_a_file_gets_plain_text() -> None:
    stream = io.StringIO()
    show(make(), stream)
    assert stream.getvalue() == PLAIN


def test_a_terminal_without_the_package_gets_plain_text(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "rich.console", None)
    stream = Terminal()
    show(make(), stream)
    assert stream.getvalue() == PLAIN


def test_a_terminal_gets_colours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    stream = Terminal()
    show(make(), stream)
    assert "first [red]x[/red]" in stream.getvalue()
    assert "\x1b[32m" in stream.getvalue()


def test_a_stream_that_knows_no_lines_gets_what_it_knows() -> None:
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding="ascii")
    show(make(), stream)
    stream.flush()
    assert raw.getvalue().startswith(b"root\n??? first")
