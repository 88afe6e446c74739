import logging
import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asgi_upgrade.websocket.handshake import Reject
from asgi_upgrade.websocket.origin import OriginPolicy

LOGGER = "asgi_upgrade"


def make_scope(origins: list[bytes], hosts: list[bytes] | None = None, **changes: Any) -> dict[str, Any]:
    hosts = [b"example.com"] if hosts is None else hosts
    headers = [(b"host", host) for host in hosts] + [(b"origin", origin) for origin in origins]
    return {"type": "http", "http_version": "1.1", "scheme": "http", "headers": headers, **changes}


def lets_in(policy: OriginPolicy, scope: dict[str, Any]) -> bool:
    rejection = policy.check(scope)
    assert rejection is None or (rejection.status == 403 and re.fullmatch(r"[ -~]+", rejection.reason))
    return rejection is None


def find_fault(pattern: str) -> str | None:
    """Return the message of the `ValueError` that a pattern raises, None if it raises nothing."""
    try:
        OriginPolicy([pattern])
    except ValueError as error:
        return str(error)
    return None


@pytest.mark.parametrize(
    ("scheme", "host", "origin"),
    [
        ("http", b"example.com", b"http://example.com"),
        ("http", b"example.com", b"http://example.com:80"),
        ("http", b"example.com:80", b"http://example.com"),
        ("http", b"example.com:", b"http://example.com"),
        ("http", b"Example.COM", b"http://example.com"),
        ("http", b"example.com", b"HTTP://EXAMPLE.com"),
        ("http", b"example.com:8000", b"http://example.com:8000"),
        ("ws", b"example.com", b"http://example.com"),
        ("WS", b"example.com", b"http://example.com"),
        ("https", b"example.com", b"https://example.com"),
        ("https", b"example.com:443", b"https://example.com"),
        ("wss", b"example.com", b"https://example.com:443"),
        ("wss", b"example.com:8443", b"https://example.com:8443"),
        ("http", b"127.0.0.1:8000", b"http://127.0.0.1:8000"),
        ("http", b"[::1]:8000", b"http://[::1]:8000"),
        ("http", b"[0:0:0:0:0:0:0:1]:8000", b"http://[::1]:8000"),
        ("https", b"[2001:DB8::1]", b"https://[2001:db8::1]:443"),
        ("http", b"example.com.", b"http://example.com."),
        ("http", b" example.com ", b" http://example.com\t"),
        ("http", b"my_service:80", b"http://my_service"),
        ("https", b"xn--bcher-kva.example", b"https://xn--bcher-kva.example"),
        ("coaps", b"example.com", b"coaps://example.com"),
    ],
)
def test_the_same_origin_is_let_in(scheme: str, host: bytes, origin: bytes, caplog: pytest.LogCaptureFixture) -> None:
    for kind in ("http", "websocket"):
        assert lets_in(OriginPolicy(), make_scope([origin], [host], scheme=scheme, type=kind))
    assert not caplog.records


