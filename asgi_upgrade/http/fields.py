"""Sets of header field names: of an offer, of a connection, of a message's frame, and those that no 101 has."""

from __future__ import annotations

__all__ = ["CONNECTION_SPECIFIC", "FRAMING", "NOT_IN_101", "OFFER"]

# They ask for a switch, or confirm it (RFC 9110 section 7.8).
OFFER = frozenset((b"connection", b"upgrade"))

# They concern one HTTP/1.1 connection, and may not stand in HTTP/2 (RFC 9113 section 8.2.2).
CONNECTION_SPECIFIC = OFFER | {b"http2-settings", b"keep-alive", b"proxy-connection", b"transfer-encoding"}

# They tell where a message ends (RFC 9112 section 6). A 101 may not have them (RFC 9110 section 8.6, RFC 9112
# section 6.1).
FRAMING = frozenset((b"content-length", b"trailer", b"transfer-encoding"))

# They describe content, and a 101 has none (RFC 9110 section 15.2.2, section 8).
_CONTENT = frozenset((b"content-encoding", b"content-type", b"etag"))

# What middleware adds to a 101 and what says nothing about the protocol that comes next.
NOT_IN_101 = CONNECTION_SPECIFIC | FRAMING | _CONTENT
