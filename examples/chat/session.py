"""One client in one room, speaking chat.v1: JSON objects with a `type`, one per message."""

import asyncio
import json
import os
from contextlib import suppress
from datetime import datetime, timezone

from fastapi import WebSocket, WebSocketDisconnect
from rooms import FellBehind, Inbox, LocalRooms, Unavailable

LONGEST_TEXT = 1000


def event(kind: str, **fields: str | int) -> str:
    """A chat.v1 event as it goes over the wire."""
    return json.dumps({"type": kind, "at": datetime.now(timezone.utc).isoformat(timespec="seconds"), **fields})


class ChatSession:
    """Carries events between an accepted WebSocket and a room until one of them ends."""

    def __init__(self, websocket: WebSocket, rooms: LocalRooms, room: str, user: str) -> None:
        self.websocket = websocket
        self.rooms = rooms
        self.room = room
        self.user = user

    async def run(self) -> None:
        """Chat; returns when the client has left or was sent away."""
        with self.rooms.join(self.room) as inbox:
            inbox.put(event("welcome", user=self.user, room=self.room, worker=os.getpid()))
            writer = asyncio.create_task(self._write(inbox))
            try:
                await self._publish(inbox, "joined")
                with suppress(WebSocketDisconnect):
                    await self._read(inbox)
            finally:
                writer.cancel()
                await asyncio.wait([writer])
        await self._publish(inbox, "left")

    async def _read(self, inbox: Inbox) -> None:
        while True:
            try:
                text = json.loads(await self.websocket.receive_text())["text"].strip()
            except (ValueError, KeyError, TypeError, AttributeError):
                await self.websocket.close(1008, "that is not a chat.v1 message")
                return
            if len(text) > LONGEST_TEXT:
                inbox.put(event("error", text=f"A message has at most {LONGEST_TEXT} characters."))
            elif text:
                await self._publish(inbox, "message", text=text)

    async def _write(self, inbox: Inbox) -> None:
        with suppress(WebSocketDisconnect):  # _read learns of it too, and ends the session
            try:
                while True:
                    await self.websocket.send_text(await inbox.get())
            except FellBehind:
                await self.websocket.close(1008, "you are reading too slowly")

    async def _publish(self, inbox: Inbox, kind: str, **fields: str) -> None:
        try:
            await self.rooms.publish(self.room, event(kind, user=self.user, **fields))
        except Unavailable:
            inbox.put(event("error", text="The other servers cannot be reached. Try again in a moment."))
