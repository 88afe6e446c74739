"""sentry-sdk; /events gives what it would have sent."""

from typing import Any

import sentry_sdk
from sentry_sdk.integrations.logging import ignore_logger
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from tests.middlewares.apps.common import fastapi

events: list[dict[str, Any]] = []


def keep(event: Any, hint: Any) -> None:
    """Remember the event, and do not send it."""
    exceptions = [value["type"] for value in event.get("exception", {}).get("values", ())]
    trace = event.get("contexts", {}).get("trace", {})
    events.append(
        {
            "type": event.get("type", "error"),
            "transaction": event.get("transaction"),
            "source": event.get("transaction_info"),
            "exceptions": exceptions,
            "method": event.get("request", {}).get("method"),
            "op": trace.get("op"),
            "status": trace.get("status"),
            "origin": trace.get("origin"),
            "tags": event.get("tags"),
        }
    )


async def tell(request: Request) -> Response:
    return JSONResponse(events)


# uvicorn logs what an application raises, and Sentry would take that for a second error.
ignore_logger("uvicorn.error")
sentry_sdk.init(dsn="http://key@127.0.0.1:1/1", traces_sample_rate=1.0, before_send=keep, before_send_transaction=keep)

app = fastapi()
app.add_api_route("/events", tell)
