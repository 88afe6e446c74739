"""Trees: as plain text, and with colours on a terminal that has the package for it."""

from __future__ import annotations

import io
import re

import pytest

from asgi_upgrade.cli.tree import Tree, show


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def make() -> Tree:
    tree = Tree("root", "bold")
    first = tree.add("first [red]x[/red]", "green")
    first.add("below").add("further below")
    first.add("beside")
    tree.add("last").add("below the last").add("at the end")
    return tree


PLAIN = """\
root
├── first [red]x[/red]
│   ├── below
│   │   └── further below
│   └── beside
└── last
    └── below the last
        └── at the end
"""


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
    shown = stream.getvalue()
    assert "\x1b[1mroot\x1b[0m" in shown
    assert "\x1b[32mfirst [red]x[/red]\x1b[0m" in shown
    lines = re.sub(r"\x1b\[[0-9;]*m", "", shown).splitlines()
    assert [line.rstrip() for line in lines] == PLAIN.splitlines()


def test_a_stream_that_knows_no_lines_gets_what_it_knows() -> None:
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding="ascii")
    show(make(), stream)
    stream.flush()
    assert raw.getvalue().startswith(b"root\n??? first")
