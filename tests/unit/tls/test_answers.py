"""What is answered in the clear where there is TLS."""

from __future__ import annotations

from typing import Any

import pytest

from asgi_upgrade.tls.answers import describe_server, is_secure, refuse_in_the_clear
from asgi_upgrade.tls.scope import without_certificate
from asgi_upgrade.tls.upgrade import is_about_server
from tests.unit.calls import REQUEST, Call, http_scope, run

OFFER = {b"upgrade": b"TLS/1.2, HTTP/1.1", b"connection": b"Upgrade"}


@pytest.mark.parametrize(
    ("scheme", "expected"),
    [("https", True), ("wss", True), ("http", False), ("ws", False), ("HTTPS", False), (None, False)],
)
def test_is_secure(scheme: str | None, *, expected: bool) -> None:
    assert is_secure({} if scheme is None else {"scheme": scheme}) is expected


def test_a_refusal_in_the_clear_says_how_to_begin_tls() -> None:
    call = Call(REQUEST)

    async def test() -> None:
        await call.run(refuse_in_the_clear, http_scope())

    run(test)
    assert call.status == 426
    assert OFFER.items() <= dict(call.sent[0]["headers"]).items()
    assert call.body == b"This service wants TLS.\n"


@pytest.mark.parametrize(("scheme", "says_it"), [("http", True), ("https", False)])
def test_options_of_the_server_say_in_the_clear_that_there_is_tls(scheme: str, *, says_it: bool) -> None:
    call = Call(REQUEST)
    scope = http_scope("*", method="OPTIONS", scheme=scheme)

    async def test() -> None:
        await call.run(describe_server(scope), scope)

    run(test)
    headers = dict(call.sent[0]["headers"])
    assert call.status == 200
    assert headers.pop(b"content-length") == b"0"
    assert headers == (OFFER if says_it else {})
    assert call.body == b""


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"method": "OPTIONS", "path": "*"}, True),
        ({"method": "OPTIONS", "path": "/api*", "root_path": "/api"}, True),
        ({"method": "OPTIONS", "path": "*", "root_path": ""}, True),
        ({"method": "OPTIONS", "path": "*", "root_path": "/api"}, False),
        ({"method": "OPTIONS", "path": "/*"}, False),
        ({"method": "GET", "path": "*"}, False),
    ],
)
def test_what_is_about_the_server(changes: dict[str, Any], *, expected: bool) -> None:
    assert is_about_server({**http_scope(), **changes}) is expected


def test_a_request_without_the_certificate_keeps_the_rest() -> None:
    tls = {"client_cert_chain": ["PEM"], "client_cert_name": "CN=ada", "client_cert_error": None, "tls_version": 0x0304}
    assert without_certificate(tls) == {
        "client_cert_chain": [],
        "client_cert_name": None,
        "client_cert_error": None,
        "tls_version": 0x0304,
    }
    assert tls["client_cert_name"] == "CN=ada"
