"""The entry of ASGI's extension ``tls``: https://asgi.readthedocs.io/en/latest/specs/tls.html."""

from __future__ import annotations

import ssl
from typing import Any

__all__ = ["tls_extension", "without_certificate"]

# What the version numbers in TLS messages call them (RFC 8446 §4.2.1).
_VERSIONS = {"TLSv1": 0x0301, "TLSv1.1": 0x0302, "TLSv1.2": 0x0303, "TLSv1.3": 0x0304}
# RFC 4514 §3.
_SHORT_NAMES = {
    "commonName": "CN",
    "countryName": "C",
    "domainComponent": "DC",
    "localityName": "L",
    "organizationName": "O",
    "organizationalUnitName": "OU",
    "stateOrProvinceName": "ST",
    "streetAddress": "STREET",
    "userId": "UID",
}


def tls_extension(ssl_object: ssl.SSLObject, context: ssl.SSLContext) -> dict[str, Any]:
    """Return ASGI's extension ``tls`` for a connection.

    ``server_cert`` is ``None``, because Python does not tell. Without a valid certificate of the client there is no
    connection if the context asks for one, so ``client_cert_error`` is ``None``, too.

    Args:
        ssl_object: What the connection says of itself.
        context: What it was made with.
    """
    cipher = ssl_object.cipher()
    suites = {suite["name"]: suite["id"] & 0xFFFF for suite in context.get_ciphers()}
    certificate = ssl_object.getpeercert(binary_form=True)
    return {
        "server_cert": None,
        "client_cert_chain": [] if certificate is None else [ssl.DER_cert_to_PEM_cert(certificate)],
        "client_cert_name": _distinguished_name(ssl_object.getpeercert()) if certificate is not None else None,
        "client_cert_error": None,
        "tls_version": _VERSIONS.get(ssl_object.version() or ""),
        "cipher_suite": suites.get(cipher[0]) if cipher is not None else None,
    }


def without_certificate(tls: dict[str, Any]) -> dict[str, Any]:
    """Return the extension ``tls`` for a request that does not come from whom the certificate is."""
    return {**tls, "client_cert_chain": [], "client_cert_name": None}


def _distinguished_name(certificate: Any) -> str | None:
    """The subject of a certificate, in the form of RFC 4514, the most specific name first."""
    if not certificate:
        return None
    return ",".join(
        "+".join(f"{_SHORT_NAMES.get(name, name)}={_escape(value)}" for name, value in names)
        for names in reversed(certificate["subject"])
    )


def _escape(value: str) -> str:
    # RFC 4514 §2.4.
    escaped = "".join("\\" + char if char in '"+,;<>\\' else char for char in value).replace("\0", "\\00")
    if escaped.endswith(" "):
        escaped = escaped[:-1] + "\\ "
    if escaped.startswith((" ", "#")):
        escaped = "\\" + escaped
    return escaped
