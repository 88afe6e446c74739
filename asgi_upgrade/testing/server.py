"""`run_server`: runs an application on a real uvicorn, in a thread of the test."""

from __future__ import annotations

import socket
import threading
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

    from starlette.types import ASGIApp

__all__ = ["run_server"]

_TIMEOUT = 10.0


@contextmanager
def run_server(app: ASGIApp, **options: Any) -> Iterator[str]:
    """Run an application on uvicorn, on a free port of ``127.0.0.1``, in a thread, as long as the block runs.

    Args:
        app: The application.
        **options: More arguments of ``uvicorn.Config``.

    Yields:
        The URL, without a slash at its end.

    Raises:
        RuntimeError: It does not start, or does not stop, within 10 seconds; or its lifespan fails.
    """
    import uvicorn

    listener = socket.create_server(("127.0.0.1", 0))
    given = {"log_config": None, "timeout_graceful_shutdown": 2, **options}
    server = uvicorn.Server(uvicorn.Config(app, **given))

    def run() -> None:
        with suppress(SystemExit):  # uvicorn's way to say that the lifespan has failed; pytest would warn of it
            server.run([listener])

    thread = threading.Thread(target=run, name="asgi-upgrade-server", daemon=True)
    thread.start()
    try:
        deadline = time.monotonic() + _TIMEOUT
        while not server.started:
            if not thread.is_alive():
                raise RuntimeError("The server has not started: the application's lifespan has failed, see its log.")
            if time.monotonic() > deadline:
                raise RuntimeError(f"The server has not started within {_TIMEOUT:g} s.")
            time.sleep(0.005)
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(_TIMEOUT)
        listener.close()
    if thread.is_alive():
        raise RuntimeError(f"The server has not stopped within {_TIMEOUT:g} s.")
