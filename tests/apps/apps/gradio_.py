"""Gradio: a function and a generator behind its queue."""

import gradio
from fastapi import FastAPI

from .cookie import guard, guarded


def greet(name: str) -> str:
    return f"Hello {name}"


def count(to: float):  # type: ignore[no-untyped-def]
    for number in range(1, int(to) + 1):
        yield str(number)


def blocks() -> gradio.Blocks:
    with gradio.Blocks(analytics_enabled=False) as page:
        name, to, text = gradio.Textbox(), gradio.Number(), gradio.Textbox()
        gradio.Button().click(greet, name, text, api_name="greet")
        gradio.Button().click(count, to, text, api_name="count")
    return page


mounted = FastAPI()
guard(mounted)
gradio.mount_gradio_app(mounted, blocks(), "/gradio")

alone = guarded(gradio.mount_gradio_app(FastAPI(), blocks(), "/gradio"))
