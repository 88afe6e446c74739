"""hypercorn over asyncio, extended with ``http.upgrade``."""
