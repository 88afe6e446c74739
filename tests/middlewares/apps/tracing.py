"""OpenTelemetry's instrumentation of FastAPI, its middleware, and FastAPI's own; /spans gives what was recorded."""

import os

from fastapi import FastAPI
from opentelemetry import trace
from opentelemetry.instrumentation.asgi import OpenTelemetryMiddleware
from opentelemetry.instrumentation.fastapi import FastAPIInstrumentor
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from tests.middlewares.apps.common import fastapi

exporter = InMemorySpanExporter()
provider = TracerProvider()
provider.add_span_processor(SimpleSpanProcessor(exporter))


async def spans(request: Request) -> Response:
    return JSONResponse(
        [
            {
                "name": span.name,
                "kind": span.kind.name,
                "status": span.status.status_code.name,
                "attributes": dict(span.attributes or {}),
                "events": [(event.name, (event.attributes or {}).get("exception.type")) for event in span.events],
                "is_root": span.parent is None,
                "by": span.instrumentation_scope.name if span.instrumentation_scope else None,
            }
            for span in exporter.get_finished_spans()
        ]
    )


def traced() -> FastAPI:
    app = fastapi()
    app.add_api_route("/spans", spans)
    return app


instrumented = traced()
native = traced()
added = traced()
added.add_middleware(OpenTelemetryMiddleware, tracer_provider=provider)
if "TRACE_NATIVELY" in os.environ:
    trace.set_tracer_provider(provider)
else:
    FastAPIInstrumentor.instrument_app(instrumented, tracer_provider=provider)
