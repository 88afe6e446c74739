import re
import string
import time
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asgi_upgrade.http import headers
from asgi_upgrade.http.headers import (
    MAX_LIST_SIZE,
    ExtensionOffer,
    FieldTooLargeError,
    HeaderError,
    check_response_headers,
    collect,
    get_all,
    is_token,
    parse_extensions,
    parse_host,
    parse_list,
    parse_tokens,
)

TOKEN_CHARACTERS = string.ascii_letters + string.digits + "!#$%&'*+-.^_`|~"
CONTROLS = [bytes([byte]) for byte in (*range(9), *range(10, 32), 127)]
OWS = st.text(" \t", max_size=3)
TOKENS = st.text(TOKEN_CHARACTERS, min_size=1, max_size=8)
# Most bytes that fuzzing finds make a field malformed at once; these get further.
FIELD_VALUES = st.one_of(st.binary(), st.text('ab,;="\\ \t%[]:.1', max_size=40).map(str.encode))


def find_fault(parse: Callable[[Any], object], value: object) -> str | None:
    """Return the message of the `HeaderError` that parsing raises, None if it raises nothing."""
    try:
        parse(value)
    except HeaderError as error:
        return str(error)
    return None


def is_fit_for_clients(fault: str | None) -> bool:
    return fault is None or re.fullmatch(r"[ -~]+", fault) is not None


def test_token_is_exactly_the_characters_of_the_rfc() -> None:
    assert {chr(code) for code in range(0x300) if is_token(chr(code))} == set(TOKEN_CHARACTERS)
    assert is_token("WebSocket-13")
    assert not is_token("")
    assert not is_token("two words")
    assert not is_token("line\n")


def test_get_all_returns_every_line_in_order() -> None:
    headers = [(b"Via", b"1"), (b"host", b"x"), (b"via", b"2"), (b"VIA", b""), (b"via2", b"3")]
    assert get_all(headers, b"via") == [b"1", b"2", b""]
    assert get_all(headers, b"te") == []
    assert get_all(iter(headers), b"host") == [b"x"]


def test_collect_is_get_all_for_several_names() -> None:
    headers = [(b"Via", b"1"), (b"host", b"x"), (b"via", b"2"), (b"cookie", b"c")]
    assert collect(headers, frozenset({b"via", b"host", b"te"})) == {b"via": [b"1", b"2"], b"host": [b"x"]}


@pytest.mark.parametrize(
    ("lines", "elements"),
    [
        ([], []),
        ([b""], []),
        ([b" \t"], []),
        ([b"a"], ["a"]),
        ([b"a,b"], ["a", "b"]),
        ([b" a\t,\t b "], ["a", "b"]),
        ([b"a", b"b, c", b"", b"d"], ["a", "b", "c", "d"]),
        ([b",,a, ,\t,b,"], ["a", "b"]),
        ([b'a;x="1,2", b'], ['a;x="1,2"', "b"]),
        ([b'"a\\",b",c'], ['"a\\",b"', "c"]),
        ([b'"\\\\",c'], ['"\\\\"', "c"]),
        ([b'"",c'], ['""', "c"]),
        ([b'a"b,c"d'], ['a"b,c"d']),
        ([b"back\\slash,\\,"], ["back\\slash", "\\"]),
        ([b"\xe4,\xa0,\x85"], ["\xe4", "\xa0", "\x85"]),
        ([b'"tab\there"'], ['"tab\there"']),
    ],
)
def test_parse_list(lines: list[bytes], elements: list[str]) -> None:
    assert parse_list(lines) == elements


@pytest.mark.parametrize("line", [b'"', b'a, "b', b'"a\\"', b'a""" , b', b'"\\'])
@pytest.mark.parametrize("others", [[], [b'x"']])
def test_a_quoted_string_must_end_on_its_line(line: bytes, others: list[bytes]) -> None:
    with pytest.raises(HeaderError, match="has no end"):
        parse_list([line, *others])


