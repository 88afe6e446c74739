"""Checks of settings. Each class of settings says which of its fields are what; an error names the class and the field.

The functions read the fields of ``settings``, a dataclass, and raise `ValueError` for the first that is out of range.
"""

from __future__ import annotations

import math

__all__ = ["check_flag", "check_flags", "check_integers", "check_optional_seconds", "check_seconds"]


def check_integers(settings: object, *names: str, low: int = 1, high: int | None = None) -> None:
    """Check fields that are integers: sizes, counts, levels.

    Args:
        settings: The settings.
        names: The fields.
        low: The least value. Default: 1.
        high: The greatest value. Default: any.

    Raises:
        ValueError: A value is no integer, or out of range.
    """
    for name in names:
        value = getattr(settings, name)
        if not isinstance(value, int) or isinstance(value, bool) or value < low or (high is not None and value > high):
            if high is not None:
                wanted = f"an integer from {low} to {high}"
            else:
                wanted = "a positive integer" if low == 1 else f"an integer, at least {low}"
            raise _out_of_range(settings, name, wanted)


def check_seconds(settings: object, *names: str) -> None:
    """Check fields that are times.

    Raises:
        ValueError: A value is no positive, finite number.
    """
    for name in names:
        if not _are_seconds(getattr(settings, name)):
            raise _out_of_range(settings, name, "a positive number of seconds")


def check_optional_seconds(settings: object, *names: str) -> None:
    """Check fields that are times, or ``None``.

    Raises:
        ValueError: A value is neither ``None`` nor a positive, finite number.
    """
    for name in names:
        value = getattr(settings, name)
        if value is not None and not _are_seconds(value):
            raise _out_of_range(settings, name, "a positive number of seconds, or None to turn it off")


def check_flags(settings: object, *names: str) -> None:
    """Check fields that are ``True`` or ``False``.

    Raises:
        ValueError: A value is neither.
    """
    for name in names:
        check_flag(f"{type(settings).__name__}.{name}", getattr(settings, name))


def check_flag(name: str, value: object) -> bool:
    """Return ``value``, if it is ``True`` or ``False``.

    Raises:
        ValueError: It is neither; the message says ``name``.
    """
    if not isinstance(value, bool):
        raise ValueError(f"{name} must be a bool, not {value!r}")
    return value


def _are_seconds(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and 0 < value < math.inf


def _out_of_range(settings: object, name: str, wanted: str) -> ValueError:
    return ValueError(f"{type(settings).__name__}.{name} must be {wanted}, not {getattr(settings, name)!r}")
