"""WebSocket (RFC 6455): the handshake, the frames, the connection."""
