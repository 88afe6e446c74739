"""The tables of all settings say what the code says."""

from __future__ import annotations

import dataclasses
import re
from typing import Any

import pytest

from tests.docs.settings_table import DESCRIBED, DOCS, list_settings, render


def test_the_tables_are_those_of_the_code() -> None:
    assert DOCS.read() == render(), "run `python -m tests.docs.settings_table`"


def test_every_setting_is_there() -> None:
    assert sum(len(list(list_settings(kind))) for kind in DESCRIBED) > 50


def spell(value: object) -> str:
    """A default, as the docstrings write it."""
    if isinstance(value, bool) or value is None:
        return f"`{value}`"
    if isinstance(value, int) and value % 1024 == 0 and value >= 64 * 1024:
        return f"{value >> 20} MiB" if value % 2**20 == 0 else f"{value >> 10} KiB"
    return f"{value:g}" if isinstance(value, float) else str(value)


@pytest.mark.parametrize("kind", [kind for kind in DESCRIBED if dataclasses.is_dataclass(kind)])
def test_the_defaults_are_those_of_the_code(kind: type[Any]) -> None:
    told = {name: default for name, _, default, _ in list_settings(kind)}
    for field in dataclasses.fields(kind):
        if field.default is dataclasses.MISSING:
            assert told[field.name] == "required"
        elif field.name != "threshold":  # its `None` stands for one of two numbers
            assert re.search(rf"(?<![\w.]){re.escape(spell(field.default))}(?![\w.])", told[field.name]), field.name
