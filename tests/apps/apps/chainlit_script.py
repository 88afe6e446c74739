"""A chat of Chainlit."""

import chainlit


@chainlit.on_chat_start
async def start() -> None:
    await chainlit.Message("hello from Chainlit").send()


@chainlit.on_message
async def answer(message: chainlit.Message) -> None:
    await chainlit.Message(f"{message.content} to you").send()
