"""Who is logged in. The cookie has a random token and nothing else, so a logout ends every copy of it."""

import time
from collections import OrderedDict
from dataclasses import dataclass
from hashlib import sha256
from secrets import token_urlsafe

import redis.asyncio

SECONDS = 12 * 60 * 60
MOST = 10_000
KEY = "chat-login:"


@dataclass(frozen=True)
class Login:
    """One login of one user.

    Attributes:
        id: Names the login, and is no secret: the token cannot be had from it.
        user: The name.
    """

    id: str
    user: str


def digest(token: str) -> str:
    """What is kept of a token: whoever reads the store cannot log in with it."""
    return sha256(token.encode("utf-8", "surrogatepass")).hexdigest()


class LocalLogins:
    """Logins of this process: the latest ones, so that strangers cannot fill its memory."""

    def __init__(self) -> None:
        self._logins: OrderedDict[str, tuple[Login, float]] = OrderedDict()

    async def begin(self, user: str) -> str:
        """Log a user in; gives the token."""
        token = token_urlsafe(32)
        login = Login(digest(token), user)
        self._logins[login.id] = login, time.monotonic() + SECONDS
        if len(self._logins) > MOST:
            self._logins.popitem(last=False)
        return token

    async def find(self, token: str) -> Login | None:
        """Whose token this is, if it is one."""
        login, end = self._logins.get(digest(token), (None, 0.0))
        return login if time.monotonic() < end else None

    async def end(self, login: Login) -> None:
        """Log out: the token is worth nothing any more."""
        self._logins.pop(login.id, None)


class RedisLogins:
    """Logins that all workers know."""

    def __init__(self, client: redis.asyncio.Redis) -> None:
        self._redis = client

    async def begin(self, user: str) -> str:
        """Log a user in; gives the token."""
        token = token_urlsafe(32)
        await self._redis.set(KEY + digest(token), user, ex=SECONDS)
        return token

    async def find(self, token: str) -> Login | None:
        """Whose token this is, if it is one."""
        user = await self._redis.get(KEY + digest(token))
        return Login(digest(token), user) if isinstance(user, str) else None

    async def end(self, login: Login) -> None:
        """Log out: the token is worth nothing any more."""
        await self._redis.delete(KEY + login.id)