@pytest.mark.parametrize("parse", [parse_list, parse_tokens, parse_extensions])
def test_a_list_is_read_up_to_a_size_over_all_its_lines(parse: Callable[[list[bytes]], list[Any]]) -> None:
    longest = b"a" * (MAX_LIST_SIZE // 2)
    assert len(parse([longest, longest])) == 2
    for lines in ([longest, longest, b"b"], [b"a" * (MAX_LIST_SIZE + 1)], [b"," * 1024] * 17):
        with pytest.raises(FieldTooLargeError):
            parse(lines)


@pytest.mark.parametrize("control", CONTROLS)
@pytest.mark.parametrize("template", [b"a%sb", b"%s", b'"%s"', b'"\\%s"', b"a,%s"])
def test_control_characters_are_malformed(template: bytes, control: bytes) -> None:
    with pytest.raises(HeaderError, match="control character"):
        parse_list([b"first", template % control])


def test_parse_tokens() -> None:
    assert parse_tokens([b"keep-alive, Upgrade", b"", b"x"]) == ["keep-alive", "Upgrade", "x"]


@pytest.mark.parametrize("line", [b"a b", b"a/b", b'"a"', b"a;q=1", b"a,b c", b"\xe4", b"(a)", b"a:"])
def test_parse_tokens_takes_nothing_but_tokens(line: bytes) -> None:
    with pytest.raises(HeaderError, match="tokens"):
        parse_tokens([line])


@pytest.mark.parametrize(
    ("lines", "offers"),
    [
        ([], []),
        ([b"permessage-deflate"], [("permessage-deflate", ())]),
        (
            [b"permessage-deflate; client_max_window_bits"],
            [("permessage-deflate", (("client_max_window_bits", None),))],
        ),
        ([b"foo;a=1;b=2"], [("foo", (("a", "1"), ("b", "2")))]),
        ([b"foo ; a = 1\t;\tb"], [("foo", (("a", "1"), ("b", None)))]),
        ([b'foo; a="10"; b="x\\y"'], [("foo", (("a", "10"), ("b", "xy")))]),
        ([b"foo; a; a=1; a"], [("foo", (("a", None), ("a", "1"), ("a", None)))]),
        ([b"foo; a=1, foo; a=2, foo"], [("foo", (("a", "1"),)), ("foo", (("a", "2"),)), ("foo", ())]),
        ([b"foo", b"bar; x", b", baz ,"], [("foo", ()), ("bar", (("x", None),)), ("baz", ())]),
        ([b"Foo; Bar=Baz"], [("Foo", (("Bar", "Baz"),))]),
    ],
)
def test_parse_extensions(lines: list[bytes], offers: list[tuple[str, tuple[tuple[str, str | None], ...]]]) -> None:
    assert parse_extensions(lines) == [ExtensionOffer(name, parameters) for name, parameters in offers]


@pytest.mark.parametrize(
    "line",
    [
        b"foo;",
        b"foo;;a",
        b"foo; a=",
        b"foo; =1",
        b"foo a",
        b"foo; a b",
        b"foo; a=1 2",
        b"foo=1",
        b";a",
        b'"foo"',
        b'foo; "a"',
        b'foo; a=""',
        b'foo; a="1,2"',
        b'foo; a="1 2"',
        b'foo; a="\\""',
        b'foo; a="1"2',
        b'foo; a=1"2"',
        b'foo; a="1',
        b"foo; a=\xe4",
        b"foo/1",
        b"foo, bar;",
        b"foo; a=1\r\nx: y",
    ],
)
def test_malformed_extensions(line: bytes) -> None:
    with pytest.raises(HeaderError) as caught:
        parse_extensions([line])
    # The same line once more: nothing wrong may have been remembered.
    with pytest.raises(HeaderError, match=re.escape(str(caught.value))):
        parse_extensions([line])


@pytest.mark.parametrize(
    ("value", "host"),
    [
        (b"example.com", ("example.com", None)),
        (b"Example.COM:8000", ("example.com", 8000)),
        (b"example.com:", ("example.com", None)),
        (b"example.com.", ("example.com.", None)),
        (b"127.0.0.1:80", ("127.0.0.1", 80)),
        (b"localhost:0", ("localhost", 0)),
        (b"localhost:00080", ("localhost", 80)),
        (b"localhost:65535", ("localhost", 65535)),
        (b"my_service:1", ("my_service", 1)),
        (b"xn--bcher-kva.example", ("xn--bcher-kva.example", None)),
        (b"a%2Fb", ("a%2fb", None)),
        (b"[::1]", ("[::1]", None)),
        (b"[::1]:8000", ("[::1]", 8000)),
        (b"[2001:DB8:0:0::0:1]:443", ("[2001:db8::1]", 443)),
    ],
)
def test_parse_host(value: bytes, host: tuple[str, int | None]) -> None:
    assert parse_host(value) == host


def test_an_ipv4_address_within_ipv6_has_one_form() -> None:
    assert parse_host(b"[::ffff:1.2.3.4]") == parse_host(b"[::FFFF:102:304]")


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b":80",
        b"a b",
        b" a",
        b"a/",
        b"a:b",
        b"a:1:2",
        b"a:65536",
        b"a:000080",
        b"a:-1",
        b"a:+1",
        b"a:\xb2",
        b"user@a",
        b"a?b",
        b"a#b",
        b"a%",
        b"a%2",
        b"a%gg",
        b"\xe4",
        b"a\n",
        b"a\x00",
        b"::1",
        b"[::1",
        b"[]",
        b"[:::1]",
        b"[1.2.3.4]",
        b"[fe80::1%25eth0]",
        b"[v1.a]",
        b"[::1]a",
        b"https://a",
    ],
)
def test_malformed_hosts(value: bytes) -> None:
    with pytest.raises(HeaderError):
        parse_host(value)


