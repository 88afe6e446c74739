"""Stands for `sentry_sdk` and `sentry_sdk.integrations.dedupe`."""

from __future__ import annotations

from contextvars import ContextVar


class DedupeIntegration:
    def __init__(self) -> None:
        self._last_seen: ContextVar[BaseException | None] = ContextVar("last-seen", default=None)


class Client:
    """Keeps the errors that it is told of."""

    def __init__(self, *, dedupe: bool = True) -> None:
        self.captured: list[BaseException] = []
        self.dedupe = DedupeIntegration() if dedupe else None

    def get_integration(self, kind: type) -> DedupeIntegration | None:
        assert kind is DedupeIntegration
        return self.dedupe

    def capture(self, error: BaseException) -> None:
        if self.dedupe is None or self.dedupe._last_seen.get() is not error:
            self.captured.append(error)


_client = Client()


def get_client() -> Client:
    return _client
