"""a2wsgi: what it serves never runs for a handshake."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.middlewares.apps.key import KEY
from tests.middlewares.conversation import converse, get, refuse, surprises

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.server.support.process import Server


@pytest.mark.parametrize("environment", [{}, {"UNATTACHED": "1"}], ids=["converted", "delivered"])
def test_a_handshake_is_refused_and_a_page_is_served(start: Callable[..., Server], environment: dict[str, str]) -> None:
    server = start("wsgi:app", **environment)
    assert 400 <= refuse(server, "/socket", KEY).status < 500
    assert refuse(server, "/socket").status == 401
    converse(server, headers=KEY)
    assert get(server, "/page", KEY).body == b"legacy"
    server.log.search("LEGACY /page")
    assert [line for line in server.log.lines if line.startswith("LEGACY")] == ["LEGACY /page"]
    assert [line for line in surprises(server) if not line.startswith("LEGACY")] == []