class OwnBytes(bytes):
    """Byte strings of somebody who derives from them."""


@pytest.mark.parametrize("kind", [bytes, OwnBytes])
def test_response_headers_are_lower_cased_and_trimmed(kind: type[bytes]) -> None:
    headers = [(b"Set-Cookie", b"a=1"), (b"set-cookie", b" b=2\t"), (b"X", b""), (b"y", b"\xe4\t!"), (b"z", b"XX 1 XX")]
    assert check_response_headers([(kind(name), kind(value)) for name, value in headers]) == [
        (b"set-cookie", b"a=1"),
        (b"set-cookie", b"b=2"),
        (b"x", b""),
        (b"y", b"\xe4\t!"),
        (b"z", b"XX 1 XX"),
    ]
    assert check_response_headers(iter(())) == []


@pytest.mark.parametrize("value", [b"websocket", b"XX 1 XX", b" a b ", b"", b"\ta", b"a\tb", b"\xe4", b" \t\xff \t"])
def test_usual_response_headers_come_back_as_others_do(value: bytes) -> None:
    for name in (b"upgrade", b"x-name"):
        assert check_response_headers([(name, value)]) == [(name, value.strip(b" \t"))]


@pytest.mark.parametrize("control", CONTROLS)
def test_response_headers_cannot_break_out_of_their_line(control: bytes) -> None:
    for name in (b"x-name", b"upgrade"):
        with pytest.raises(ValueError, match=rf"b'{name.decode()}'.*control character"):
            check_response_headers([(b"vary", b"1"), (name, b"a" + control + b"b")])
    with pytest.raises(ValueError, match=r"x-.*not a token"):
        check_response_headers([(b"x-" + control, b"a")])


