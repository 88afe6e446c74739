"""TLS on plain connections: arguments, offers, and what becomes of a request. No server here."""

from __future__ import annotations

import asyncio
import logging
import ssl
import sys
from contextlib import suppress
from typing import Any

import pytest
import trustme

from asgi_upgrade import TLSSettings, UpgradeMiddleware, UpgradeOffer
from asgi_upgrade.http2.settings import H2CSettings
from asgi_upgrade.servers import attach_to_server, report_unavailable
from asgi_upgrade.servers.edge_settings import EdgeSettings
from asgi_upgrade.tls.scope import tls_extension
from asgi_upgrade.tls.settings import check_tls
from asgi_upgrade.tls.upgrade import MAX_BODY, TLS, find_tls

SERVER = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)


async def application(scope: Any, receive: Any, send: Any) -> None:
    raise AssertionError("not to be run")


# Arguments


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"context": True}, "context must be an ssl.SSLContext for the server's side"),
        ({"context": "cert.pem"}, "context must be"),
        ({"context": ssl.create_default_context()}, "context must be"),
        ({"required": "/private"}, "required must be a bool or a predicate on the scope, not '/private'"),
        ({"required": None}, "required must be"),
        ({"handshake_timeout": 0}, "handshake_timeout must be a positive number of seconds, not 0"),
        ({"handshake_timeout": None}, "handshake_timeout must be"),
    ],
)
def test_a_bad_setting_is_named(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=rf"^TLSSettings\.{message}"):
        TLSSettings(**{"context": SERVER, **arguments})


@pytest.mark.parametrize(("required", "refused"), [(False, False), (True, True), (lambda scope: scope["secret"], True)])
def test_what_is_refused_in_the_clear(required: Any, *, refused: bool) -> None:
    assert TLSSettings(SERVER, required=required).refuses({"secret": True}) is refused


def test_without_the_package_h2_h2c_cannot_be_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "h2", None)
    with pytest.raises(ValueError, match=r"^h2c needs .*asgi-upgrade\[h2\]"):
        UpgradeMiddleware(application, h2c=H2CSettings())
    UpgradeMiddleware(application, h2c=None)


@pytest.mark.parametrize("value", [SERVER, True, {}])
def test_only_settings_of_tls_say_how_to_speak_it(value: Any) -> None:
    with pytest.raises(ValueError, match=r"^tls must be TLSSettings or None, not "):
        UpgradeMiddleware(application, tls=value)
    settings = TLSSettings(SERVER)
    assert check_tls(settings) is settings
    assert check_tls(None) is None


def test_good_arguments() -> None:
    UpgradeMiddleware(application, tls=TLSSettings(SERVER))
    UpgradeMiddleware(application, tls=TLSSettings(SERVER, required=lambda scope: False))
    UpgradeMiddleware(application, tls=TLSSettings(SERVER), h2c=H2CSettings(networks=["10.0.0.0/8"]))


# What cannot be offered is logged


