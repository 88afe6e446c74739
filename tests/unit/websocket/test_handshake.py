import base64
import itertools
import re
import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from websockets.client import ClientProtocol
from websockets.exceptions import InvalidHandshake
from websockets.extensions.permessage_deflate import ClientPerMessageDeflateFactory
from websockets.protocol import State
from websockets.typing import Subprotocol
from websockets.uri import parse_uri
from websockets.utils import accept_key as reference_accept_key

from asgi_upgrade.http.headers import MAX_LIST_SIZE, ExtensionOffer
from asgi_upgrade.websocket.handshake import Accept, Reject, accept_key, check_subprotocols, negotiate

Headers = list[tuple[bytes, bytes]]

# RFC 6455 section 1.3.
KEY = b"dGhlIHNhbXBsZSBub25jZQ=="
ACCEPT = b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
HEADERS: Headers = [
    (b"host", b"example.com"),
    (b"connection", b"Upgrade"),
    (b"upgrade", b"websocket"),
    (b"sec-websocket-version", b"13"),
    (b"sec-websocket-key", KEY),
]
CHROMIUM: Headers = [
    (b"host", b"127.0.0.1:8000"),
    (b"connection", b"Upgrade"),
    (b"pragma", b"no-cache"),
    (b"cache-control", b"no-cache"),
    (b"user-agent", b"Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/130.0.0.0"),
    (b"upgrade", b"websocket"),
    (b"origin", b"http://127.0.0.1:8000"),
    (b"sec-websocket-version", b"13"),
    (b"accept-encoding", b"gzip, deflate, br, zstd"),
    (b"accept-language", b"en-US,en;q=0.9"),
    (b"cookie", b"session=abc"),
    (b"sec-websocket-key", KEY),
    (b"sec-websocket-extensions", b"permessage-deflate; client_max_window_bits"),
    (b"sec-websocket-protocol", b"chat, superchat"),
]
FIREFOX: Headers = [
    (b"host", b"localhost:8000"),
    (b"user-agent", b"Mozilla/5.0 (X11; Linux x86_64; rv:132.0) Gecko/20100101 Firefox/132.0"),
    (b"accept", b"*/*"),
    (b"accept-language", b"en-US,en;q=0.5"),
    (b"accept-encoding", b"gzip, deflate, br, zstd"),
    (b"sec-websocket-version", b"13"),
    (b"origin", b"http://localhost:8000"),
    (b"sec-websocket-extensions", b"permessage-deflate"),
    (b"sec-websocket-key", KEY),
    (b"sec-fetch-dest", b"empty"),
    (b"sec-fetch-mode", b"websocket"),
    (b"sec-fetch-site", b"same-origin"),
    (b"pragma", b"no-cache"),
    (b"cache-control", b"no-cache"),
    (b"connection", b"keep-alive, Upgrade"),
    (b"upgrade", b"websocket"),
]


def replace(name: bytes, *values: bytes) -> Headers:
    """Return a valid handshake's header lines with those of ``name`` replaced."""
    return [line for line in HEADERS if line[0] != name] + [(name, value) for value in values]


def make_scope(headers: Headers, **changes: Any) -> dict[str, Any]:
    return {"type": "http", "http_version": "1.1", "method": "GET", "scheme": "http", "headers": headers, **changes}


def accept(headers: Headers, **changes: Any) -> Accept:
    result = negotiate(make_scope(headers, **changes))
    assert isinstance(result, Accept), result
    return result


def reject(headers: Headers, **changes: Any) -> Reject:
    result = negotiate(make_scope(headers, **changes))
    assert isinstance(result, Reject), result
    assert re.fullmatch(r"[ -~]+", result.reason)
    return result


def test_accept_key_of_the_rfc() -> None:
    assert accept_key(KEY) == ACCEPT


@given(st.binary(min_size=16, max_size=16))
@settings(deadline=None)
def test_every_key_of_16_bytes_is_accepted(nonce: bytes) -> None:
    key = base64.b64encode(nonce)
    assert accept(replace(b"sec-websocket-key", key)).key == reference_accept_key(key.decode()).encode()


@given(st.binary(max_size=40).filter(lambda nonce: len(nonce) != 16))
@settings(deadline=None)
def test_no_key_of_another_size_is_accepted(nonce: bytes) -> None:
    assert reject(replace(b"sec-websocket-key", base64.b64encode(nonce))).status == 400