@pytest.mark.parametrize("name", [b"", b"a b", b"a:", b":status", b"\xe4", b" a", b"a\t"])
def test_response_header_names_are_tokens(name: bytes) -> None:
    with pytest.raises(ValueError, match=re.escape(repr(name))):
        check_response_headers([(name, b"a")])


@pytest.mark.parametrize(
    "header", [("x-name", b"a"), (b"x-name", "a"), (b"x-name", 3), (b"vary", None), ("vary", b"a")]
)
def test_response_headers_are_byte_strings(header: tuple[bytes, bytes]) -> None:
    with pytest.raises(TypeError, match=r"(x-name|vary).*byte strings"):
        check_response_headers([header])


@given(st.lists(FIELD_VALUES, max_size=4))
@settings(deadline=None)
def test_parsers_raise_nothing_but_header_error(lines: list[bytes]) -> None:
    parsers: list[Callable[[list[bytes]], object]] = [parse_list, parse_tokens, parse_extensions]
    for parse in parsers:
        assert is_fit_for_clients(find_fault(parse, lines))


@given(FIELD_VALUES)
@settings(deadline=None)
def test_parse_host_raises_nothing_but_header_error(value: bytes) -> None:
    fault = find_fault(parse_host, value)
    assert is_fit_for_clients(fault)
    if fault is None:
        host, port = parse_host(value)
        assert parse_host(host.encode() + (b"" if port is None else b":%d" % port)) == (host, port)


@given(st.lists(st.lists(st.tuples(OWS, TOKENS | st.just(""), OWS))))
@settings(deadline=None)
def test_tokens_survive_any_arrangement_in_lines(lines: list[list[tuple[str, str, str]]]) -> None:
    raw = [",".join("".join(element) for element in line).encode() for line in lines]
    assert parse_tokens(raw) == [token for line in lines for _, token, _ in line if token]


@given(st.lists(st.text(st.characters(codec="latin-1", exclude_categories=["Cc"]))))
@settings(deadline=None)
def test_quoted_strings_keep_their_commas(values: list[str]) -> None:
    quoted = ['"{}"'.format(re.sub(r'(["\\])', r"\\\1", value)) for value in values]
    assert parse_list([", ".join(quoted).encode("latin-1")]) == quoted


EXTENSIONS = st.builds(ExtensionOffer, TOKENS, st.lists(st.tuples(TOKENS, st.none() | TOKENS)).map(tuple))


@given(st.lists(EXTENSIONS))
@settings(deadline=None)
def test_extensions_survive_a_round_trip(offers: list[ExtensionOffer]) -> None:
    assert parse_extensions([", ".join(map(str, offers)).encode()]) == offers
    assert parse_extensions([str(offer).encode() for offer in offers]) == offers
    quoted = [re.sub(r"=([^;]+)", r' = "\\\1"', str(offer)) for offer in offers]
    assert parse_extensions([",".join(quoted).encode()]) == offers


@pytest.mark.parametrize(
    "value",
    [
        b"," * 65536,
        b" " * 65536 + b"x",
        b'"' * 65535,
        b"a" + b'""' * 300000,
        b'a"b,c"' * 60000,
        b'"' + b"\\a" * 32768,
        b"a;b" * 20000 + b"=",
        b"a" + b" ;b" * 20000 + b" " * 4000 + b"/",
        b'a;b="' + b"\\" * 65534,
        b"a;b" + b" " * 65536 + b"c",
        b"%41" * 20000 + b"%",
        b"[" + b":" * 65536,
        b"a" * 65536 + b":" + b"1" * 65536,
    ],
    ids=lambda value: repr(value[:8]),
)
def test_parsing_takes_linear_time(value: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(headers, "MAX_LIST_SIZE", 1024 * 1024)
    start = time.process_time()
    find_fault(parse_list, [value])
    find_fault(parse_tokens, [value])
    find_fault(parse_extensions, [value])
    find_fault(parse_host, value)
    # Quadratic time would be seconds or minutes.
    assert time.process_time() - start < 2
