"""Shiny for Python: a number that follows a slider."""

from shiny import App, Inputs, Outputs, Session, render, ui

from .cookie import guarded, mounting

page = ui.page_fluid(ui.input_slider("number", "number", 0, 100, 20), ui.output_text("twice"))


def server(input: Inputs, output: Outputs, session: Session) -> None:  # noqa: A002
    @render.text
    def twice() -> str:
        return f"twice is {2 * input.number()}"


alone = guarded(App(page, server))
mounted = mounting("/shiny", App(page, server))
