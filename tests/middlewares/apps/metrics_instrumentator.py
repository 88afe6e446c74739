"""prometheus-fastapi-instrumentator; its metrics are at /metrics."""

from prometheus_fastapi_instrumentator import Instrumentator

from tests.middlewares.apps.common import fastapi

app = fastapi()
Instrumentator(should_group_status_codes=False).instrument(app).expose(app)
