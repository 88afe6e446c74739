"""How fast asgi-upgrade is beside other ASGI servers: ``python -m benchmarks``."""
