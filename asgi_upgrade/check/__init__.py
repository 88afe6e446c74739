"""Checks which WebSocket routes of an application are guarded; nothing is run unless handshakes are to be tried.

- `loading`: finds the application.
- `verdict`: whether a route is guarded, and by what that is shown.
- `servers`: which parts of the installed servers are extended.
- `report`: all of it.
"""
