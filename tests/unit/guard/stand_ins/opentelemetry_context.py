"""Stands for `opentelemetry.context`: what is current in a task, as a dictionary."""

from __future__ import annotations

from contextvars import ContextVar, Token
from typing import Any


class Context(dict[str, Any]): ...


_current: ContextVar[Context] = ContextVar("current", default=Context())  # noqa: B039 - nobody changes it


def get_current() -> Context:
    return _current.get()


def attach(context: Context) -> Token[Context]:
    return _current.set(context)


def detach(token: Token[Context]) -> None:
    _current.reset(token)
