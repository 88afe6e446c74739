"""A printer on the network: requests in the clear are told to begin TLS, on the same port.

    CERTIFICATE=printer.pem uvicorn app:app --app-dir examples/printer --port 6631
    ipptool -tv -E ipp://localhost:6631/ipp/print examples/printer/describe.test
    lpstat -E -h localhost:6631 -a

``printer.pem`` has a key and its certificate. The printer speaks just enough of IPP (RFC 8010) to say that it is idle.
"""

from __future__ import annotations

import os
import ssl

from fastapi import FastAPI, HTTPException, Request, Response

from asgi_upgrade import TLSSettings, UpgradeMiddleware

context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
context.load_cert_chain(os.environ["CERTIFICATE"])

app = FastAPI()
app.add_middleware(UpgradeMiddleware, tls=TLSSettings(context, required=True))

# RFC 8010 §3.5: the tags that the answers are made of.
OPERATION, PRINTER, END = b"\x01", b"\x04", b"\x03"
BOOLEAN, ENUM, NAME, KEYWORD, URI, CHARSET, LANGUAGE = 0x22, 0x23, 0x42, 0x44, 0x45, 0x47, 0x48
SUCCESSFUL, IDLE = b"\0\0", b"\0\0\0\3"


@app.post("/")
@app.post("/ipp/print")
async def answer(request: Request) -> Response:
    """Describe the printer, whatever was asked."""
    asked = await request.body()
    if len(asked) < 8:
        raise HTTPException(400, "That is no IPP.")
    version, request_id = asked[:2], asked[4:8]
    uri = str(request.url_for("answer").replace(scheme="ipps")).encode()
    operation = attribute(CHARSET, "attributes-charset", b"utf-8")
    operation += attribute(LANGUAGE, "attributes-natural-language", b"en")
    printer = attribute(NAME, "printer-name", b"demo")
    printer += attribute(URI, "printer-uri-supported", uri)
    printer += attribute(KEYWORD, "uri-security-supported", b"tls")
    printer += attribute(ENUM, "printer-state", IDLE)
    printer += attribute(BOOLEAN, "printer-is-accepting-jobs", b"\1")
    body = version + SUCCESSFUL + request_id + OPERATION + operation + PRINTER + printer + END
    return Response(body, media_type="application/ipp")


def attribute(tag: int, name: str, value: bytes) -> bytes:
    """One attribute as it stands in a message (RFC 8010 §3.1.4)."""
    return bytes([tag]) + len(name).to_bytes(2, "big") + name.encode() + len(value).to_bytes(2, "big") + value
