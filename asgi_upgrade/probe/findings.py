"""What the answers of a server mean, in words."""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING, NamedTuple

from asgi_upgrade.probe.exchange import Answer, Target, ask
from asgi_upgrade.probe.offers import ACCEPT, FOREIGN_ORIGIN, requests

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

__all__ = ["Finding", "Level", "probe"]


class Level(enum.Enum):
    """What to think of it."""

    GOOD = "good"
    NOTE = "note"
    BAD = "bad"


class Finding(NamedTuple):
    """What a server does with one kind of request.

    Attributes:
        offer: The kind.
        level: What to think of it.
        status: The status of the answer, ``None`` without one.
        words: What it means.
    """

    offer: str
    level: Level
    status: int | None
    words: str


async def probe(target: Target, *, headers: Sequence[tuple[str, str]] = (), seconds: float = 5.0) -> list[Finding]:
    """Ask a server, one request after another, each on a connection of its own.

    Args:
        target: Where.
        headers: Fields that each request shall have. Default: none.
        seconds: How long each may take. Default: 5.

    Raises:
        ConnectionError: The server cannot be reached.
    """
    answers: dict[str, Answer] = {}
    for name, request in requests(target, headers).items():
        answers[name] = await ask(target, request, seconds)
        if answers[name].unreachable and name == "plain":
            raise ConnectionError(f"{target.authority} cannot be asked: {answers[name].problem}")
    return [Finding(name, *_judge(name, answers, judge)) for name, judge in _JUDGES.items()]


def _judge(
    name: str, answers: Mapping[str, Answer], judge: Callable[[Mapping[str, Answer]], tuple[Level, str]]
) -> tuple[Level, int | None, str]:
    answer = answers[name]
    if answer.status is None:
        return Level.BAD, None, answer.problem
    level, words = judge(answers)
    return level, answer.status, words


def _plain(answers: Mapping[str, Answer]) -> tuple[Level, str]:
    if answers["plain"].status == 101:
        return Level.BAD, "switches although nothing was offered"
    if answers["plain"].status == 426:
        return Level.GOOD, "wants an upgrade here, and says so"
    return Level.GOOD, "is answered as a page"


def _websocket(answers: Mapping[str, Answer]) -> tuple[Level, str]:
    answer = answers["websocket"]
    if answer.status == 101:
        if answer.get("sec-websocket-accept") != ACCEPT:
            return Level.BAD, "switches with a wrong Sec-WebSocket-Accept, which clients take for a failure"
        return Level.GOOD, "opens a WebSocket for a client without an Origin, as programs are"
    if answer.status in {401, 403, 407}:
        return Level.GOOD, "refuses this client; add what it lacks with --header"
    if answer.status == answers["plain"].status:
        return Level.NOTE, "is answered as without the offer: there is no WebSocket at this path"
    return Level.NOTE, "is answered, and no WebSocket is opened"


def _foreign_origin(answers: Mapping[str, Answer]) -> tuple[Level, str]:
    status, without = answers["foreign origin"].status, answers["websocket"].status
    if status == 101:
        return Level.BAD, (
            f"opens a WebSocket for a page of {FOREIGN_ORIGIN}: every site that a user visits can connect with the "
            "user's cookies"
        )
    if without == 101:
        return Level.GOOD, "refuses pages of other sites"
    return Level.NOTE, "is not let in; as the same client without an Origin is not either, this shows nothing"


def _wrong_version(answers: Mapping[str, Answer]) -> tuple[Level, str]:
    answer = answers["wrong version"]
    if answer.status == 101:
        return Level.BAD, "opens a WebSocket of a version that does not exist"
    if answer.get("sec-websocket-version") is not None:
        return Level.GOOD, "refuses version 12, and says which it speaks (RFC 6455 section 4.4)"
    if answer.status in {400, 426}:
        return Level.NOTE, "refuses version 12, and does not say which it speaks (RFC 6455 section 4.4)"
    return Level.NOTE, "is not let in; nothing is said of versions"


def _h2c(answers: Mapping[str, Answer]) -> tuple[Level, str]:
    answer, without = answers["h2c with a body"], answers["body"]
    if answer.status == 101:
        if answer.spoke_http2:
            return Level.GOOD, "switches to HTTP/2, and answers the request there"
        return Level.BAD, "switches to HTTP/2, and does not answer the request there (RFC 7540 section 3.2)"
    if answer.status == without.status:
        return Level.GOOD, "ignores the offer, and serves the request with its body"
    return Level.BAD, (
        f"does not serve the request as without the offer, which is {without.status or without.problem}; clients such "
        "as Java's send the offer by themselves"
    )


def _unknown(answers: Mapping[str, Answer]) -> tuple[Level, str]:
    status, without = answers["unknown protocol"].status, answers["plain"].status
    if status == 101:
        return Level.BAD, "switches to a protocol that it cannot know"
    if status == without:
        return Level.GOOD, "ignores the offer (RFC 9110 section 7.8)"
    return Level.BAD, f"does not serve the request as without the offer, which is {without} (RFC 9110 section 7.8)"


def _http10(answers: Mapping[str, Answer]) -> tuple[Level, str]:
    if answers["HTTP/1.0"].status == 101:
        return Level.BAD, "opens a WebSocket over HTTP/1.0, where offers must be ignored (RFC 9110 section 7.8)"
    return Level.GOOD, "does not switch over HTTP/1.0"


_JUDGES: dict[str, Callable[[Mapping[str, Answer]], tuple[Level, str]]] = {
    "plain": _plain,
    "websocket": _websocket,
    "foreign origin": _foreign_origin,
    "wrong version": _wrong_version,
    "h2c with a body": _h2c,
    "unknown protocol": _unknown,
    "HTTP/1.0": _http10,
}
