"""What every server does alike with what is announced."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest

from asgi_upgrade.switching.switchover import Phase, Switchover
from asgi_upgrade.testing import UpgradeTransport

HEADERS = {"Connection": "Upgrade", "Upgrade": "example/1"}


@pytest.mark.parametrize("late", [False, True])
def test_an_announcement_behind_the_response_is_refused_at_once(late: bool) -> None:
    outcomes: list[bool] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        connect = scope["extensions"]["http.upgrade"]["connect"]
        if late:
            await send({"type": "http.response.start", "status": 200, "headers": []})
        switched = connect(asyncio.Protocol(), [(b"upgrade", b"example/1")])
        outcomes.append(switched.done())
        if not late:
            await send({"type": "http.response.start", "status": 200, "headers": []})
        assert not switched.result()
        await send({"type": "http.response.body", "body": b""})

    async def ask() -> int:
        async with httpx.AsyncClient(transport=UpgradeTransport(app), base_url="http://test") as client:
            return (await client.get("/", headers=HEADERS)).status_code

    assert asyncio.run(ask()) == 200
    assert outcomes == [late]


class Handing:
    """A server's side that keeps what it is told."""

    def __init__(self) -> None:
        self.sent: list[Any] = []

    def is_gone(self) -> bool:
        return False

    def is_stopping(self) -> bool:
        return False

    async def receive(self) -> Any:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(self, message: Any) -> None:
        self.sent.append(message)

    async def complete_request(self) -> None:
        """It is complete."""

    def give_away(self, protocol: Any, fields: Any) -> None:
        self.sent.append("101")

    def end(self) -> None:
        """Nothing was kept."""


class InPlace:
    """An application's answer in WebSocket messages, which ends at once."""

    def __init__(self, *_: Any) -> None:
        self.ended = False

    async def receive(self) -> Any:
        return {"type": "websocket.disconnect"} if self.ended else {"type": "websocket.connect"}

    async def send(self, message: Any) -> None:
        if self.ended:
            raise RuntimeError("after the end")

    async def finish(self, error: BaseException | None) -> None:
        self.ended = True


def offered(app: Any) -> tuple[Handing, Switchover]:
    """Run `app` on a switchover to its end."""
    side = Handing()

    async def test() -> Switchover:
        switchover = Switchover(side, InPlace)
        scope: dict[str, Any] = {"type": "http", "headers": []}
        switchover.offer(scope, None)
        await switchover.serve(app, scope)
        return switchover

    return side, asyncio.run(test())


def test_a_websocket_message_behind_the_start_of_a_response_goes_to_the_server_which_refuses_it() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200})
        await send({"type": "websocket.send"})
        assert (await receive())["type"] == "http.request"

    side, switchover = offered(app)
    assert [message["type"] for message in side.sent] == ["http.response.start", "websocket.send"]
    assert switchover.phase is Phase.ENDED


def test_a_task_that_is_left_over_of_an_answer_in_place_is_told_of_the_end() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "websocket.accept"})

    _, switchover = offered(app)

    async def left_over() -> None:
        with pytest.raises(RuntimeError, match="after the end"):
            await switchover.send({"type": "websocket.send"})
        assert (await switchover.receive())["type"] == "websocket.disconnect"

    asyncio.run(left_over())
