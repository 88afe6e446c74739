"""Requests that make offers or do not, and an application that tells what it sees of them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from starlette.types import Receive, Scope, Send

    from tests.unit.servers.uvicorn_connection import Answer

OFFER = b"Connection: keep-alive, Upgrade\r\nUpgrade: example/1\r\n"


async def read(receive: Receive) -> bytes:
    body, more = b"", True
    while more:
        message = await receive()
        assert message["type"] == "http.request", message
        body += message.get("body", b"")
        more = message.get("more_body", False)
    return body


async def respond(send: Send, data: bytes, status: int = 200, *headers: tuple[bytes, bytes]) -> None:
    length = (b"content-length", str(len(data)).encode())
    await send({"type": "http.response.start", "status": status, "headers": [length, *headers]})
    await send({"type": "http.response.body", "body": data})


async def describe(scope: Scope, receive: Receive, send: Send) -> None:
    """Say what has arrived."""
    body = await read(receive)
    facts = {
        "method": scope["method"],
        "path": scope["path"],
        "raw_path": scope["raw_path"].decode(),
        "query": scope["query_string"].decode(),
        "version": scope["http_version"],
        "hosts": [value.decode() for name, value in scope["headers"] if name == b"host"],
        "marks": [value.decode() for name, value in scope["headers"] if name == b"x-mark"],
        "offer": "http.upgrade" in scope.get("extensions", {}),
        "body": body.decode(),
    }
    await respond(send, json.dumps(facts).encode())


def request(line: bytes, *more: bytes, body: bytes = b"") -> bytes:
    return line + b" HTTP/1.1\r\nHost: example\r\n" + b"".join(more) + b"\r\n" + body


def chunked(*chunks: bytes, last: bytes = b"0\r\n\r\n") -> bytes:
    return b"".join(b"%x\r\n%b\r\n" % (len(each), each) for each in chunks) + last


def sized(body: bytes) -> tuple[bytes, bytes]:
    return b"Content-Length: %d\r\n" % len(body), body


LENGTH, BODY = sized(b"two\r\n\r\nlines")
CHUNKED = b"Transfer-Encoding: chunked\r\n"
CHUNKS = chunked(b"a\r\n\r\nb", b"\n0\r\n\r\n", b"c" * 40, b"0")
ALL = "a\r\n\r\nb\n0\r\n\r\n" + "c" * 40 + "0"
# Bytes of a request, what the application sees of it, whether it sees an offer.
REQUESTS: dict[str, tuple[bytes, dict[str, Any], bool]] = {
    "plain": (request(b"GET /plain?a=b", b"X-Mark: 1\r\n"), {"path": "/plain", "query": "a=b", "marks": ["1"]}, False),
    "offer": (request(b"GET /%6fffer?c", OFFER), {"path": "/offer", "raw_path": "/%6fffer", "query": "c"}, True),
    "offer, body": (
        request(b"POST /o?d=e", OFFER, LENGTH, b"X-Mark: 1\r\nX-Mark: 2\r\n", body=BODY),
        {"method": "POST", "path": "/o", "query": "d=e", "body": BODY.decode(), "marks": ["1", "2"]},
        True,
    ),
    "offer, chunks": (
        request(b"PUT /o", OFFER, CHUNKED, body=CHUNKS),
        {"method": "PUT", "path": "/o", "body": ALL},
        True,
    ),
    "offer, no body": (request(b"POST /o", OFFER, b"Content-Length: 0\r\n"), {"method": "POST", "path": "/o"}, True),
    "body": (
        request(b"POST /p", LENGTH, body=BODY),
        {"method": "POST", "path": "/p", "body": BODY.decode()},
        False,
    ),
    "chunks": (
        request(b"POST /p", CHUNKED, body=CHUNKS),
        {"method": "POST", "path": "/p", "body": ALL},
        False,
    ),
    "trailers": (
        request(b"POST /p", CHUNKED, body=chunked(b"x", last=b"0\r\nX-Trailer: 9\r\n\r\n")),
        {"method": "POST", "path": "/p", "body": "x"},
        False,
    ),
    "no chunks": (request(b"POST /p", CHUNKED, body=b"0\r\n\r\n"), {"method": "POST", "path": "/p"}, False),
    "half an offer": (request(b"GET /h", b"Upgrade: example/1\r\n"), {"path": "/h"}, False),
    "the other half": (request(b"GET /h", b"Connection: upgrade\r\n"), {"path": "/h"}, False),
}
# RFC 9112 §3.2.2: the authority of the target counts, whatever Host says. §3.2.4: `*` names the server.
TARGETS: dict[str, tuple[bytes, dict[str, Any], bool]] = {
    "absolute": (
        request(b"GET http://other:81/a%20b?q=1", b"X-Mark: 1\r\n"),
        {"path": "/a b", "raw_path": "/a%20b", "query": "q=1", "hosts": ["other:81"], "marks": ["1"]},
        False,
    ),
    "absolute, offer": (request(b"GET HTTP://other/a", OFFER), {"path": "/a", "hosts": ["other"]}, True),
    "absolute, offer, body": (
        request(b"POST http://other/a?b=c", OFFER, LENGTH, body=BODY),
        {"method": "POST", "path": "/a", "query": "b=c", "hosts": ["other"], "body": BODY.decode()},
        True,
    ),
    "absolute, options": (
        request(b"OPTIONS http://other/a", OFFER),
        {"method": "OPTIONS", "path": "/a", "hosts": ["other"]},
        True,
    ),
    "absolute, no path": (request(b"GET http://other"), {"path": "/", "hosts": ["other"]}, False),
    "absolute, the server": (
        request(b"OPTIONS http://other", OFFER),
        {"method": "OPTIONS", "path": "*", "hosts": ["other"]},
        True,
    ),
    "a colon in a path": (request(b"GET /a:b//c"), {"path": "/a:b//c"}, False),
    "the server": (request(b"OPTIONS *", OFFER), {"method": "OPTIONS", "path": "*"}, True),
    "the server, body": (
        request(b"OPTIONS *", OFFER, LENGTH, body=BODY),
        {"method": "OPTIONS", "path": "*", "body": BODY.decode()},
        True,
    ),
}


def expected(facts: dict[str, Any], *, offer: bool, root_path: str = "") -> dict[str, Any]:
    known = {
        "method": "GET",
        "query": "",
        "version": "1.1",
        "hosts": ["example"],
        "marks": [],
        "offer": offer,
        "body": "",
        "raw_path": facts["path"].replace(" ", "%20"),
        **facts,
    }
    return {**known, "path": root_path + known["path"], "raw_path": root_path + known["raw_path"]}


def check(answer: Answer, name: str, root_path: str = "") -> None:
    _, facts, offer = {**REQUESTS, **TARGETS}[name]
    assert answer.status == 200, (name, answer)
    assert json.loads(answer.body) == expected(facts, offer=offer, root_path=root_path), name