def test_the_smallest_handshake() -> None:
    assert accept(HEADERS) == Accept(ACCEPT, (), ())


def test_what_browsers_send() -> None:
    deflate = "permessage-deflate"
    offer = ExtensionOffer(deflate, (("client_max_window_bits", None),))
    assert accept(CHROMIUM) == Accept(ACCEPT, ("chat", "superchat"), (offer,))
    assert accept(FIREFOX) == Accept(ACCEPT, (), (ExtensionOffer(deflate),))


@pytest.mark.parametrize(
    "headers",
    [
        [(name.title(), value) for name, value in HEADERS],
        [(name.upper(), value) for name, value in HEADERS],
        HEADERS[::-1],
        replace(b"upgrade", b"WebSocket"),
        replace(b"upgrade", b"h2c, WEBSOCKET"),
        replace(b"upgrade", b"foo/1", b",websocket,"),
        replace(b"connection", b"keep-alive, upgrade"),
        replace(b"connection", b"keep-alive", b"UPGRADE"),
        replace(b"sec-websocket-key", b" " + KEY + b"\t"),
        replace(b"sec-websocket-version", b" 13 "),
        replace(b"host", b"[::1]:8000"),
        replace(b"host", b" example.com:80 "),
        replace(b"host", b"\tX"),
    ],
)
def test_other_forms_of_a_right_handshake(headers: Headers) -> None:
    assert accept(headers).key == ACCEPT


@pytest.mark.parametrize(
    "headers",
    [
        [],
        [(b"host", b"example.com")],
        replace(b"upgrade"),
        replace(b"upgrade", b"h2c"),
        replace(b"upgrade", b"websocket/13"),
        replace(b"upgrade", b"websockets"),
        replace(b"upgrade", b""),
        replace(b"upgrade", b"web socket"),
        replace(b"upgrade", b'"websocket"'),
        # Malformed, or without the Connection option, and without anything else that claims to be a handshake.
        [(b"host", b"example.com"), (b"connection", b"Upgrade"), (b"upgrade", b"websocket, foo/")],
        [(b"host", b"example.com"), (b"connection", b"keep-alive"), (b"upgrade", b"websocket")],
        [(b"host", b"example.com"), (b"upgrade", b"websocket")],
    ],
)
def test_what_does_not_ask_for_websocket(headers: Headers) -> None:
    assert negotiate(make_scope(headers)) is None


@pytest.mark.parametrize("version", ["1.0", "2", "3"])
@pytest.mark.parametrize("headers", [HEADERS, replace(b"connection"), replace(b"sec-websocket-key", b"")])
def test_other_http_versions_cannot_ask(headers: Headers, version: str) -> None:
    assert negotiate(make_scope(headers, http_version=version)) is None


# An extended CONNECT (RFC 8441 section 4) as the server delivers it: a GET, without what HTTP/2 does not have.
OVER_HTTP2 = [line for line in HEADERS if line[0] not in (b"connection", b"upgrade", b"sec-websocket-key")]


def over_http2(headers: Headers, protocol: str | None = "websocket", **options: Any) -> Accept | Reject | None:
    extension = {"version": "1.2"} if protocol is None else {"version": "1.2", "protocol": protocol}
    return negotiate(make_scope(headers, http_version="2", extensions={"http.upgrade": extension}), **options)


def test_a_handshake_over_http2_needs_no_key_and_gives_none_back() -> None:
    lists = [(b"sec-websocket-protocol", b"chat, superchat"), (b"sec-websocket-extensions", b"foo; bar")]
    result = over_http2([*OVER_HTTP2, *lists])
    assert result == Accept(b"", ("chat", "superchat"), (ExtensionOffer("foo", (("bar", None),)),))


def test_lenient_subprotocols_over_http2() -> None:
    headers = [*OVER_HTTP2, (b"sec-websocket-protocol", b"a/b")]
    assert isinstance(over_http2(headers), Reject)
    assert over_http2(headers, lenient_subprotocols=True) == Accept(b"", ("a/b",))


@pytest.mark.parametrize("protocol", ["connect-udp", "WebSocket", "", None])
def test_an_extended_connect_to_another_protocol_is_no_handshake(protocol: str | None) -> None:
    assert over_http2(OVER_HTTP2, protocol) is None


