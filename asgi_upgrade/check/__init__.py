"""What a handshake to each WebSocket route of an application passes, and who guards it, told without serving it.

- `loading`: finds the application.
- `verdict`: whether a route is guarded, and by what that is shown.
- `servers`: which parts of the installed servers are extended.
- `report`: all of it.
"""
