"""The application with logging configured by the user, when uvicorn imports it."""

import logging
import os

from upgraded import app

FORMAT = "mine %(levelname)s %(message)s"

if os.environ["LOGGER"] == "root":
    logging.basicConfig(format=FORMAT)
else:
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter(FORMAT))
    logging.getLogger("asgi_upgrade").addHandler(handler)

__all__ = ["app"]