@pytest.mark.parametrize("hosts", [(), (b"a", b"b"), (b"a b",), (b"user@a",)])
def test_over_http2_host_is_checked_too(hosts: tuple[bytes, ...]) -> None:
    headers = [line for line in OVER_HTTP2 if line[0] != b"host"] + [(b"host", host) for host in hosts]
    result = over_http2(headers)
    assert isinstance(result, Reject)
    assert result.status == 400
    assert "Host" in result.reason


@pytest.mark.parametrize("versions", [(), (b"8",), (b"13", b"13")])
def test_over_http2_a_wrong_version_is_a_bad_request_that_names_ours(versions: tuple[bytes, ...]) -> None:
    headers = [line for line in OVER_HTTP2 if line[0] != b"sec-websocket-version"]
    result = over_http2([*headers, *((b"sec-websocket-version", version) for version in versions)])
    assert isinstance(result, Reject)
    assert result == Reject(400, "Sec-WebSocket-Version must be 13", ((b"sec-websocket-version", b"13"),))


@pytest.mark.parametrize("kind", ["websocket", "lifespan"])
def test_other_scopes_do_not_ask(kind: str) -> None:
    assert negotiate(make_scope(HEADERS, type=kind)) is None
    assert negotiate({"type": kind}) is None


def test_a_scope_without_headers_does_not_ask() -> None:
    assert negotiate({"type": "http", "http_version": "1.1", "method": "GET"}) is None


@pytest.mark.parametrize(
    "headers",
    [
        replace(b"connection"),
        replace(b"connection", b""),
        replace(b"connection", b"keep-alive"),
        replace(b"connection", b"close, te"),
    ],
)
def test_a_handshake_without_the_connection_option(headers: Headers) -> None:
    rejection = reject(headers)
    assert rejection == Reject(400, "A WebSocket handshake needs the header field Connection: Upgrade")


@pytest.mark.parametrize(
    "headers",
    [
        replace(b"connection", b"Upgrade, a b"),
        replace(b"connection", b'Upgrade, "'),
        replace(b"connection", b"Upgrade", b"\x00"),
        replace(b"connection", b'"Upgrade"'),
        replace(b"upgrade", b"websocket, foo/"),
        replace(b"upgrade", b"a b, websocket"),
        replace(b"upgrade", b"WebSocket", b"/"),
        [line for line in replace(b"upgrade", b"websocket,/") if line[0] != b"sec-websocket-version"],
        [line for line in replace(b"upgrade", b"websocket,/") if line[0] != b"sec-websocket-key"],
    ],
)
def test_a_plain_claim_with_malformed_fields(headers: Headers) -> None:
    rejection = reject(headers)
    assert rejection.status == 400
    assert rejection.reason.startswith("Malformed WebSocket handshake: ")


@pytest.mark.parametrize(
    ("name", "fault"),
    [
        (b"upgrade", "Malformed WebSocket handshake"),
        (b"connection", "Malformed WebSocket handshake"),
        (b"sec-websocket-protocol", "Malformed Sec-WebSocket-Protocol"),
        (b"sec-websocket-extensions", "Malformed Sec-WebSocket-Extensions"),
    ],
)
def test_a_list_that_is_too_long_is_refused_as_such(name: bytes, fault: str) -> None:
    right = dict(HEADERS).get(name, b"a")
    rejection = reject(replace(name, right, b"," * MAX_LIST_SIZE))
    assert rejection == Reject(431, f"{fault}: a header field is longer than {MAX_LIST_SIZE} bytes")


@pytest.mark.parametrize("method", ["HEAD", "POST", "PUT", "OPTIONS", "CONNECT", "get", ""])
def test_the_method_is_get(method: str) -> None:
    rejection = reject(HEADERS, method=method)
    assert rejection == Reject(405, "A WebSocket handshake needs the method GET", ((b"allow", b"GET"),))


