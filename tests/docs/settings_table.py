"""The tables of `docs/reference/settings.md`, from the signatures and docstrings of what they describe.

``python -m tests.docs.settings_table`` writes them.
"""

from __future__ import annotations

import dataclasses
import inspect
import re
from typing import TYPE_CHECKING, Any

from asgi_upgrade import (
    H2CSettings,
    HandshakeMiddleware,
    PerMessageDeflate,
    StreamSettings,
    TLSSettings,
    UpgradeMiddleware,
    WebSocketSettings,
)
from tests.docs.blocks import ROOT
from tests.docs_table import DocsTable

if TYPE_CHECKING:
    from collections.abc import Iterator

DOCS = DocsTable(
    ROOT / "docs" / "reference" / "settings.md", "<!-- Written by: python -m tests.docs.settings_table -->\n"
)
DESCRIBED: tuple[type[Any], ...] = (
    UpgradeMiddleware,
    WebSocketSettings,
    PerMessageDeflate,
    StreamSettings,
    H2CSettings,
    TLSSettings,
    HandshakeMiddleware,
)


def describe(kind: type[Any]) -> dict[str, str]:
    """What the docstring of a class says of each argument or field, in one line."""
    docstring = inspect.getdoc(kind) or ""
    _, heading, section = docstring.partition("Attributes:\n" if dataclasses.is_dataclass(kind) else "Args:\n")
    assert heading, f"{kind.__name__} does not describe its settings"
    section = re.split(r"^\S", section, maxsplit=1, flags=re.MULTILINE)[0]
    found = re.findall(r"^ {4}(\w+): ((?s:.*?))(?=^ {4}\w|\Z)", section, re.MULTILINE)
    return {name: " ".join(text.split()).replace("``", "`") for name, text in found}


def list_settings(kind: type[Any]) -> Iterator[tuple[str, str, str, str]]:
    """Of each setting its name, type, default and meaning."""
    texts = describe(kind)
    for parameter in inspect.signature(kind).parameters.values():
        if parameter.name == "app":
            continue
        text = texts.pop(parameter.name)
        told = re.search(r" Default: (.*?)\.(?= |$)", text)
        required = parameter.default is parameter.empty
        assert (told is None) == required, f"{kind.__name__}.{parameter.name}: the docstring does not tell its default"
        default, meaning = (told[1], text.replace(told[0], "")) if told else ("required", text)
        yield parameter.name, _shorten(str(parameter.annotation)), default, meaning
    texts.pop("app", None)
    assert not texts, f"{kind.__name__} describes what is not there: {', '.join(texts)}"


def _shorten(annotation: str) -> str:
    """A type as somebody would say it, without `|`, which separates the cells of a table."""
    spoken = {"AllowedOrigins": "Sequence[str] | Callable[[str, Scope], bool]", "ssl.SSLContext": "SSLContext"}
    for long, short in spoken.items():
        annotation = annotation.replace(long, short)
    return "` or `".join(annotation.split(" | "))


def render() -> str:
    """All tables."""
    text = ""
    for kind in DESCRIBED:
        text += f"\n## {kind.__name__}\n\n| setting | default | meaning |\n|---|---|---|\n"
        for row in list_settings(kind):
            assert "|" not in "".join(row), row  # not every renderer knows how to escape it
            name, annotation, default, meaning = row
            text += f"| **`{name}`**<br>`{annotation}` | {default} | {meaning} |\n"
    return text + "\n"


if __name__ == "__main__":
    DOCS.write(render())
