"""Rooms carry events to everyone in them: within one process, or through Redis across many."""

import asyncio
import logging
from collections import defaultdict
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress

import redis.asyncio
from redis.exceptions import RedisError

logger = logging.getLogger("uvicorn.error")

QUEUE_LENGTH = 100
CHANNEL = "chat:"
FIRST_PAUSE = 0.2
LONGEST_PAUSE = 10.0
HEALTH_CHECK = 15


class Unavailable(Exception):
    """The event could not be handed over to the other workers."""


class Inbox:
    """What one client has yet to be sent. It is bounded: a client that falls behind is let go, not waited for.

    Attributes:
        overflowed: Set once an event did not fit.
    """

    def __init__(self) -> None:
        self.overflowed = asyncio.Event()
        self._events: asyncio.Queue[str] = asyncio.Queue(QUEUE_LENGTH)

    def put(self, event: str) -> None:
        """Add an event, or note that there was no room for it."""
        try:
            self._events.put_nowait(event)
        except asyncio.QueueFull:
            self.overflowed.set()

    async def get(self) -> str:
        """The next event."""
        return await self._events.get()


class LocalRooms:
    """Rooms of this process."""

    def __init__(self) -> None:
        self._inboxes: defaultdict[str, set[Inbox]] = defaultdict(set)

    @contextmanager
    def join(self, room: str) -> Iterator[Inbox]:
        """An inbox that receives every event published in the room while the context lasts."""
        inbox = Inbox()
        self._inboxes[room].add(inbox)
        try:
            yield inbox
        finally:
            self._inboxes[room].discard(inbox)
            if not self._inboxes[room]:
                del self._inboxes[room]

    def deliver(self, room: str, event: str) -> None:
        """Put the event into the inboxes of this process."""
        for inbox in self._inboxes.get(room, ()):
            inbox.put(event)

    async def publish(self, room: str, event: str) -> None:
        """Send the event to everyone in the room.

        Raises:
            Unavailable: Other workers cannot be reached right now.
        """
        self.deliver(room, event)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Whatever the rooms need in the background."""
        yield


class RedisRooms(LocalRooms):
    """Rooms that span every worker connected to the same Redis server.

    Attributes:
        redis: The connection to it.
    """

    def __init__(self, url: str) -> None:
        super().__init__()
        self.redis = redis.asyncio.Redis.from_url(
            url,
            decode_responses=True,
            socket_connect_timeout=5,
            socket_timeout=5,
            socket_keepalive=True,
            health_check_interval=HEALTH_CHECK,
        )
        self._subscribed = asyncio.Event()

    async def publish(self, room: str, event: str) -> None:
        """Send the event to everyone in the room, on every worker."""
        # Redis echoes the event to this worker too, so that every client sees the same order.
        if not self._subscribed.is_set():
            raise Unavailable
        try:
            await self.redis.publish(CHANNEL + room, event)
        except (RedisError, OSError) as error:
            raise Unavailable from error

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Stay subscribed, through losses of the connection too."""
        listener = asyncio.create_task(self._listen_for_ever())
        with suppress(asyncio.TimeoutError):
            await asyncio.wait_for(self._subscribed.wait(), 5)
        try:
            yield
        finally:
            listener.cancel()
            await asyncio.wait([listener])
            await self.redis.aclose()

    async def _listen_for_ever(self) -> None:
        pause = FIRST_PAUSE
        while True:
            try:
                await self._listen()
            except (RedisError, OSError) as error:
                if self._subscribed.is_set():
                    pause = FIRST_PAUSE
                self._subscribed.clear()
                logger.warning("Redis is away (%s), trying again in %.1f s", error, pause)
            await asyncio.sleep(pause)
            pause = min(pause * 2, LONGEST_PAUSE)

    async def _listen(self) -> None:
        async with self.redis.pubsub() as subscription:
            await subscription.psubscribe(CHANNEL + "*")
            while True:
                message = await subscription.get_message(timeout=HEALTH_CHECK)  # also the moment of a health check
                if message is None:
                    continue
                if message["type"] == "psubscribe":
                    self._subscribed.set()
                elif message["type"] == "pmessage":
                    self.deliver(message["channel"].removeprefix(CHANNEL), message["data"])