@pytest.mark.parametrize(
    "hosts",
    [
        [],
        [b""],
        [b"a", b"b"],
        [b"a", b"a"],
        [b"a b"],
        [b"a/"],
        [b"user@a"],
        [b"a:x"],
        [b"a:65536"],
        [b"[::1"],
        [b"\xe4"],
        [b"\x0ba"],
    ],
)
def test_the_host_is_there_once_and_well_formed(hosts: list[bytes]) -> None:
    rejection = reject(replace(b"host", *hosts))
    assert rejection.status == 400
    if len(hosts) == 1:
        assert rejection.reason.startswith("Malformed Host: ")
    else:
        assert rejection.reason == "A WebSocket handshake needs the header field Host, once"


@pytest.mark.parametrize(
    "versions",
    [
        [],
        [b""],
        [b"8"],
        [b"7"],
        [b"0"],
        [b"14"],
        [b"013"],
        [b"13.0"],
        [b"13, 8"],
        [b"13", b"13"],
        [b"8", b"13"],
        [b"x"],
        [b"X13"],
        [b"\x0b13"],
    ],
)
def test_other_versions_learn_the_supported_one(versions: list[bytes]) -> None:
    rejection = reject(replace(b"sec-websocket-version", *versions))
    assert (rejection.status, rejection.reason) == (426, "Sec-WebSocket-Version must be 13")
    assert sorted(rejection.headers) == [
        (b"connection", b"Upgrade"),
        (b"sec-websocket-version", b"13"),
        (b"upgrade", b"websocket"),
    ]


def test_an_old_version_without_a_key_learns_the_supported_one() -> None:
    headers = [line for line in HEADERS if not line[0].startswith(b"sec-")]
    assert reject([*headers, (b"sec-websocket-key1", b"4 @1  46546xW%0l 1 5")]).status == 426


@pytest.mark.parametrize(
    "keys",
    [
        [],
        [b""],
        [KEY, KEY],
        [KEY, b""],
        [KEY + b", " + KEY],
        [KEY[:-1]],
        [KEY[:-2]],
        [KEY + b"="],
        [KEY + b"AAAA"],
        [b"SGVsbG8sIHdvcmxkIQ=="],
        [b"dGhlIHNhbXBsZSBub25jZQAA"],
        [b"dGhlIHNhbXBsZSBub25jZQA="],
        [b"dGhlIHNhbXBs ZSBub25jZQ=="],
        [b"dGhlIHNhbXBsZSBub25j-_=="],
        [b"=GhlIHNhbXBsZSBub25jZQ=="],
        [b'"dGhlIHNhbXBsZSBub25jZQ=="'],
        [b"dGhlIHNhbXBsZSBub25jZQ==\n"],
        [b"\xe4GhlIHNhbXBsZSBub25jZQ=="],
    ],
)
def test_the_key_is_there_once_and_has_16_bytes(keys: list[bytes]) -> None:
    rejection = reject(replace(b"sec-websocket-key", *keys))
    if len(keys) == 1:
        assert rejection == Reject(400, "Sec-WebSocket-Key must be 16 bytes in base64")
    else:
        assert rejection == Reject(400, "A WebSocket handshake needs the header field Sec-WebSocket-Key, once")


@pytest.mark.parametrize("digit", "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/")
def test_a_key_may_have_surplus_bits_set(digit: str) -> None:
    """Of the 64 digits in the last place, four leave them zero; the other sixty are taken as other servers do."""
    key = KEY[:21] + digit.encode() + b"=="
    assert accept(replace(b"sec-websocket-key", key)).key == reference_accept_key(key.decode()).encode()


@pytest.mark.parametrize(
    ("lines", "subprotocols"),
    [
        ([], ()),
        ([b""], ()),
        ([b"chat"], ("chat",)),
        ([b"chat, superchat"], ("chat", "superchat")),
        ([b"b", b"a,c", b"", b",d"], ("b", "a", "c", "d")),
        ([b"Chat,chat"], ("Chat", "chat")),
        ([b"b, a, b"], ("b", "a")),
        ([b"soap", b"wamp.2.json"], ("soap", "wamp.2.json")),
    ],
)
def test_subprotocols_keep_the_clients_order(lines: list[bytes], subprotocols: tuple[str, ...]) -> None:
    assert accept(replace(b"sec-websocket-protocol", *lines)).subprotocols == subprotocols


@pytest.mark.parametrize("line", [b"a b", b"a/b", b'"a"', b"a;b", b"\xe4", b"a\x00", b"a, b\r\nx: y", b'"'])
def test_malformed_subprotocols(line: bytes) -> None:
    for lines in ([line], [b"chat", line], [line, b"chat"]):
        rejection = reject(replace(b"sec-websocket-protocol", *lines))
        assert rejection.status == 400
        assert rejection.reason.startswith("Malformed Sec-WebSocket-Protocol: ")


