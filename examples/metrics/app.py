"""Metrics of WebSockets for Prometheus, at ``/metrics``: ``uvicorn app:app`` in this directory."""

from collections.abc import Iterator

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket

from asgi_upgrade import ConnectionClosed, HandshakeEnded, Observer, UpgradeMiddleware

# Clients choose the others, and each would be a time series of its own.
KNOWN_CODES = {*range(1000, 1016), *range(4000, 4010)}
TRAFFIC = ("messages_received", "bytes_received", "messages_sent", "bytes_sent")


class Metrics(Observer):
    """Counts what has ended, and asks for what is open when it is scraped.

    The labels are bounded: outcomes are a few words, routes are templates and never paths.

    Args:
        registry: Where to register.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        self._handshakes = Counter(
            "websocket_handshakes", "Handshakes by outcome.", ["route", "outcome"], registry=registry
        )
        self._closed = Counter("websocket_closed", "Connections by close code.", ["route", "code"], registry=registry)
        self._seconds = Histogram(
            "websocket_duration_seconds",
            "How long connections were open.",
            ["route"],
            buckets=(1, 10, 60, 600, 3600, 86400),
            registry=registry,
        )
        self._ended: dict[str, list[int]] = {}
        registry.register(self)  # `collect` is called at each scrape

    def handshake_ended(self, event: HandshakeEnded) -> None:
        """Count a handshake, refused origins among them."""
        self._handshakes.labels(event.route or "", event.outcome.value).inc()

    def connection_closed(self, event: ConnectionClosed) -> None:
        """Count a connection, and what it has carried."""
        route = event.route or ""
        self._closed.labels(route, str(event.code) if event.code in KNOWN_CODES else "other").inc()
        self._seconds.labels(route).observe(event.seconds)
        sums = self._ended.setdefault(route, [0, 0, 0, 0])
        for index, name in enumerate(TRAFFIC):
            sums[index] += getattr(event, name)

    def collect(self) -> Iterator[Metric]:
        """Give what is open now, and the traffic of all connections, open or ended."""
        connections = GaugeMetricFamily("websocket_connections", "Open connections.", labels=["route"])
        traffic = {name: list(sums) for name, sums in self._ended.items()}
        open_now = {route or "": totals for route, totals in self.open_totals().items()}
        for route in {*traffic, *open_now}:
            connections.add_metric([route], open_now[route].connections if route in open_now else 0)
        for route, totals in open_now.items():
            sums = traffic.setdefault(route, [0, 0, 0, 0])
            for index, name in enumerate(TRAFFIC):
                sums[index] += getattr(totals, name)
        yield connections
        for index, name in enumerate(TRAFFIC):
            counter = CounterMetricFamily(f"websocket_{name}", name.replace("_", " ").capitalize(), labels=["route"])
            for route, sums in traffic.items():
                counter.add_metric([route], sums[index])
            yield counter


registry = CollectorRegistry()


async def metrics(_: Request) -> Response:
    """Answer a scrape."""
    return Response(generate_latest(registry), media_type=CONTENT_TYPE_LATEST)


async def echo(websocket: WebSocket) -> None:
    """Say what is said."""
    await websocket.accept()
    async for text in websocket.iter_text():
        await websocket.send_text(text)


app = Starlette(
    routes=[Route("/metrics", metrics), WebSocketRoute("/rooms/{room}", echo)],
    middleware=[Middleware(UpgradeMiddleware, observer=Metrics(registry))],
)
