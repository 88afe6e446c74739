"""TLS on a connection that began in the clear (RFC 2817)."""