@pytest.mark.parametrize("name", ["a/b", "abc+/==", "a;b", "urn:x@y", "(a)", "[{}]", "<a>?"])
def test_lenient_subprotocols(name: str) -> None:
    scope = make_scope(replace(b"sec-websocket-protocol", b"chat, " + name.encode()))
    assert isinstance(negotiate(scope), Reject)
    answer = negotiate(scope, lenient_subprotocols=True)
    assert isinstance(answer, Accept)
    assert answer.subprotocols == ("chat", name)
    assert (b"sec-websocket-protocol", name.encode()) in answer.response_headers(subprotocol=name)


@pytest.mark.parametrize(
    ("given", "lenient", "taken"),
    [
        ([], False, ()),
        (["chat", "Chat.2"], False, ("chat", "Chat.2")),
        (("chat", "a/b"), True, ("chat", "a/b")),
        (["chat", "a/b"], False, None),
        (["a b"], True, None),
        ([""], True, None),
        ([b"chat"], False, None),
        (["chat", None], True, None),
        ("chat", False, None),
        ("", True, None),
    ],
)
def test_the_subprotocols_of_a_server(given: Any, lenient: bool, taken: tuple[str, ...] | None) -> None:
    if taken is None:
        with pytest.raises(
            ValueError, match=r"^subprotocols must be a sequence of tokens .*, not " + re.escape(repr(given))
        ):
            check_subprotocols(given, lenient=lenient)
    else:
        assert check_subprotocols(given, lenient=lenient) == taken


@pytest.mark.parametrize("line", [b"a b", b'"a"', b"a\\b", b"\xe4", b"a\x00", b"a, b\r\nx: y", b'"', b"a\tb"])
def test_lenient_subprotocols_stay_in_their_line(line: bytes) -> None:
    scope = make_scope(replace(b"sec-websocket-protocol", line))
    answer = negotiate(scope, lenient_subprotocols=True)
    assert isinstance(answer, Reject)
    assert answer.reason.startswith("Malformed Sec-WebSocket-Protocol: ")


def test_extensions_keep_the_clients_order() -> None:
    lines = [b'a; x=1; x; y="2"', b"", b"permessage-deflate; client_max_window_bits, permessage-deflate"]
    assert accept(replace(b"sec-websocket-extensions", *lines)).extensions == (
        ExtensionOffer("a", (("x", "1"), ("x", None), ("y", "2"))),
        ExtensionOffer("permessage-deflate", (("client_max_window_bits", None),)),
        ExtensionOffer("permessage-deflate"),
    )


@pytest.mark.parametrize("line", [b"a;", b"a; b=", b'a; b="1,2"', b'a; b="', b"a b", b"a; b=\x00", b"=1"])
def test_malformed_extensions(line: bytes) -> None:
    for lines in ([line], [b"permessage-deflate", line]):
        rejection = reject(replace(b"sec-websocket-extensions", *lines))
        assert rejection.status == 400
        assert rejection.reason.startswith("Malformed Sec-WebSocket-Extensions: ")


@pytest.mark.parametrize(
    ("offered", "configured", "chosen"),
    [
        ((), (), None),
        ((), ("a",), None),
        (("a",), (), None),
        (("a", "b"), ("b", "a"), "a"),
        (("c", "b", "a"), ["a", "b"], "b"),
        (("A",), ("a",), None),
        (("a",), ("ab",), None),
    ],
)
def test_choose_subprotocol(offered: tuple[str, ...], configured: tuple[str, ...], chosen: str | None) -> None:
    assert Accept(ACCEPT, offered).choose_subprotocol(configured) == chosen


def test_response_headers() -> None:
    assert Accept(ACCEPT, ("a",)).response_headers() == [
        (b"upgrade", b"websocket"),
        (b"connection", b"Upgrade"),
        (b"sec-websocket-accept", ACCEPT),
    ]
    assert Accept(ACCEPT, ("a", "b")).response_headers(
        subprotocol="b", extensions="permessage-deflate", headers=[(b"Set-Cookie", b"a=1"), (b"set-cookie", b"b=2")]
    ) == [
        (b"upgrade", b"websocket"),
        (b"connection", b"Upgrade"),
        (b"sec-websocket-accept", ACCEPT),
        (b"sec-websocket-protocol", b"b"),
        (b"sec-websocket-extensions", b"permessage-deflate"),
        (b"set-cookie", b"a=1"),
        (b"set-cookie", b"b=2"),
    ]


