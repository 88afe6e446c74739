"""Refusals as plain HTTP, also through servers that keep some fields of a response to themselves."""

from __future__ import annotations

import asyncio
import sys
from typing import Any

import pytest

from asgi_upgrade.switching.refusal import refuse, upgrade_fields
from tests.unit.calls import REQUEST, Call, http_scope, run

FIELDS = ((b"upgrade", b"foo"), (b"connection", b"Upgrade"))
OWN = (b"retry-after", b"5")


class Strict(Call):
    """A server that refuses responses with some fields, and perhaps all bodies."""

    def __init__(self, *refused: bytes, bodies: bool = False) -> None:
        super().__init__(REQUEST)
        self._refused = refused
        self._bodies = bodies

    async def send(self, message: Any) -> None:
        if any(name in self._refused for name, _ in message.get("headers", ())):
            raise ValueError("a field of mine")
        if self._bodies and message["type"] == "http.response.body":
            raise ValueError("no body")
        await super().send(message)


def refused_by(call: Call, headers: Any) -> None:
    async def test() -> None:
        await refuse(http_scope(), call.receive, call.send, status=426, reason="Not so.", headers=headers)

    run(test)


def test_a_refusal_is_a_plain_text() -> None:
    call = Call(REQUEST)
    refused_by(call, iter([*FIELDS, OWN]))
    assert (call.status, call.body) == (426, b"Not so.\n")
    headers = call.sent[0]["headers"]
    assert {*FIELDS, OWN, (b"content-length", b"8"), (b"content-type", b"text/plain; charset=utf-8")} == set(headers)


def test_a_refusal_needs_no_fields_of_its_own() -> None:
    call = Call(REQUEST)

    async def test() -> None:
        await refuse(http_scope(), call.receive, call.send, status=503, reason="Not now.")

    run(test)
    assert call.status == 503
    assert {name for name, _ in call.sent[0]["headers"]} == {b"content-length", b"content-type"}


@pytest.mark.parametrize("refused", [(b"connection", b"upgrade"), (b"connection",), (b"upgrade",)])
def test_a_server_that_keeps_these_fields_gets_the_rest(refused: tuple[bytes, ...]) -> None:
    call = Strict(*refused)
    refused_by(call, [*FIELDS, OWN])
    assert (call.status, call.body) == (426, b"Not so.\n")
    assert call.types == ["http.response.start", "http.response.body"]
    names = [name for name, _ in call.sent[0]["headers"]]
    assert OWN[0] in names
    assert not {b"connection", b"upgrade"} & {*names}


def test_what_the_server_refuses_for_another_reason_is_an_error() -> None:
    for call, headers in (
        (Strict(b"retry-after"), [*FIELDS, OWN]),
        (Strict(b"retry-after"), [OWN]),
        (Strict(bodies=True), FIELDS),
    ):
        with pytest.raises(ValueError, match=r"a field of mine|no body"):
            refused_by(call, headers)
        assert call.types in ([], ["http.response.start"])


@pytest.mark.parametrize(("version", "fields"), [("1.0", FIELDS), ("1.1", FIELDS), ("2", ()), ("3", ()), ("0.9", ())])
def test_only_http_1_has_upgrade(version: str, fields: Any) -> None:
    assert upgrade_fields(http_scope(http_version=version), "foo") == fields


@pytest.mark.parametrize(
    ("imported", "task", "keeps"),
    [
        (True, "h2corn.request", True),
        (True, "another", False),  # it is installed, and another server runs
        (False, "h2corn.request", False),
    ],
)
def test_a_server_that_keeps_all_of_them_is_known_by_its_tasks(
    monkeypatch: pytest.MonkeyPatch, task: str, *, imported: bool, keeps: bool
) -> None:
    if imported:
        monkeypatch.setitem(sys.modules, "h2corn", sys)
    else:
        monkeypatch.delitem(sys.modules, "h2corn", raising=False)

    async def ask() -> Any:
        return upgrade_fields(http_scope(), "foo")

    async def serve() -> Any:
        return await asyncio.create_task(ask(), name=task)

    assert asyncio.run(serve()) == (() if keeps else FIELDS)
