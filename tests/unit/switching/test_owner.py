"""What the new owner of a connection is told, and what it may leave out."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from asgi_upgrade.switching.extension import get_extension
from asgi_upgrade.switching.owner import linger, shut_down


class Transport(asyncio.Transport):
    """Only knows whether it was closed."""

    closed = False

    def close(self) -> None:
        self.closed = True


class Knowing(asyncio.Protocol):
    """Wants to know of the end."""

    stopped = False

    def shutdown(self) -> None:
        self.stopped = True

    def closing(self) -> str:
        return "closing"


def test_an_owner_that_does_not_want_to_know_of_a_stop_loses_its_connection() -> None:
    transport = Transport()
    shut_down(asyncio.Protocol(), transport)
    assert transport.closed


def test_an_owner_that_wants_to_know_is_told_and_keeps_it() -> None:
    transport, owner = Transport(), Knowing()
    shut_down(owner, transport)
    assert owner.stopped
    assert not transport.closed


def test_what_an_owner_still_does_when_its_transport_is_gone() -> None:
    assert linger(asyncio.Protocol()) is None
    assert str(linger(Knowing())) == "closing"


@pytest.mark.parametrize(
    ("scope", "found"),
    [
        ({}, False),
        ({"extensions": None}, False),
        ({"extensions": {}}, False),
        ({"extensions": {"tls": {}}}, False),
        ({"extensions": {"http.upgrade": {"version": "1.0"}}}, True),
        ({"extensions": {"http.upgrade": {"version": "1.99"}}}, True),
        ({"extensions": {"http.upgrade": {"version": "2.0"}}}, False),
        ({"extensions": {"http.upgrade": {"version": "10.0"}}}, False),
    ],
)
def test_an_entry_of_another_major_version_is_none(scope: dict[str, Any], *, found: bool) -> None:
    entry = get_extension(scope)
    assert (entry is not None) is found
    if entry is not None:
        assert entry is scope["extensions"]["http.upgrade"]
