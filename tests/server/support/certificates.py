"""A certificate for 127.0.0.1 and clients that trust it."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from typing import TYPE_CHECKING

import trustme

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True)
class Certificate:
    """Files for the server, and a context for its clients."""

    certfile: str
    keyfile: str
    cafile: str
    client: ssl.SSLContext
    certified: ssl.SSLContext
    """A client with a certificate of its own, of the same authority."""

    @property
    def options(self) -> tuple[str, ...]:
        """uvicorn's command line options."""
        return "--ssl-certfile", self.certfile, "--ssl-keyfile", self.keyfile


def issue(folder: Path) -> Certificate:
    """Issue a certificate into `folder`."""
    authority = trustme.CA()
    issued = authority.issue_cert("127.0.0.1", "localhost")
    certfile, keyfile = folder / "certificate.pem", folder / "key.pem"
    for blob in issued.cert_chain_pems:
        blob.write_to_path(certfile, append=True)
    issued.private_key_pem.write_to_path(keyfile)
    client = ssl.create_default_context()
    authority.configure_trust(client)
    certified = ssl.create_default_context()
    authority.configure_trust(certified)
    authority.issue_cert("client@example.com", common_name="victim").configure_cert(certified)
    cafile = folder / "authority.pem"
    authority.cert_pem.write_to_path(cafile)
    return Certificate(str(certfile), str(keyfile), str(cafile), client, certified)
