"""What is compiled, and that it takes no other types than what is not."""

from __future__ import annotations

import gc
import os
import sys
import tracemalloc
from contextlib import suppress
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

import asgi_upgrade
from asgi_upgrade.websocket import frames
from asgi_upgrade.websocket.connection import Connection
from tests.unit.wire import BINARY, TEXT, frame

ROOT = Path(__file__).parent.parent.parent
EXPECTED = bool(os.environ.get("ASGI_UPGRADE_EXPECT_COMPILED"))


@pytest.mark.skipif(sys.version_info < (3, 11), reason="tomllib came with Python 3.11")
def test_all_modules_of_the_list_are_compiled_or_none() -> None:
    tomllib = import_module("tomllib")
    hooks = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]["wheel"]["hooks"]
    modules = [import_module(path.removesuffix(".py").replace("/", ".")) for path in hooks["custom"]["modules"]]
    assert modules
    assert {not str(module.__file__).endswith(".py") for module in modules} == {EXPECTED}
    assert asgi_upgrade.compiled is EXPECTED
    assert hooks["custom"]["extensions"]
    for path in hooks["custom"]["extensions"]:
        assert (find_spec(path.removesuffix(".c").replace("/", ".")) is not None) is EXPECTED


def connection() -> Connection:
    return Connection(max_message_size=1000, max_message_frames=8)


WRONG: dict[str, Any] = {
    "received text": lambda: connection().receive_data("text"),  # type: ignore[arg-type]
    "received None": lambda: connection().receive_data(None),  # type: ignore[arg-type]
    "text from bytes": lambda: connection().send_text(b"bytes"),  # type: ignore[arg-type]
    "text from None": lambda: connection().send_text(None),  # type: ignore[arg-type]
    "bytes from text": lambda: connection().send_bytes("text"),  # type: ignore[arg-type]
    "bytes from None": lambda: connection().send_bytes(None),  # type: ignore[arg-type]
    "a ping of text": lambda: connection().send_ping("text"),  # type: ignore[arg-type]
    "a code of text": lambda: connection().send_close("1000"),  # type: ignore[arg-type]
    "a reason of bytes": lambda: connection().send_close(1000, b"bytes"),  # type: ignore[arg-type]
    "a frame's size of text": lambda: frames.encode_header(0x81, "1"),  # type: ignore[arg-type]
    "a close frame's reason": lambda: frames.encode_close(1000, 3),  # type: ignore[arg-type]
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_type_is_a_type_error(name: str) -> None:
    with pytest.raises(TypeError):
        WRONG[name]()


if EXPECTED:
    ARGUMENTS: list[tuple[Any, tuple[Any, ...], type[Exception]]] = [
        (frames.read_messages, (), TypeError),
        (frames.read_messages, (b"", 0, 1), TypeError),
        (frames.read_messages, ("", 0, 1, []), TypeError),
        (frames.read_messages, (bytearray(), 0, 1, []), TypeError),
        (frames.read_messages, (b"", 0, 1, ()), TypeError),
        (frames.read_messages, (b"", "0", 1, []), TypeError),
        (frames.read_messages, (b"", 0, "1", []), TypeError),
        (frames.read_messages, (b"", 2**70, 1, []), OverflowError),
        (frames.read_messages, (b"", -1, 1, []), ValueError),
        (frames.apply_mask, (), TypeError),
        (frames.apply_mask, (b"",), TypeError),
        (frames.apply_mask, ("", b"1234"), TypeError),
        (frames.apply_mask, (b"", "1234"), TypeError),
        (frames.apply_mask, (b"", 5), TypeError),
        (frames.apply_mask, (b"", b""), ValueError),
        (frames.apply_mask, (b"", b"123"), ValueError),
        (frames.apply_mask, (b"", bytearray(b"12345")), ValueError),
    ]

    @pytest.mark.parametrize(("function", "arguments", "error"), ARGUMENTS)
    def test_functions_in_c_look_at_what_they_are_given(
        function: Any, arguments: tuple[Any, ...], error: type[Exception]
    ) -> None:
        with pytest.raises(error):
            function(*arguments)

    def test_functions_in_c_keep_nothing() -> None:
        data = frame(TEXT, "é".encode() * 20) + frame(BINARY, bytes(2000)) + frame(TEXT, b"a" * 2000)
        bad = frame(BINARY, b"1") + frame(TEXT, b"\xff" * 3)

        def read(count: int) -> int:
            tracemalloc.start()
            for _ in range(count):
                frames.read_messages(data, 0, 5000, [])
                with suppress(UnicodeDecodeError):
                    frames.read_messages(bad, 0, 5000, [])
                frames.apply_mask(memoryview(data)[1:], bytearray(b"1234"))
                with suppress(ValueError):
                    frames.apply_mask(bytearray(data), bytearray(b"123"))
            gc.collect()
            used = tracemalloc.get_traced_memory()[0]
            tracemalloc.stop()
            return used

        read(20)
        # An object that is lost is 33 bytes at least.
        assert read(1020) - read(20) < 10_000
