"""HTTP/2 over cleartext TCP by upgrade (RFC 7540 section 3.2), and WebSockets on its streams (RFC 8441).

Needs the library ``h2`` (``pip install asgi-upgrade[h2]``), except for `asgi_upgrade.http2.settings` and
`asgi_upgrade.http2.offer`.
"""
