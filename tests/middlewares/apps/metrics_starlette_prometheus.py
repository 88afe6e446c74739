"""starlette-prometheus; its metrics are at /metrics."""

from starlette_prometheus import PrometheusMiddleware, metrics

from tests.middlewares.apps.common import fastapi

app = fastapi()
app.add_middleware(PrometheusMiddleware)
app.add_route("/metrics", metrics)
