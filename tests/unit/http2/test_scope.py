"""Requests of HTTP/2 as scopes, and the budget of a peer."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asgi_upgrade.http2.budget import Budget
from asgi_upgrade.http2.scope import MalformedRequestError, Request, ScopeTemplate

FIRST: dict[str, Any] = {
    "type": "http",
    "asgi": {"version": "3.0", "spec_version": "2.3"},
    "http_version": "1.1",
    "server": ("127.0.0.1", 80),
    "client": ("127.0.0.1", 1234),
    "scheme": "http",
    "method": "POST",
    "root_path": "/api",
    "path": "/api/first",
    "raw_path": b"/api/first",
    "query_string": b"",
    "headers": [
        (b"host", b"example.com"),
        (b"connection", b"Upgrade, HTTP2-Settings, X-Hop"),
        (b"upgrade", b"h2c"),
        (b"http2-settings", b""),
        (b"x-hop", b"dropped"),
        (b"transfer-encoding", b"chunked"),
        (b"x-end", b"kept"),
    ],
    "state": {"shared": 1},
    "extensions": {"http.upgrade": {"version": "1.0"}, "other": {}},
}
GET = [(b":method", b"GET"), (b":scheme", b"http"), (b":authority", b"example.com")]


def request(path: bytes, *fields: tuple[bytes, bytes]) -> Request:
    return Request([*GET, (b":path", path), *fields])


def test_the_first_request_has_no_fields_of_its_connection() -> None:
    scope = ScopeTemplate(FIRST).first()
    assert scope["headers"] == [(b"host", b"example.com"), (b"x-end", b"kept")]
    assert (scope["http_version"], scope["path"], scope["method"]) == ("2", "/api/first", "POST")
    assert scope["extensions"] == {"other": {}, "http.response.trailers": {}}
    assert FIRST["http_version"] == "1.1"


@pytest.mark.parametrize(
    ("target", "path", "raw_path", "query_string"),
    [
        (b"/", "/api/", b"/api/", b""),
        (b"/a?b?c", "/api/a", b"/api/a", b"b?c"),
        (b"/gr%C3%BC%C3%9Fe%2f?%20", "/api/grüße/", b"/api/gr%C3%BC%C3%9Fe%2f", b"%20"),
        (b"//twice", "/api//twice", b"/api//twice", b""),
        (b"*", "/api*", b"/api*", b""),
    ],
)
def test_targets(target: bytes, path: str, raw_path: bytes, query_string: bytes) -> None:
    scope = ScopeTemplate(FIRST).build(request(target), "PUT")
    assert (scope["path"], scope["raw_path"], scope["query_string"]) == (path, raw_path, query_string)
    assert scope["method"] == "PUT"


@pytest.mark.parametrize("target", [b"", b"a", b"http://example.com/", b"/ ", b"/\xfc", b"*a", b"/\x7f"])
def test_malformed_targets(target: bytes) -> None:
    with pytest.raises(MalformedRequestError):
        ScopeTemplate(FIRST).build(request(target), "GET")


def test_a_request_without_a_path_is_malformed() -> None:
    with pytest.raises(MalformedRequestError):
        ScopeTemplate(FIRST).build(Request(GET), "GET")


def test_a_root_path_may_have_any_characters() -> None:
    scope = ScopeTemplate({**FIRST, "root_path": "/ü"}).build(request(b"/a"), "GET")
    assert (scope["path"], scope["raw_path"]) == ("/ü/a", b"//a")


def test_requests_share_nothing_that_they_may_change() -> None:
    template = ScopeTemplate(FIRST)
    one, two = template.build(request(b"/"), "GET"), template.build(request(b"/"), "GET")
    one["state"]["mine"] = True
    one["extensions"]["mine"] = {}
    assert two["state"] == FIRST["state"] == {"shared": 1}
    assert "mine" not in two["extensions"]


def test_a_server_without_state_has_none() -> None:
    first = {name: value for name, value in FIRST.items() if name not in ("state", "extensions", "root_path")}
    scope = ScopeTemplate(first).build(request(b"/"), "GET")
    assert "state" not in scope
    assert scope["path"] == "/"


def test_authority_goes_before_host() -> None:
    assert request(b"/", (b"a", b"1"), (b"host", b"other")).headers == [(b"host", b"example.com"), (b"a", b"1")]
    assert Request([(b":path", b"/"), (b"host", b"other")]).headers == [(b"host", b"other")]


@pytest.mark.parametrize(
    "field",
    [
        (b"", b""),
        (b"Upper", b""),
        (b"x y", b""),
        (b"x:", b""),
        (b"x\xe4", b""),
        (b"x", b"a\r\nb: c"),
        (b"x", b"\0"),
        (b"x", b"\x7f"),
        (b":path", b"/\n"),
    ],
)
def test_fields_that_are_not_allowed(field: tuple[bytes, bytes]) -> None:
    with pytest.raises(MalformedRequestError):
        request(b"/", field)
    with pytest.raises(MalformedRequestError):
        request(b"/", (b"x", b"1"), field, (b"y", b"2"))


@given(fields=st.lists(st.tuples(st.binary(max_size=6), st.binary(max_size=6)), max_size=5))
def test_what_is_let_in_could_stand_in_http1(fields: list[tuple[bytes, bytes]]) -> None:
    try:
        headers = Request(fields).headers
    except MalformedRequestError:
        return
    for name, value in headers:
        assert name
        assert name == name.lower()
        assert not set(name) & set(b" :\r\n\0")
        assert not set(value) & set(b"\r\n\0")


def test_a_budget_is_used_up() -> None:
    budget = Budget(0.0)
    assert all(budget.spend(1, 0.0) for _ in range(1000))
    assert not budget.spend(1, 0.0)


def test_a_budget_recovers_with_time_and_work() -> None:
    budget = Budget(0.0)
    assert budget.spend(1000, 0.0)
    assert budget.spend(1, 1.0)  # a hundred more by now
    assert budget.spend(99, 1.0)
    assert not budget.spend(1, 1.0)
    budget.earn(10)
    assert budget.spend(9, 1.0)
    budget.earn(10_000)
    assert budget.spend(1000, 1.0)
    assert not budget.spend(1, 1.0)
