"""What is compiled, and that it takes no other types than what is not."""

from __future__ import annotations

import os
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

import asgi_upgrade
from asgi_upgrade.websocket import frames
from asgi_upgrade.websocket.connection import Connection

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