def test_without_a_key_there_is_no_empty_answer_to_it() -> None:
    """In HTTP/2, and where the server performs the handshake, which middleware sees all the same."""
    assert Accept(b"").response_headers() == [(b"upgrade", b"websocket"), (b"connection", b"Upgrade")]


@pytest.mark.parametrize("subprotocol", ["b", "", "A", "a\r\nx: y", "a, b", "ä"])
def test_a_subprotocol_must_have_been_offered(subprotocol: str) -> None:
    with pytest.raises(ValueError, match="was not offered"):
        Accept(ACCEPT, ("a",)).response_headers(subprotocol=subprotocol)


def test_a_subprotocol_that_was_not_offered_may_be_let_out() -> None:
    headers = Accept(ACCEPT, ("a",)).response_headers(subprotocol="b", offered_only=False)
    assert headers[-1] == (b"sec-websocket-protocol", b"b")


@pytest.mark.parametrize("subprotocol", ["", "a\r\nx: y", "a, b", "ä", "a\tb", 'a"'])
def test_but_not_out_of_its_line(subprotocol: str) -> None:
    with pytest.raises(ValueError, match="cannot stand in a header field"):
        Accept(ACCEPT, ("a",)).response_headers(subprotocol=subprotocol, offered_only=False)


@pytest.mark.parametrize("case", [bytes.lower, bytes.upper, bytes.title])
@pytest.mark.parametrize(
    "name",
    [
        b"upgrade",
        b"connection",
        b"sec-websocket-accept",
        b"sec-websocket-protocol",
        b"sec-websocket-extensions",
        b"sec-websocket-version",
        b"sec-websocket-anything",
        b"content-length",
        b"transfer-encoding",
        b"trailer",
    ],
)
def test_the_handshakes_own_headers_cannot_be_set(name: bytes, case: Any) -> None:
    with pytest.raises(ValueError, match=re.escape(repr(name))):
        Accept(ACCEPT).response_headers(headers=[(b"ok", b"1"), (case(name), b"1")])


@pytest.mark.parametrize(
    "header",
    [
        (b"x", b"a\r\nSet-Cookie: b=1"),
        (b"x", b"a\nb"),
        (b"x", b"a\x00"),
        (b"x\r\ny", b"a"),
        (b"x: y", b"a"),
        (b"", b"a"),
    ],
)
def test_headers_cannot_be_injected(header: tuple[bytes, bytes]) -> None:
    with pytest.raises(ValueError, match=re.escape(repr(header[0]))):
        Accept(ACCEPT).response_headers(headers=[header])


@pytest.mark.parametrize("extensions", ["a\r\nx: y", "a\x00", "\u20ac"])
def test_extensions_cannot_inject_headers(extensions: str) -> None:
    with pytest.raises(ValueError, match=r"control character|latin-1"):
        Accept(ACCEPT).response_headers(extensions=extensions)


@pytest.mark.parametrize("offered", [[], ["chat"], ["other", "chat", "superchat"]])
@pytest.mark.parametrize("compress", [False, True])
@pytest.mark.parametrize("url", ["ws://example.com/", "ws://[::1]:8000/a?b", "wss://user:password@example.com:8443/"])
def test_a_real_clients_state_machine_accepts_the_answer(offered: list[str], compress: bool, url: str) -> None:
    factories = [ClientPerMessageDeflateFactory(client_max_window_bits=True)] if compress else None
    client = ClientProtocol(
        parse_uri(url), extensions=factories, subprotocols=[Subprotocol(name) for name in offered] or None
    )
    request = client.connect()
    accepted = accept([(name.encode(), value.encode()) for name, value in request.headers.raw_items()])
    assert accepted.subprotocols == tuple(offered)
    assert [extension.name for extension in accepted.extensions] == ["permessage-deflate"] * compress
    chosen = accepted.choose_subprotocol(["superchat", "chat"])
    lines = accepted.response_headers(subprotocol=chosen, extensions="permessage-deflate" if compress else None)
    client.send_request(request)
    client.receive_data(
        b"HTTP/1.1 101 Switching Protocols\r\n" + b"".join(b"%s: %s\r\n" % line for line in lines) + b"\r\n"
    )
    assert client.handshake_exc is None
    assert client.state is State.OPEN
    assert client.subprotocol == chosen == ("chat" if offered else None)
    assert len(client.extensions) == compress


