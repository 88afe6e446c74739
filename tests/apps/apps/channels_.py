"""Django Channels: a room whose members hear each other."""

import django
from channels.generic.websocket import AsyncJsonWebsocketConsumer
from channels.routing import ProtocolTypeRouter, URLRouter
from channels.sessions import CookieMiddleware
from django.conf import settings
from django.core.asgi import get_asgi_application
from django.http import HttpRequest, HttpResponse
from django.urls import path

from .cookie import guarded, mounting

settings.configure(
    ALLOWED_HOSTS=["*"],
    ROOT_URLCONF=__name__,
    SECRET_KEY="not secret",
    CHANNEL_LAYERS={"default": {"BACKEND": "channels.layers.InMemoryChannelLayer"}},
)
django.setup()


class Room(AsyncJsonWebsocketConsumer):  # type: ignore[misc,unused-ignore]
    async def connect(self) -> None:
        self.room = self.scope["url_route"]["kwargs"]["room"]
        await self.channel_layer.group_add(self.room, self.channel_name)
        await self.accept()
        await self.send_json({"cookies": self.scope["cookies"]})

    async def receive_json(self, content: object, **options: object) -> None:
        await self.channel_layer.group_send(self.room, {"type": "tell", "content": content})

    async def tell(self, event: dict[str, object]) -> None:
        await self.send_json(event["content"])

    async def disconnect(self, code: int) -> None:
        await self.channel_layer.group_discard(self.room, self.channel_name)


def page(request: HttpRequest) -> HttpResponse:
    return HttpResponse("a page of Django")


urlpatterns = [path("page", page)]


def project() -> ProtocolTypeRouter:
    websockets = CookieMiddleware(URLRouter([path("rooms/<room>", Room.as_asgi())]))
    return ProtocolTypeRouter({"http": get_asgi_application(), "websocket": websockets})


alone = guarded(project())
mounted = mounting("/", project())
