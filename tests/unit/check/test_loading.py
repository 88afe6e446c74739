"""Applications are found by the name that servers are given."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from asgi_upgrade.check.loading import LoadError, load

MODULE = """
class Holder:
    async def app(self, scope, receive, send): ...

class Long:
    def __repr__(self):
        return "x" * 1000

holder = Holder()
app = holder.app
nothing = 42
long = Long()
optional = lambda scope=None: None
every = lambda *anything: None
in_c = dict
hidden = type("Hidden", (), {"__call__": lambda *_: None, "__signature__": 1})()

def make():
    return app

def make_nothing():
    return None

def make_maker():
    return make

def fail():
    raise ValueError("no database")

def leave():
    raise SystemExit(3)
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    (tmp_path / "loaded.py").write_text(MODULE)
    monkeypatch.setattr(sys, "path", [each for each in sys.path if each])  # nothing finds the current folder by itself
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    monkeypatch.chdir(tmp_path)
    sys.modules.pop("loaded", None)
    yield tmp_path
    sys.modules.pop("loaded", None)


@pytest.mark.parametrize("target", ["loaded:app", "loaded:holder.app", "loaded:optional", "loaded:every"])
def test_an_application_is_found_and_not_called(target: str) -> None:
    found = load(target)
    assert found == eval(target.partition(":")[2], vars(sys.modules["loaded"]))


@pytest.mark.parametrize("target", ["loaded:in_c", "loaded:hidden"])
def test_what_does_not_tell_its_arguments_is_believed(target: str) -> None:
    assert callable(load(target))


def test_a_factory_is_called() -> None:
    assert load("loaded:make", factory=True) == sys.modules["loaded"].app


def test_a_factory_may_make_what_takes_nothing() -> None:
    """As an application may hide what it takes: only the name that was given may have been mistaken."""
    assert load("loaded:make_maker", factory=True) is sys.modules["loaded"].make


@pytest.mark.parametrize(
    ("target", "factory", "words"),
    [
        ("", False, "'' is not of the form module:application"),
        ("loaded", False, "'loaded' is not of the form module:application"),
        ("loaded:", False, "'loaded:' is not of the form module:application"),
        (":app", False, "':app' is not of the form module:application"),
        (
            "no_such_module:app",
            False,
            "no_such_module:app cannot be loaded: ModuleNotFoundError: No module named 'no_such_module'",
        ),
        (
            "loaded:holder.missing",
            False,
            "loaded:holder.missing cannot be loaded: AttributeError: 'Holder' object has no attribute 'missing'",
        ),
        (
            "loaded:app:x",
            False,
            "loaded:app:x cannot be loaded: AttributeError: module 'loaded' has no attribute 'app:x'",
        ),
        ("loaded:fail", True, "loaded:fail cannot be loaded: ValueError: no database"),
        ("loaded:leave", True, "loaded:leave cannot be loaded: SystemExit: 3"),
        ("loaded:nothing", False, "loaded:nothing is no application: 42"),
        ("loaded:make_nothing", True, "loaded:make_nothing is no application: None"),
        ("loaded:long", False, "loaded:long is no application: " + "x" * 269),
        (
            "loaded:make",
            False,
            "loaded:make takes no arguments, so it is no application; --factory calls it to make one",
        ),
    ],
)
def test_what_cannot_be_loaded_is_said(target: str, factory: bool, words: str) -> None:
    with pytest.raises(LoadError) as caught:
        load(target, factory=factory)
    # Where it failed is tried in `test_check`.
    assert re.sub(r" \(.*loaded\.py, line [0-9]+\)$", "", str(caught.value)) == words


def test_the_folder_comes_first(tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    (other / "loaded.py").write_text("def app(scope): return 'other'")
    sys.path.insert(0, str(tmp_path))
    assert load("loaded:app", app_dir="other")(None) == "other"
    assert sys.path[0] == str(other)
    load("loaded:app", app_dir="other")
    assert sys.path.count(str(other)) == 1