@pytest.mark.parametrize(
    ("scheme", "host", "origin"),
    [
        ("http", b"example.com", b"https://example.com"),
        ("https", b"example.com", b"http://example.com"),
        ("http", b"example.com", b"https://example.com:80"),
        ("http", b"example.com:443", b"https://example.com"),
        ("http", b"example.com", b"ws://example.com"),
        ("http", b"example.com", b"http://example.com:8000"),
        ("http", b"example.com:8000", b"http://example.com"),
        ("http", b"example.com:8000", b"http://example.com:8001"),
        ("http", b"example.com", b"http://www.example.com"),
        ("http", b"example.com", b"http://example.com.evil.example"),
        ("http", b"example.com", b"http://evilexample.com"),
        ("http", b"example.com", b"http://example.com."),
        ("http", b"localhost:8000", b"http://127.0.0.1:8000"),
        ("http", b"[::1]", b"http://[::2]"),
        ("http", b"[::1]", b"http://::1"),
        ("http", b"example.com", b"null"),
        ("http", b"null", b"null"),
        ("http", b"example.com", b"NULL"),
        ("http", b"example.com", b""),
        ("http", b"example.com", b"*"),
        ("http", b"example.com", b"example.com"),
        ("http", b"example.com", b"//example.com"),
        ("http", b"example.com", b"http:example.com"),
        ("http", b"example.com", b"http://example.com/"),
        ("http", b"example.com", b"http://example.com/path"),
        ("http", b"example.com", b"http://example.com?query"),
        ("http", b"example.com", b"http://example.com#fragment"),
        ("http", b"example.com", b"http://user@example.com"),
        ("http", b"example.com", b"http://evil.example@example.com"),
        ("http", b"example.com", b"http://example.com http://example.com"),
        ("http", b"example.com", b"http://evil.example, http://example.com"),
        ("http", b"example.com", b"http://example.com:99999"),
        ("http", b"example.com", b"http://example.com\x00"),
        ("http", b"example.com", b"http://example.com\n"),
        ("http", b"example.com", b"http://ex\xe4mple.com"),
        ("http", b"ex\xe4mple.com", b"http://ex\xe4mple.com"),
        ("http", b"a b", b"http://a b"),
        ("http", b"", b"http://"),
        ("http", b"", b"file://"),
        ("http", b"example.com", b"file://"),
        ("http", b"example.com", b"chrome-extension://example.com"),
        ("chrome-extension", b"example.com", b"http://example.com"),
        ("http", b"Xexample.com", b"http://example.com"),
        ("http", b"\x0bexample.com", b"http://example.com"),
        ("http", b"example.com", b"Xhttp://example.com"),
        ("http", b"example.com", b"\x0bhttp://example.com"),
    ],
)
def test_another_origin_is_refused(scheme: str, host: bytes, origin: bytes) -> None:
    assert not lets_in(OriginPolicy(), make_scope([origin], [host], scheme=scheme))


@pytest.mark.parametrize("allowed", [[], ["https://app.example.com"], ["*"], ["null"]])
def test_a_request_without_origin_is_let_in(allowed: list[str]) -> None:
    assert lets_in(OriginPolicy(allowed), make_scope([]))
    assert lets_in(OriginPolicy(allowed), make_scope([], []))
    assert lets_in(OriginPolicy(allowed), {"type": "http"})


def test_the_scheme_is_http_where_the_scope_has_none() -> None:
    scope = make_scope([b"http://example.com"])
    del scope["scheme"]
    assert lets_in(OriginPolicy(), scope)


def test_header_names_may_be_in_any_case() -> None:
    headers = [(b"Host", b"example.com"), (b"ORIGIN", b"http://evil.example")]
    assert not lets_in(OriginPolicy(), make_scope([], headers=headers))


