"""Brings each WebSocket handshake through every layer of an application once, in the form the layer was written for.

- `handshake`: a handshake on its way. It stays an ``http`` request until it reaches what answers it.
- `leaves`: tells what answers WebSockets from what only passes requests on.
- `layers`: tells middleware that is written for ``websocket`` scopes from all other middleware.
- `adapters`: converts in front of the first, and back again behind the second.
- `routing` and `gate`: the only rooms that know Starlette's and FastAPI's internals.
- `outermost`: on servers that deliver ``websocket`` scopes: the proof that nothing stands around an application.
- `refusals`: what is said where a handshake cannot be let through.
"""
