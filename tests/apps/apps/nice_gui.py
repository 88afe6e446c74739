"""NiceGUI: a page that changes once its WebSocket is open, and when its button is pressed."""

from fastapi import FastAPI
from nicegui import ui

from .cookie import guard

mounted = FastAPI()
guard(mounted)


@ui.page("/gui")
def gui() -> None:
    label = ui.label("not yet")
    ui.timer(0.1, lambda: label.set_text("told by the server"), once=True)


ui.run_with(mounted, show_welcome_message=False)
