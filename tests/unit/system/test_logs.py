"""No record of the package's loggers has a character that does not print, whatever a client has sent."""

from __future__ import annotations

import ast
import logging
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

import asgi_upgrade
from asgi_upgrade.system.logs import make_printable, printable

PACKAGE = Path(asgi_upgrade.__file__).parent
LEVELS = ("debug", "info", "warning", "error", "critical", "exception", "log")
# Conversions of the templates that take text.
TEXT = re.compile(r"%[sra]")
NUMBER = re.compile(r"%(?:d|g|\.\df)")

HOSTILE = st.one_of(
    st.text(),
    st.text("\r\n\t\0\x1b\x7f\x85\x9b\u2028\u202e\ud800 \xa0ab%\\'\"", max_size=20),
    st.binary(max_size=20).map(lambda data: data.decode("latin-1")),
)


class Site(NamedTuple):
    """A call that writes a log record."""

    place: str
    logger: str
    template: str
    arguments: int


def sites() -> Iterator[Site]:
    """All calls in the package that log something."""
    for path in sorted(PACKAGE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in LEVELS:
                logger = ast.unparse(node.func.value)
                if not logger.endswith("logger"):
                    continue
                place = f"{path.relative_to(PACKAGE)}:{node.lineno}"
                template = node.args[0]
                assert isinstance(template, ast.Constant), f"{place}: the message must be a constant, with arguments"
                yield Site(place, logger, str(template.value), len(node.args) - 1)


SITES = list(sites())
# Files that use loggers of the server, which our filter does not see: what they pass on is made safe there.
SERVERS_LOGGERS = {"servers/uvicorn/httptools_protocol.py": 0, "servers/uvicorn/upgrades.py": 2, "http2/stream.py": 1}


def names_server(site: Site) -> bool:
    return site.place.rpartition(":")[0] in SERVERS_LOGGERS


def test_the_sites_are_found() -> None:
    source = "".join(path.read_text() for path in PACKAGE.rglob("*.py"))
    assert len(SITES) == len(re.findall(rf"\blogger\.(?:{'|'.join(LEVELS)})\(", source)) > 15


@pytest.mark.parametrize("site", SITES, ids=lambda site: site.place)
def test_the_message_itself_prints(site: Site) -> None:
    assert site.template.isprintable()
    assert len(TEXT.findall(site.template)) + len(NUMBER.findall(site.template)) == site.arguments


def test_every_other_logger_is_ours() -> None:
    for path in PACKAGE.rglob("*.py"):
        named = set(re.findall(r"getLogger\(([^)]*)\)", path.read_text()))
        if path.name == "logs.py" and path.parent.name == "uvicorn":
            named.discard('"uvicorn.error"')  # whose handlers get our records too
        assert named <= {'"asgi_upgrade"'}, path
    assert {site.logger for site in SITES if not names_server(site)} == {"logger"}


def test_text_for_the_loggers_of_servers_is_made_safe_where_it_is_passed_on() -> None:
    for name, count in SERVERS_LOGGERS.items():
        assert (PACKAGE / name).read_text().count("printable(") == count, name


@pytest.mark.parametrize("site", [site for site in SITES if not names_server(site)], ids=lambda site: site.place)
@given(text=HOSTILE)
def test_no_record_has_a_character_that_does_not_print(site: Site, text: str) -> None:
    logger = logging.getLogger("asgi_upgrade")
    handler = _Collector()
    logger.addHandler(handler)
    level = logger.level
    logger.setLevel(logging.DEBUG)
    try:
        for value in (text, OSError(text), [text], _Named(text)):
            conversions = re.findall(r"%(?:\.\df|[sradg])", site.template)
            arguments = [7 if NUMBER.fullmatch(conversion) else value for conversion in conversions]
            logger.error(site.template, *arguments)
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)
    assert len(handler.messages) == 4
    for message in handler.messages:
        assert message.isprintable()
        message.encode()


class _Collector(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self.messages: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.messages.append(record.getMessage())


class _Named:
    """An object whose text is anything, by both ways."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __str__(self) -> str:
        return self.name

    __repr__ = __str__


@pytest.mark.parametrize(
    ("text", "safe"),
    [
        ("plain, äöü € 日本", "plain, äöü € 日本"),
        ("a\r\nINFO: forged", "a\\r\\nINFO: forged"),
        ("\x1b[31m\0\x7f\x9b", "\\x1b[31m\\x00\\x7f\\x9b"),
        ("\u202e\u2028\xa0", "\\u202e\\u2028\\xa0"),
        ("\ud800", "\\ud800"),
        ("back\\slash", "back\\slash"),
        ("äöü € 日本\n", "äöü € 日本\\n"),
    ],
)
def test_printable(text: str, safe: str) -> None:
    assert printable(text) == safe


@given(HOSTILE)
def test_printable_prints(text: str) -> None:
    assert printable(text).isprintable()


@pytest.mark.parametrize(
    ("template", "arguments", "line"),
    [
        ("%s asked for %s", ("GET", "/äöü"), "GET asked for /äöü"),
        ("%s", ("a\nb",), "a\\nb"),
        ("%r", ("a\nb",), "'a\\nb'"),
        ("%s and %r", (OSError("a\nb"), OSError("c")), "a\\nb and OSError('c')"),
        ("%s and %r", (_Named("a\n日"), _Named("b\n日")), "a\\n日 and b\\n日"),
        ("%d after %.1f s", (1011, 0.5), "1011 after 0.5 s"),
    ],
)
def test_a_record_says_what_it_is_about(template: str, arguments: tuple[object, ...], line: str) -> None:
    record = logging.LogRecord("asgi_upgrade", logging.INFO, "", 1, template, arguments, None)
    assert make_printable(record)
    assert record.getMessage() == line


def test_a_record_without_arguments_passes() -> None:
    assert make_printable(logging.LogRecord("asgi_upgrade", logging.INFO, "", 1, "message", None, None))
