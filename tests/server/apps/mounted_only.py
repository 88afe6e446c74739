"""Applications that miss an outermost `UpgradeMiddleware`."""

from plain import app as application
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Mount, Route

from asgi_upgrade import UpgradeMiddleware, UpgradeResponse, UpgradeStream


async def handler(stream: UpgradeStream) -> None:
    raise AssertionError("not to be run")


async def unread(request: Request) -> Response:
    return UpgradeResponse(handler)


inner = Starlette(routes=[Mount("/", application)], middleware=[Middleware(UpgradeMiddleware)])
without = Starlette(routes=[Route("/unread", unread)])
app = Starlette(
    routes=[Route("/unread", unread), Mount("/mounted", inner), Mount("/raw", UpgradeMiddleware(application))]
)
