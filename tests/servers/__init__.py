"""The same tests on every ASGI server; `tox -e servers` has them all installed."""
