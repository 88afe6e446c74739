"""The first line of a request as it is logged: a client chooses every character of it."""

from __future__ import annotations

from typing import Any

import pytest

from asgi_upgrade.http.request_line import quote_path, request_line


@pytest.mark.parametrize(
    ("scope", "line"),
    [
        ({"path": "/rooms/1"}, "GET /rooms/1 HTTP/1.1"),
        ({"path": "/", "method": "POST", "http_version": "2"}, "POST / HTTP/2"),
        ({"path": "/", "query_string": b""}, "GET / HTTP/1.1"),
        ({"path": "/", "query_string": b"a=1&b=%20?/"}, "GET /?a=1&b=%20?/ HTTP/1.1"),
        ({"path": "/", "query_string": b'a b\r\n\x1b\xff"'}, "GET /?a%20b%0D%0A%1B%FF%22 HTTP/1.1"),
        ({"path": "/a b\r\nGET /?#%41"}, "GET /a%20b%0D%0AGET%20/%3F%23%2541 HTTP/1.1"),
        ({"path": "/b\u00fc\u2028\ud800"}, "GET /b%C3%BC%E2%80%A8%3F HTTP/1.1"),
        ({"path": "/!$&'()*+,;=:@~-._"}, "GET /!$&'()*+,;=:@~-._ HTTP/1.1"),
        ({"path": "/", "query_string": b"!$&'()*+,;=:@~-._"}, "GET /?!$&'()*+,;=:@~-._ HTTP/1.1"),
    ],
)
def test_a_line_has_nothing_that_does_not_print_and_no_ambiguity(scope: dict[str, Any], line: str) -> None:
    assert request_line({"method": "GET", "http_version": "1.1", **scope}) == line
    assert quote_path(scope["path"]) == line.split(" ")[1].partition("?")[0]
