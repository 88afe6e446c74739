"""What we know of the insides of Starlette and FastAPI, and change there: nothing else relies on them.

- `stack`: a handshake is converted right before the router, wherever `UpgradeMiddleware` stands in the stack, and a
  WebSocket that the server delivers directly passes the stack as a handshake.
- `nested`: mounted applications and routes that have middleware of their own.
- `matching`: a `WebSocketRoute` matches a handshake that is still an HTTP request.
"""
