"""Django with Channels, as its documentation has it: middleware for requests, and a stack of its own for WebSockets."""

from __future__ import annotations

from typing import Any

from channels.generic.websocket import AsyncWebsocketConsumer
from channels.routing import ProtocolTypeRouter, URLRouter
from channels.security.websocket import AllowedHostsOriginValidator
from django.conf import settings
from django.core.asgi import get_asgi_application
from django.http import HttpResponse
from django.urls import path

settings.configure(
    ALLOWED_HOSTS=["127.0.0.1"],
    MIDDLEWARE=["channels_alone.refuse"],
    ROOT_URLCONF="channels_alone",
    SECRET_KEY="of a test",
)


def refuse(get_response: Any) -> Any:
    """Django's middleware: refuses every request."""
    return lambda request: HttpResponse(status=401)


class Open(AsyncWebsocketConsumer):  # type: ignore[misc]
    """Accepts everybody, as a consumer does."""


urlpatterns: list[Any] = []
consumers = URLRouter([path("validated", Open.as_asgi()), path("alone", Open.as_asgi())])
http = get_asgi_application()
app = ProtocolTypeRouter({"http": http, "websocket": AllowedHostsOriginValidator(consumers)})
unvalidated = ProtocolTypeRouter({"http": http, "websocket": consumers})
