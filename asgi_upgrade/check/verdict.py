"""Whether a route is guarded, by what can be shown, and by nothing else.

That some middleware stands on the way shows nothing: it may count, compress or log. Two things are shown:

- **Named.** Somebody who knows says which layer is the guard, and the way of the handshake leads through it, in a form
  in which it sees the handshake.
- **Tried.** A handshake without credentials has been refused, as `asgi_upgrade.testing` tries it.

A route is open if it lets such a handshake in, or if nothing that stands in front of its endpoint could refuse one. All
else is undecided.
"""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

    from asgi_upgrade.guard.survey import Layer, SurveyedRoute
    from asgi_upgrade.testing.anonymous import Trial

__all__ = ["Judgement", "Verdict", "is_named", "judge"]


class Verdict(enum.Enum):
    """The answer to: is it shown that the route is guarded?"""

    GUARDED = "guarded"
    OPEN = "open"
    UNDECIDED = "undecided"


class Judgement(NamedTuple):
    """A verdict and its reason in words."""

    verdict: Verdict
    reason: str


def is_named(name: str, guards: Sequence[str]) -> bool:
    """Tell whether one of ``guards`` is the layer ``name``: in full, as ``module:Class``, or the last part alone."""
    return any(name == guard.replace(":", ".") or name.endswith("." + guard.replace(":", ".")) for guard in guards)


def judge(route: SurveyedRoute, guards: Sequence[str], trial: Trial | None) -> Judgement:
    """Judge one route.

    Args:
        route: What is known of its way.
        guards: The names of what guards, see `is_named`.
        trial: What became of a handshake without credentials, ``None`` if none was tried.
    """
    answer = None if trial is None else trial.answer.value
    if trial is not None and answer == "let in":
        return Judgement(Verdict.OPEN, f"{trial.path} lets a client without credentials in")
    if trial is not None and answer == "refused":
        return Judgement(Verdict.GUARDED, f"{trial.path} refuses a client without credentials: {trial.seen}")
    tried = "" if trial is None else f"; {trial.path} answers a client without credentials with {trial.seen}"
    if guards:
        return _by_name(route, guards, tried)
    able = [layer.name for layer in route.layers if layer.may_refuse and layer.sees]
    if trial is not None:
        return Judgement(Verdict.UNDECIDED, f"not shown{tried}, which is no refusal")
    if able:
        return Judgement(Verdict.UNDECIDED, f"may be refused by {', '.join(able)}: show it with --guard or --try")
    if route.opaque:
        return Judgement(Verdict.UNDECIDED, f"what is inside {route.endpoint} cannot be seen: show it with --try")
    return Judgement(Verdict.OPEN, f"{_why_nothing(route)} in front of the endpoint could refuse a client")


def _by_name(route: SurveyedRoute, guards: Sequence[str], tried: str) -> Judgement:
    passed: list[Layer] = [layer for layer in route.layers if is_named(layer.name, guards)]
    if seeing := [layer.name for layer in passed if layer.sees]:
        return Judgement(Verdict.GUARDED, f"passes {', '.join(seeing)}{tried}")
    if passed:
        names = ", ".join(layer.name for layer in passed)
        return Judgement(Verdict.OPEN, f"passes {names} as a WebSocket, which it lets pass unseen{tried}")
    return Judgement(Verdict.OPEN, f"does not pass {' or '.join(guards)}{tried}")


def _why_nothing(route: SurveyedRoute) -> str:
    if route.bypassed:
        return "insecure_skip_http_middleware: nothing"
    return "nothing" if route.has_policy else "no UpgradeMiddleware is on the way: nothing"
