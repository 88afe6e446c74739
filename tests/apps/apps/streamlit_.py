"""Streamlit's ASGI application."""

import os
from contextlib import asynccontextmanager
from pathlib import Path

os.environ["STREAMLIT_BROWSER_GATHER_USAGE_STATS"] = "false"

import streamlit

from .cookie import guarded, mounting

SCRIPT = Path(__file__).with_name("streamlit_script.py")

served = streamlit.App(SCRIPT)
alone = guarded(served)


@asynccontextmanager
async def lifespan(app):  # type: ignore[no-untyped-def]
    async with served.lifespan()(app):
        yield


mounted = mounting("/", served, lifespan=lifespan)
