"""What settings may be, and that each refusal says the class and the field."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import pytest

from asgi_upgrade.system.checks import check_flag, check_flags, check_integers, check_optional_seconds, check_seconds


@dataclass
class Settings:
    """One field of any kind."""

    field: Any


@pytest.mark.parametrize(
    ("value", "low", "high", "wanted"),
    [
        (0, 1, None, "a positive integer"),
        (-1, 0, None, "an integer, at least 0"),
        (8, 9, 15, "an integer from 9 to 15"),
        (16, 9, 15, "an integer from 9 to 15"),
        (1.0, 1, None, "a positive integer"),
        ("1", 1, None, "a positive integer"),
        (True, 1, None, "a positive integer"),
        (None, 1, None, "a positive integer"),
    ],
)
def test_what_is_no_such_integer_is_refused(value: Any, low: int, high: int | None, wanted: str) -> None:
    with pytest.raises(ValueError, match=f"^Settings.field must be {wanted}, not {value!r}$"):
        check_integers(Settings(value), "field", low=low, high=high)


@pytest.mark.parametrize(
    ("value", "low", "high"), [(1, 1, None), (0, 0, None), (9, 9, 15), (15, 9, 15), (10**30, 1, None)]
)
def test_the_ends_of_a_range_are_in_it(value: int, low: int, high: int | None) -> None:
    check_integers(Settings(value), "field", low=low, high=high)


@pytest.mark.parametrize("value", [0, -1.0, math.inf, math.nan, "1", True])
def test_what_is_no_time_is_refused(value: Any) -> None:
    with pytest.raises(ValueError, match=f"^Settings.field must be a positive number of seconds, not {value!r}$"):
        check_seconds(Settings(value), "field")
    with pytest.raises(ValueError, match=r"^Settings\.field must be .*, or None to turn it off, "):
        check_optional_seconds(Settings(value), "field")


def test_only_some_times_may_be_none() -> None:
    check_optional_seconds(Settings(None), "field")
    with pytest.raises(ValueError, match="not None"):
        check_seconds(Settings(None), "field")


@pytest.mark.parametrize("value", [0.001, 1])
def test_a_time_may_be_an_integer(value: float) -> None:
    check_seconds(Settings(value), "field")
    check_optional_seconds(Settings(value), "field")


@pytest.mark.parametrize("value", [0, 1, None, "yes"])
def test_a_flag_is_a_bool(value: Any) -> None:
    with pytest.raises(ValueError, match=f"^Settings.field must be a bool, not {value!r}$"):
        check_flags(Settings(value), "field")
    with pytest.raises(ValueError, match=r"^argument must be a bool"):
        check_flag("argument", value)


@pytest.mark.parametrize("value", [True, False])
def test_a_bool_is_a_flag(*, value: bool) -> None:
    check_flags(Settings(value), "field")
    assert check_flag("argument", value) is value