@pytest.mark.parametrize(
    "origins",
    [
        [b"http://example.com", b"http://example.com"],
        [b"http://example.com", b"http://evil.example"],
        [b"http://evil.example", b"http://example.com"],
        [b"null", b"http://example.com"],
        [b"", b"http://example.com"],
    ],
)
@pytest.mark.parametrize("allowed", [[], ["http://example.com", "http://evil.example", "null"]])
def test_several_origins_are_refused(
    origins: list[bytes], allowed: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    assert not lets_in(OriginPolicy(allowed), make_scope(origins))
    assert "several Origin lines" in caplog.text


@pytest.mark.parametrize("hosts", [[], [b"example.com", b"example.com"], [b"evil.example", b"example.com"], [b"a b"]])
def test_without_one_host_nothing_is_the_same_origin(hosts: list[bytes]) -> None:
    scope = make_scope([b"http://example.com"], hosts)
    assert not lets_in(OriginPolicy(), scope)
    # What is allowed by name needs no Host.
    assert lets_in(OriginPolicy(["http://example.com"]), scope)


@pytest.mark.parametrize(
    ("pattern", "inside", "outside"),
    [
        (
            "https://app.example.org",
            [b"https://app.example.org", b"https://app.example.org:443", b"HTTPS://App.Example.ORG"],
            [
                b"http://app.example.org",
                b"https://example.org",
                b"https://a.app.example.org",
                b"https://app.example.org:8443",
            ],
        ),
        ("https://app.example.org:443", [b"https://app.example.org"], [b"https://app.example.org:80"]),
        ("HTTPS://APP.example.org", [b"https://app.example.org"], []),
        ("http://localhost:5173", [b"http://localhost:5173"], [b"http://localhost", b"http://localhost:5174"]),
        ("http://[::1]:3000", [b"http://[::1]:3000", b"http://[0::1]:3000"], [b"http://[::1]"]),
        (
            "https://*.example.org",
            [
                b"https://a.example.org",
                b"https://a.b.example.org",
                b"https://A.EXAMPLE.org:443",
                b"https://xn--a.example.org",
            ],
            [
                b"https://example.org",
                b"https://.example.org",
                b"https://..example.org",
                b"https://evilexample.org",
                b"https://a.example.org.evil.example",
                b"https://a.example.org:8443",
                b"http://a.example.org",
                b"https://a.example.com",
                b"https://evil.example/a.example.org",
                b"https://evil.example?.example.org",
                b"https://evil.example#.example.org",
                b"https://evil.example\\.example.org",
                b"https://user@a.example.org",
            ],
        ),
        ("https://*.a", [b"https://b.a"], [b"https://a"]),
        ("http://*.localhost:8000", [b"http://a.localhost:8000"], [b"http://localhost:8000", b"http://a.localhost"]),
        ("http://*.example.org:80", [b"http://a.example.org"], [b"http://a.example.org:443"]),
        ("capacitor://localhost", [b"capacitor://localhost"], [b"http://localhost", b"capacitor://localhost:80"]),
        ("chrome-extension://abcdef", [b"chrome-extension://abcdef"], [b"chrome-extension://abcdeg"]),
        ("file://", [b"file://"], [b"file:///", b"file://a", b"null"]),
        (
            "moz-extension://*",
            [b"moz-extension://0f4f5f0a-1c0b-4a5e-9d4f-1f0e2d3c4b5a", b"MOZ-extension://a:1"],
            [b"http://a", b"chrome-extension://a", b"moz-extension://", b"moz-extension://a/b", b"null"],
        ),
        ("vscode-webview://*", [b"vscode-webview://1a2b3c"], [b"https://vscode-webview", b"vscode-webview2://a"]),
        (
            "http://localhost:*",
            [b"http://localhost", b"http://localhost:5173", b"http://LOCALHOST:80"],
            [
                b"https://localhost",
                b"http://a.localhost:5173",
                b"http://localhost.evil.example:1",
                b"http://127.0.0.1:1",
            ],
        ),
        ("http://[::1]:*", [b"http://[::1]:3000", b"http://[0::1]"], [b"http://[::2]:3000"]),
        (
            "https://*.example.org:*",
            [b"https://a.example.org", b"https://a.b.example.org:8443"],
            [
                b"https://example.org:8443",
                b"http://a.example.org:8443",
                b"https://.example.org:1",
                b"https://aexample.org:1",
            ],
        ),
        ("null", [b"null"], [b"NULL", b"", b"null, null", b"https://null", b"Xnull", b"\x0bnull"]),
    ],
)
def test_allowed_origins(pattern: str, inside: list[bytes], outside: list[bytes]) -> None:
    for policy in (
        OriginPolicy([pattern]),
        OriginPolicy(("https://other.example", pattern, "https://*.other.example")),
    ):
        for origin in inside:
            assert lets_in(policy, make_scope([origin])), origin
        for origin in outside:
            assert not lets_in(policy, make_scope([origin])), origin
        # The same origin stays allowed.
        assert lets_in(policy, make_scope([b"http://example.com"]))


@pytest.mark.parametrize("origins", [[], [b"https://evil.example"], [b"null"], [b""], [b"\xff"], [b"a", b"b"]])
def test_a_star_opens_it(origins: list[bytes], caplog: pytest.LogCaptureFixture) -> None:
    assert lets_in(OriginPolicy(["*"]), make_scope(origins))
    assert lets_in(OriginPolicy(("*",)), make_scope(origins, []))
    assert not caplog.records


@pytest.mark.parametrize(
    "pattern",
    [
        "",
        " ",
        "example.com",
        "//example.com",
        "https:",
        "https://",
        "http://:80",
        "https://example.com/",
        "https://example.com/path",
        "https://example.com?",
        "https://example.com#",
        "https://user@example.com",
        "https://example.com:port",
        "https://*:*",
        "https://example.com:8*",
        "https://example.com:80:*",
        "https://example.com::*",
        "https://example.com:*:*",
        "https://example.com:*/",
        "https://[::1:*",
        "moz-extension://*:*",
        "moz-extension://a:*",
        "moz-extension://*/",
        "moz-extension://*.a.*",
        "http://*",
        "ws://*",
        "wss://localhost:*",
        "file://*",
        "file://:*",
        "https://example.com:65536",
        " https://example.com",
        "https://example.com ",
        "https://example.com,https://example.org",
        "https://bücher.example",
        "https://\ud800.example",
        "https://*",
        "https://*.",
        "https://*:8000",
        "https://*example.com",
        "https://app-*.example.com",
        "https://app.*.example.com",
        "https://*.*.example.com",
        "https://example.*",
        "*://example.com",
        "*.example.com",
        "**",
        "ws://example.com",
        "wss://*.example.com",
        "1http://example.com",
        "NULL",
        "https://[::1",
        "https://*.[::1]",
        "https://example.com\n",
    ],
)
def test_a_malformed_pattern_is_named(pattern: str) -> None:
    with pytest.raises(ValueError, match=rf"^allowed_origins: {re.escape(repr(pattern))}"):
        OriginPolicy(["https://example.org", pattern])


def test_a_star_stands_alone() -> None:
    with pytest.raises(ValueError, match=r"^allowed_origins: '\*' .*alone"):
        OriginPolicy(["https://example.com", "*"])


@pytest.mark.parametrize(
    "value", ["https://example.com", "*", b"*", [b"https://example.com"], [None], None, 1, True, [len]]
)
def test_allowed_origins_is_a_list_of_strings(value: Any) -> None:
    with pytest.raises(ValueError, match=r"^allowed_origins must be a list of strings"):
        OriginPolicy(value)


def test_a_function_is_asked_about_other_origins_as_they_were_sent(caplog: pytest.LogCaptureFixture) -> None:
    asked: list[str] = []

    def is_ours(origin: str, scope: Any) -> bool:
        assert scope["type"] == "http"
        asked.append(origin)
        return origin.startswith("http://device.example/")

    policy = OriginPolicy(is_ours)
    assert lets_in(policy, make_scope([b"http://example.com"]))
    assert lets_in(policy, make_scope([]))
    assert asked == []
    for origin in (b"http://device.example/setup/", b" http://device.example/\xe4 "):
        assert lets_in(policy, make_scope([origin]))
    assert not caplog.records
    for origin in (b"https://evil.example", b"null", b"", b"\xff"):
        assert not lets_in(policy, make_scope([origin]))
    assert asked == [
        "http://device.example/setup/", "http://device.example/\xe4", "https://evil.example", "null", "", "\xff",
    ]  # fmt: skip
    assert "the function given as allowed_origins does not let it in" in caplog.text


def test_a_function_is_not_asked_about_several_origins() -> None:
    assert not lets_in(OriginPolicy(lambda origin, scope: True), make_scope([b"http://a", b"http://b"]))


def test_what_a_function_answers_counts_as_true_or_false() -> None:
    for answer, passes in ((1, True), (re.match("a", "a"), True), (None, False), ("", False)):
        assert lets_in(OriginPolicy(lambda origin, scope, answer=answer: answer), make_scope([b"http://a"])) is passes  # type: ignore[misc]


def test_a_function_must_not_be_asynchronous() -> None:
    async def ask(origin: str, scope: Any) -> bool:
        return False

    class Asker:
        async def __call__(self, origin: str, scope: Any) -> bool:
            return False

    for function in (ask, Asker()):
        with pytest.raises(ValueError, match=r"^allowed_origins: .*asynchronous"):
            OriginPolicy(function)  # type: ignore[arg-type]

    class Answer:
        def __await__(self) -> Any:
            yield

    with pytest.raises(TypeError, match="asynchronous"):
        OriginPolicy(lambda origin, scope: Answer()).check(make_scope([b"http://a"]))  # type: ignore[arg-type,return-value]


def test_the_list_is_copied() -> None:
    allowed = ["https://app.example.com"]
    policy = OriginPolicy(allowed)
    allowed[0] = "*"
    assert lets_in(policy, make_scope([b"https://app.example.com"]))
    assert not lets_in(policy, make_scope([b"https://evil.example"]))


@pytest.mark.parametrize(
    ("scope", "parts"),
    [
        (
            make_scope([b"https://app.example.com"], [b"backend:8000"]),
            [
                "Origin 'https://app.example.com' ",
                " http://backend:8000 (Host 'backend:8000')",
                "allowed_origins=['https://app.example.com'] would let it in",
                "forward the client's Host",
            ],
        ),
        (
            make_scope([b"http://localhost:5173"], [b"localhost:8000"], scheme="ws"),
            ["http://localhost:8000", "allowed_origins=['http://localhost:5173'] would let it in"],
        ),
        (
            make_scope([b"https://Example.com:443"], [b"Example.com"]),
            [
                "'https://Example.com:443'",
                "http://example.com (Host 'Example.com')",
                "allowed_origins=['https://example.com'] would let it in",
                "X-Forwarded-Proto",
            ],
        ),
        (make_scope([b"null"]), ["Origin 'null'", "allowed_origins=['null'] would let in"]),
        (make_scope([b"file://"]), ["allowed_origins=['file://'] would let it in"]),
        (make_scope([b"nonsense"]), ["Origin 'nonsense'", "only allowed_origins=['*'] or a function would let it in"]),
        (make_scope([b""]), ["Origin ''", "only allowed_origins=['*'] or a function would let it in"]),
        (make_scope([b"http://example.com/"]), ["this is not an origin", "a function would let it in"]),
        (
            make_scope([b"moz-extension://0f4f"]),
            ["allowed_origins=['moz-extension://0f4f'] would let it in", "'moz-extension://*' every one of its kind"],
        ),
        (
            make_scope([b"http://localhost:5173"], [b"127.0.0.1:8000"]),
            ["localhost and 127.0.0.1 are two origins", "allowed_origins=['http://localhost:5173']"],
        ),
        (make_scope([b"https://a"], []), ["not the requested origin (Host '')", "allowed_origins=['https://a']"]),
        (make_scope([b"https://a"], [b"b", b"c"]), ["not the requested origin (Host 'b, c')"]),
        (make_scope([b"http://a\r\nERROR forged"]), ["Origin 'http://a\\r\\nERROR forged'"]),
        (make_scope([b"http://\x1b[31m\xe4"]), ["Origin 'http://\\x1b[31m\\xe4'"]),
    ],
)
def test_a_refusal_writes_one_line_that_says_what_would_help(
    scope: dict[str, Any], parts: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    rejection = OriginPolicy().check(scope)
    assert rejection == Reject(403, "This origin may not open a WebSocket here")
    (record,) = caplog.records
    assert (record.name, record.levelno) == (LOGGER, logging.WARNING)
    message = record.getMessage()
    assert re.fullmatch(r"[ -~]+", message)
    for part in parts:
        assert part in message


@pytest.mark.parametrize(
    ("policy", "origins", "host", "remedy"),
    [
        (
            OriginPolicy(),
            [b"http://a", b"http://b"],
            b"a",
            "the request has several Origin lines, which no browser sends",
        ),
        (OriginPolicy(), [b" null\t"], b"a", "allowed_origins=['null'] would let in every page without an origin"),
        *(
            (
                OriginPolicy(),
                [value],
                b"a",
                "this is not an origin, only allowed_origins=['*'] or a function would let it in",
            )
            for value in (b"nonsense", b"\x0bnull", b"Xnull", b"\x0bhttp://b")
        ),
        (
            OriginPolicy(),
            [b"Xhttp://b"],
            b"a",
            "allowed_origins=['xhttp://b'] would let it in, and 'xhttp://*' every one of its kind",
        ),
        (
            OriginPolicy(),
            [b"https://a"],
            b"a",
            (
                "allowed_origins=['https://a'] would let it in; "
                "behind a proxy that ends TLS, let it send X-Forwarded-Proto and the server trust it"
            ),
        ),
        (
            OriginPolicy(),
            [b"http://localhost"],
            b"[::1]",
            (
                "allowed_origins=['http://localhost'] would let it in; "
                "to browsers localhost and 127.0.0.1 are two origins: open the page by the name it connects to"
            ),
        ),
        (
            OriginPolicy(),
            [b"http://b"],
            b"a",
            "allowed_origins=['http://b'] would let it in; behind a proxy, let it forward the client's Host",
        ),
        (
            OriginPolicy(lambda origin, scope: False),
            [b"http://b"],
            b"a",
            "the function given as allowed_origins does not let it in",
        ),
    ],
)
def test_the_line_ends_with_one_remedy(
    policy: OriginPolicy, origins: list[bytes], host: bytes, remedy: str, caplog: pytest.LogCaptureFixture
) -> None:
    assert not lets_in(policy, make_scope(origins, [host]))
    assert caplog.records[0].getMessage().partition("'): ")[2] == remedy


def test_what_the_log_line_proposes_lets_it_in(caplog: pytest.LogCaptureFixture) -> None:
    for origin in (
        b"https://App.example.com",
        b"http://localhost:5173",
        b"http://[::1]:80",
        b"null",
        b"file://",
        b"?",
        b"app://x",
    ):
        caplog.clear()
        assert not lets_in(OriginPolicy(), make_scope([origin]))
        match = re.search(r"allowed_origins=\['([^']+)'\]", caplog.text)
        assert match is not None
        assert lets_in(OriginPolicy([match[1]]), make_scope([origin]))


@pytest.mark.parametrize(
    ("origin", "host"),
    [
        (b"x" * 65536 + b"://a", b"example.com"),
        (b"x" * 65536, b"example.com"),
        (b"http://" + b"x" * 65536, b"y" * 65536),
        (b"http://a", b"/" * 65536),
    ],
)
def test_a_log_line_stays_short(origin: bytes, host: bytes, caplog: pytest.LogCaptureFixture) -> None:
    assert not lets_in(OriginPolicy(), make_scope([origin], [host]))
    assert len(caplog.records[0].getMessage()) < 1200


@pytest.mark.parametrize(("length", "logged"), [(200, "x" * 200), (201, "x" * 200 + "...")])
def test_only_what_is_too_long_for_a_log_line_is_cut(
    length: int, logged: str, caplog: pytest.LogCaptureFixture
) -> None:
    assert not lets_in(OriginPolicy(), make_scope([b"x" * length]))
    assert f"Origin '{logged}' is not" in caplog.records[0].getMessage()


class Asker:
    """Is asked, and has no name of its own."""

    def __call__(self, origin: str, scope: Any) -> bool:
        return False


def ask(origin: str, scope: Any) -> bool:
    return False


@pytest.mark.parametrize(
    ("allowed", "words"),
    [
        (["*"], "every page"),
        ([], "pages of the same origin"),
        (["https://a", "null"], "pages of the same origin, https://a, null"),
        (ask, "pages of the same origin, and those that ask() lets in"),
        (Asker(), "pages of the same origin, and those that Asker() lets in"),
    ],
)
def test_a_policy_says_in_words_whom_it_lets_in(allowed: Any, words: str) -> None:
    assert OriginPolicy(allowed).describe() == words


@pytest.mark.parametrize("first", ["null", "moz-extension://*", "http://localhost:*", "https://*.example.com"])
def test_what_stands_behind_a_pattern_of_another_kind_is_read_too(first: str) -> None:
    assert lets_in(OriginPolicy([first, "https://app.example.org"]), make_scope([b"https://app.example.org"]))


HOSTS = st.one_of(
    st.from_regex(r"[a-z0-9_]([a-z0-9-]{0,5}[a-z0-9])?(\.[a-z][a-z0-9]{0,3}){0,3}", fullmatch=True),
    st.ip_addresses(v=4).map(str),
    st.ip_addresses(v=6).map("[{}]".format),
)
PORTS = st.none() | st.sampled_from([80, 443, 8000]) | st.integers(1, 65535)
ORIGINS = st.tuples(st.sampled_from(["http", "https"]), HOSTS, PORTS)
DEFAULT_PORTS = {"http": 80, "https": 443}


def write(host: str, port: int | None) -> str:
    return host if port is None else f"{host}:{port}"


def normalise(origin: tuple[str, str, int | None]) -> tuple[str, str, int]:
    scheme, host, port = origin
    return scheme, host, DEFAULT_PORTS[scheme] if port is None else port


@given(ORIGINS, ORIGINS)
@settings(deadline=None, max_examples=300)
def test_exactly_the_same_origin_is_let_in(
    page: tuple[str, str, int | None], server: tuple[str, str, int | None]
) -> None:
    for one, other in (
        (page, server),
        (page, page),
        (page, (page[0], page[1], server[2])),
        (page, (server[0], *page[1:])),
    ):
        origin = f"{one[0]}://{write(*one[1:])}"
        scope = make_scope([origin.encode()], [write(*other[1:]).upper().encode()], scheme=other[0])
        same = normalise(one) == normalise(other)
        assert lets_in(OriginPolicy(), scope) == same
        # By name, whatever the host is.
        assert lets_in(OriginPolicy([origin.upper()]), scope)


VALUES = st.one_of(
    st.binary(),
    st.lists(
        st.sampled_from(
            [b"http", b"https", b"://", b"example.com", b"*", b".", b":", b"80", b"[", b"::1", b"]", b"@", b"%"]
        )
    ).map(b"".join),
)


@given(st.lists(VALUES, max_size=3), st.lists(VALUES, max_size=3), st.sampled_from(["http", "wss", "", "x"]))
@settings(deadline=None, max_examples=500)
def test_no_bytes_make_it_raise(origins: list[bytes], hosts: list[bytes], scheme: str) -> None:
    patterns = ["https://*.example.com", "http://example.com", "null", "file://", "http://*.example.com:*", "app://*"]
    for policy in (OriginPolicy(), OriginPolicy(patterns), OriginPolicy(lambda origin, scope: False)):
        assert lets_in(policy, make_scope(origins, hosts, scheme=scheme)) or origins


@given(st.text() | VALUES.map(lambda value: value.decode("latin-1")))
@settings(deadline=None)
def test_a_pattern_is_taken_or_named(pattern: str) -> None:
    fault = find_fault(pattern)
    if fault is None:
        assert lets_in(OriginPolicy([pattern]), make_scope([pattern.replace(":*", "").replace("*", "a").encode()]))
    else:
        assert fault.startswith("allowed_origins: ")
