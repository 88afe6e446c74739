"""Django with channels, in one file: ``asgi.py`` of a project has the last lines."""

import secrets

import django
from channels.generic.websocket import AsyncWebsocketConsumer
from channels.routing import ProtocolTypeRouter, URLRouter
from django.conf import settings
from django.core.asgi import get_asgi_application
from django.urls import path
from guard import Guard

from asgi_upgrade import HandshakeMiddleware, UpgradeMiddleware

settings.configure(ALLOWED_HOSTS=["*"], ROOT_URLCONF=__name__, SECRET_KEY=secrets.token_hex())
django.setup()
urlpatterns: list[object] = []


class Echo(AsyncWebsocketConsumer):
    """Sends back what comes."""

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        """Take a message."""
        await self.send(text_data, bytes_data)


router = ProtocolTypeRouter(
    {
        "http": get_asgi_application(),
        "websocket": URLRouter([path("echo", Echo.as_asgi())]),
    }
)
app = HandshakeMiddleware(Guard(UpgradeMiddleware(router)))