@pytest.mark.parametrize(
    ("settings", "logged"),
    [
        (None, []),
        (EdgeSettings(), []),
        (EdgeSettings(h2c=H2CSettings()), ["h2c cannot be offered"]),
        (EdgeSettings(tls=TLSSettings(SERVER)), ["TLS cannot be offered"]),
        (EdgeSettings(h2c=H2CSettings(), tls=TLSSettings(SERVER)), ["h2c and TLS cannot be offered"]),
    ],
)
def test_one_warning_says_what_cannot_be_offered(
    settings: EdgeSettings | None, logged: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    report_unavailable(settings)
    assert [message.partition(":")[0] for message in caplog.messages] == logged
    assert all("426" not in message and "refused" not in message for message in caplog.messages)


def test_a_server_that_is_not_known_cannot_offer_anything(caplog: pytest.LogCaptureFixture) -> None:
    def required(scope: Any) -> bool:
        return True

    async def start() -> None:
        attach_to_server(change=True, settings=EdgeSettings(tls=TLSSettings(SERVER, required=required)))

    with caplog.at_level(logging.WARNING):
        asyncio.run(start())
    [message] = [message for message in caplog.messages if "TLS" in message]
    assert "TLSSettings.required" in message


# Offers


@pytest.mark.parametrize(
    ("upgrade", "found"),
    [
        (b"TLS/1.2", "TLS/1.2"),
        (b"tls/1.3", "tls/1.3"),
        (b"TLS/1.2,TLS/1.1,TLS/1.0", "TLS/1.2"),  # as CUPS has it
        (b"HTTP/2.0, SHTTP/1.3, TLS/1.0", "TLS/1.0"),
        (b"TLS", None),
        (b"TLS/1", None),
        (b"TLS/1.4", None),
        (b"websocket", None),
    ],
)
def test_the_first_version_that_there_is(upgrade: bytes, found: str | None) -> None:
    offer = UpgradeOffer.from_lines([upgrade], [b"upgrade"])
    assert offer is not None
    assert find_tls(offer) == found


# Requests

ANSWER = {"type": "http.response.start", "status": 200, "headers": []}


class Exchange:
    """A request to `TLS`, on a server that refuses to switch; and what reached the application."""

    def __init__(
        self,
        headers: list[tuple[bytes, bytes]],
        *messages: dict[str, Any],
        upgrade: bytes | None = b"TLS/1.2",
        extension: bool = True,
    ) -> None:
        self.messages = list(messages)
        self._count = len(messages)
        self.announced: list[list[tuple[bytes, bytes]]] = []
        self.received: list[dict[str, Any]] = []
        self.read_before: int | None = None  # messages, before the application was called
        self.sent: list[dict[str, Any]] = []
        self.scope: dict[str, Any] = {
            "type": "http",
            "http_version": "1.1",
            "method": "POST",
            "path": "/",
            "headers": [(b"connection", b"upgrade"), *headers],
        }
        if upgrade is not None:
            self.scope["headers"].append((b"upgrade", upgrade))
        if extension:
            self.scope["extensions"] = {"http.upgrade": {"version": "1.0", "connect": self.connect}}

    def connect(self, protocol: Any, headers: list[tuple[bytes, bytes]]) -> asyncio.Future[bool]:
        self.announced.append(headers)
        future = asyncio.get_running_loop().create_future()
        future.set_result(False)
        return future

    async def app(self, scope: Any, receive: Any, send: Any) -> None:
        assert scope is self.scope
        self.read_before = self._count - len(self.messages)
        await send(ANSWER)
        while self.messages or not self.received or self.received[-1].get("more_body"):
            self.received.append(await receive())

    async def run(self) -> None:
        async def receive() -> dict[str, Any]:
            return self.messages.pop(0)

        async def send(message: Any) -> None:
            self.sent.append(message)

        def resume(*args: Any, **kwargs: Any) -> None:
            raise AssertionError("there is nothing to resume on")

        await TLS(self.app, TLSSettings(SERVER, handshake_timeout=1.0), resume=resume)(self.scope, receive, send)


def part(body: bytes, *, more: bool = False) -> dict[str, Any]:
    return {"type": "http.request", "body": body, "more_body": more}


@pytest.mark.parametrize(
    ("headers", "messages", "read"),
    [
        ([(b"content-length", str(MAX_BODY + 1).encode())], [part(bytes(MAX_BODY), more=True), part(b"x")], 0),
        ([(b"content-length", b"9" * 5000)], [part(b"x", more=True), {"type": "http.disconnect"}], 0),
        (
            [(b"transfer-encoding", b"chunked")],
            [part(bytes(MAX_BODY), more=True), part(b"x", more=True), part(b"y")],
            2,
        ),
        ([(b"transfer-encoding", b"chunked")], [part(b"x", more=True), {"type": "http.disconnect"}], 2),
    ],
    ids=["too long", "much too long", "found to be too long", "unfinished"],
)
def test_an_offer_that_is_not_taken_leaves_the_request_whole(
    headers: list[tuple[bytes, bytes]], messages: list[dict[str, Any]], read: int
) -> None:
    exchange = Exchange(headers, *messages)
    asyncio.run(exchange.run())
    assert exchange.read_before == read, "the body is not waited for if its length is known"
    assert exchange.received == messages
    assert exchange.announced == []
    assert exchange.sent == [ANSWER]


@pytest.mark.parametrize(
    "without", [{"extension": False}, {"upgrade": None}, {"upgrade": b"websocket"}, {"upgrade": b"TLS/0.9"}]
)
def test_without_an_offer_or_a_server_that_can_switch_the_request_is_served(without: dict[str, Any]) -> None:
    exchange = Exchange([], part(b""), **without)
    asyncio.run(exchange.run())
    assert exchange.received == [part(b"")]
    assert exchange.announced == []
    assert exchange.sent == [ANSWER]


@pytest.mark.parametrize(
    ("length", "messages"),
    [
        (b"3", [part(b"ab", more=True), part(b"c")]),
        (b"0" * 5000 + b"3", [part(b"abc")]),
        (b"0", [part(b"")]),
        (str(MAX_BODY).encode(), [part(bytes(MAX_BODY))]),
    ],
)
def test_if_the_client_has_gone_the_application_is_not_called(length: bytes, messages: list[dict[str, Any]]) -> None:
    exchange = Exchange([(b"content-length", length)], *messages)
    asyncio.run(exchange.run())
    assert exchange.announced == [[(b"upgrade", b"TLS/1.2, HTTP/1.1")]]
    assert exchange.sent == [{"type": "http.response.start", "status": 101, "headers": []}]
    assert exchange.received == []


# The ASGI extension


def shake_hands(server: ssl.SSLContext, client: ssl.SSLContext) -> ssl.SSLObject:
    """A handshake in memory; gives the server's side of it."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    server_side = server.wrap_bio(to_server, to_client, server_side=True)
    client_side = client.wrap_bio(to_client, to_server, server_hostname="localhost")
    for side in (client_side, server_side, client_side, server_side, client_side, server_side):
        with suppress(ssl.SSLWantReadError):
            side.do_handshake()
    assert server_side.version() is not None
    return server_side


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


def contexts(authority: trustme.CA) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    server, client = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH), ssl.create_default_context()
    authority.issue_cert("localhost").configure_cert(server)
    authority.configure_trust(server)
    authority.configure_trust(client)
    return server, client


@pytest.mark.parametrize(("version", "number"), [(ssl.TLSVersion.TLSv1_2, 0x0303), (ssl.TLSVersion.TLSv1_3, 0x0304)])
def test_a_client_without_a_certificate(authority: trustme.CA, version: ssl.TLSVersion, number: int) -> None:
    server, client = contexts(authority)
    client.minimum_version = client.maximum_version = version
    ssl_object = shake_hands(server, client)
    entry = tls_extension(ssl_object, server)
    assert entry.pop("cipher_suite") in [suite["id"] & 0xFFFF for suite in server.get_ciphers()]
    assert entry == {
        "server_cert": None,
        "client_cert_chain": [],
        "client_cert_name": None,
        "client_cert_error": None,
        "tls_version": number,
    }


def test_the_number_of_a_cipher_suite(authority: trustme.CA) -> None:
    server, client = contexts(authority)
    server.maximum_version = ssl.TLSVersion.TLSv1_2
    server.set_ciphers("ECDHE-RSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES128-GCM-SHA256")
    assert tls_extension(shake_hands(server, client), server)["cipher_suite"] in (0xC02F, 0xC02B)  # RFC 5289 §5


@pytest.mark.parametrize(
    ("common_name", "escaped"),
    [
        ("ada", "CN=ada"),
        ("Lovelace, Ada", r"CN=Lovelace\, Ada"),
        (" #1 ", r"CN=\ #1\ "),
        ("#1", r"CN=\#1"),
        (" ", r"CN=\ "),
        (r'a+b"c"<d>;\e', r"CN=a\+b\"c\"\<d\>\;\\e"),
    ],
)
def test_a_client_with_a_certificate(authority: trustme.CA, common_name: str, escaped: str) -> None:
    server, client = contexts(authority)
    server.verify_mode = ssl.CERT_REQUIRED
    issued = authority.issue_cert("ada@example.com", common_name=common_name, organization_name="Example")
    issued.configure_cert(client)
    entry = tls_extension(shake_hands(server, client), server)
    [certificate] = entry["client_cert_chain"]
    assert certificate == issued.cert_chain_pems[0].bytes().decode()
    names = entry["client_cert_name"].split(",O=")[0]
    assert names.startswith(escaped)
    assert ",O=Example" in entry["client_cert_name"]
