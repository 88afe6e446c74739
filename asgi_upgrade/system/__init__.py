"""What asyncio and the operating system leave to us."""
