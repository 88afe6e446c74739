"""One client in one room, speaking chat.v1: JSON objects with a `type`, one per message."""

import asyncio
import json
import os
from datetime import datetime, timezone

from fastapi import WebSocket, WebSocketDisconnect
from logins import Login
from rooms import Inbox, LocalRooms, Unavailable

LONGEST_TEXT = 1000


def event(kind: str, **fields: str | int) -> str:
    """A chat.v1 event as it goes over the wire."""
    return json.dumps({"type": kind, "at": datetime.now(timezone.utc).isoformat(timespec="seconds"), **fields})


def farewell(login: Login) -> str:
    """The room that only the sessions of one login are in: what happens there is their end. Users cannot name it."""
    return f"logout {login.id}"


class Dismissed(Exception):
    """The client is sent away; says why."""


class ChatSession:
    """Carries events between an accepted WebSocket and a room until one of them ends."""

    def __init__(self, websocket: WebSocket, rooms: LocalRooms, room: str, login: Login) -> None:
        self.websocket = websocket
        self.rooms = rooms
        self.room = room
        self.login = login
        self.user = login.user

    async def run(self) -> None:
        """Chat; returns when the client has left or was sent away."""
        with self.rooms.join(self.room) as inbox:
            inbox.put(event("welcome", user=self.user, room=self.room, worker=os.getpid()))
            await self._publish(inbox, "joined")
            tasks = [
                asyncio.create_task(job(inbox)) for job in (self._read, self._write, self._watch, self._await_logout)
            ]
            try:
                await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for task in tasks:
                    task.cancel()
                outcomes = await asyncio.gather(*tasks, return_exceptions=True)
        await self._publish(inbox, "left")
        for outcome in outcomes:
            if isinstance(outcome, Dismissed):
                await self.websocket.close(1008, str(outcome))
            elif isinstance(outcome, Exception) and not isinstance(outcome, WebSocketDisconnect):
                raise outcome

    async def _read(self, inbox: Inbox) -> None:
        while True:
            try:
                text = json.loads(await self.websocket.receive_text())["text"].strip()
            except (ValueError, KeyError, TypeError, AttributeError):
                raise Dismissed("that is not a chat.v1 message") from None
            if len(text) > LONGEST_TEXT:
                inbox.put(event("error", text=f"A message has at most {LONGEST_TEXT} characters."))
            elif text:
                await self._publish(inbox, "message", text=text)
            await asyncio.sleep(0)  # whoever writes a lot does not keep the others from reading

    async def _write(self, inbox: Inbox) -> None:
        while True:
            await self.websocket.send_text(await inbox.get())

    async def _watch(self, inbox: Inbox) -> None:
        await inbox.overflowed.wait()
        raise Dismissed("you are reading too slowly")

    async def _await_logout(self, _: Inbox) -> None:
        with self.rooms.join(farewell(self.login)) as inbox:
            await inbox.get()
        raise Dismissed("you have logged out")

    async def _publish(self, inbox: Inbox, kind: str, **fields: str) -> None:
        try:
            await self.rooms.publish(self.room, event(kind, user=self.user, **fields))
        except Unavailable:
            inbox.put(event("error", text="The other servers cannot be reached. Try again in a moment."))
