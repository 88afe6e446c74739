"""asgi-correlation-id and starlette-context: a header on the 101, and a context variable in the endpoint."""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import uuid4

import pytest

from tests.middlewares.conversation import complaints

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.server.support.process import Server


@pytest.mark.parametrize("name", ["correlation", "base_context", "raw_context"])
@pytest.mark.parametrize("given", [True, False], ids=["given", "made"])
def test_the_endpoint_has_the_id_that_is_on_the_101(start: Callable[..., Server], name: str, *, given: bool) -> None:
    server = start(f"request_ids:{name}")
    request_id = uuid4().hex
    with server.handshaker() as websocket:
        response = websocket.open("/", {"X-Request-ID": request_id} if given else {})
        if not given:
            request_id = response.header("x-request-id") or ""
            assert len(request_id) == 32
        assert response.header("x-request-id") == request_id
        for text in ("one", "two"):
            websocket.send_text(text)
            assert websocket.receive_text() == f"{text} {request_id}"
        websocket.finish()
    assert complaints(server) == []
