"""starlette-exporter; its metrics are at /metrics."""

from starlette_exporter import PrometheusMiddleware, handle_metrics

from tests.middlewares.apps.common import fastapi

app = fastapi()
app.add_middleware(PrometheusMiddleware, group_paths=True)
app.add_route("/metrics", handle_metrics)