def test_a_real_clients_state_machine_sees_the_refusal() -> None:
    client = ClientProtocol(parse_uri("ws://example.com/"))
    request = client.connect()
    request.headers["Sec-WebSocket-Protocol"] = "a b"
    rejection = reject([(name.encode(), value.encode()) for name, value in request.headers.raw_items()])
    client.send_request(request)
    lines = b"".join(b"%s: %s\r\n" % line for line in (*rejection.headers, (b"content-length", b"0")))
    client.receive_data(b"HTTP/1.1 %d x\r\n%s\r\n" % (rejection.status, lines))
    client.receive_eof()
    assert isinstance(client.handshake_exc, InvalidHandshake)
    assert "400" in str(client.handshake_exc)


NAMES = [name for name, _ in HEADERS] + [b"sec-websocket-protocol", b"sec-websocket-extensions"]
FRAGMENTS = [
    b"websocket",
    b"upgrade",
    b"13",
    KEY,
    b"a",
    b",",
    b";",
    b"=",
    b'"',
    b"\\",
    b" ",
    b"/",
    b"\x00",
    b"\xff",
    b"[::1]",
    b":80",
]
VALUES = st.binary() | st.lists(st.sampled_from(FRAGMENTS), max_size=8).map(b"".join)


@given(
    st.sets(st.sampled_from(range(len(HEADERS)))),
    st.lists(st.tuples(st.sampled_from(NAMES) | st.binary(max_size=4), VALUES), max_size=4),
    st.sampled_from(["GET", "POST"]),
)
@settings(deadline=None, max_examples=500)
def test_no_bytes_make_it_raise(missing: set[int], more: Headers, method: str) -> None:
    kept = [line for index, line in enumerate(HEADERS) if index not in missing]
    result = negotiate(make_scope([*kept, *more], method=method))
    if isinstance(result, Reject):
        assert result.status in {400, 405, 426}
        assert re.fullmatch(r"[ -~]+", result.reason)
        assert ((b"sec-websocket-version", b"13") in result.headers) == (result.status == 426)
    elif isinstance(result, Accept):
        assert method == "GET"
        names = [name for name, _ in result.response_headers()]
        assert names == [b"upgrade", b"connection", b"sec-websocket-accept"]
        for subprotocol in result.subprotocols:
            assert (b"sec-websocket-protocol", subprotocol.encode()) in result.response_headers(subprotocol=subprotocol)


@given(st.permutations(CHROMIUM), st.lists(st.booleans(), min_size=len(CHROMIUM), max_size=len(CHROMIUM)))
@settings(deadline=None)
def test_neither_order_nor_case_of_the_lines_matters(lines: Headers, upper: list[bool]) -> None:
    headers = [(name.upper() if flag else name, value) for (name, value), flag in zip(lines, upper, strict=True)]
    assert accept(headers) == accept(CHROMIUM)


@given(st.lists(st.tuples(st.binary(), st.binary())))
@settings(deadline=None)
def test_added_headers_are_safe_or_refused(headers: Headers) -> None:
    try:
        lines = Accept(ACCEPT).response_headers(headers=headers)
    except ValueError:
        return
    assert not any(set(name + value) & set(b"\r\n\x00") for name, value in lines)
    counts = {name: len(list(group)) for name, group in itertools.groupby(sorted(name for name, _ in lines))}
    assert (counts[b"upgrade"], counts[b"connection"], counts[b"sec-websocket-accept"]) == (1, 1, 1)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    "value", [b"," * 65536, b"websocket" + b" " * 65536 + b"x", b'"' + b"\\a" * 32768, b"A" * 65536]
)
def test_negotiating_takes_linear_time(name: bytes, value: bytes) -> None:
    start = time.process_time()
    negotiate(make_scope(replace(name, value)))
    assert time.process_time() - start < 1
