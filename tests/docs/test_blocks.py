"""The Python examples in the README and the docs do what a reader would have them do, as they are printed."""

from __future__ import annotations

import asyncio
import inspect
import runpy
from typing import TYPE_CHECKING, Any

import pytest
from starlette.applications import Starlette

from asgi_upgrade import UpgradeMiddleware
from tests.docs.blocks import ROOT, Block, join_chains, read_all

if TYPE_CHECKING:
    from pathlib import Path

ALL = read_all()
CHAINS = [chain for chain in join_chains(ALL) if chain[0].mark in ("", "with")]
QUOTATIONS = [block for block in ALL if block.mark == "from"]

# Starlette prefers the successor of HTTPX, which not every version that we support knows.
pytestmark = pytest.mark.filterwarnings("ignore:Using `httpx` with")


def run_tests(names: dict[str, Any]) -> None:
    """Run what the example calls tests, as pytest would."""
    for name, function in list(names.items()):
        if name.startswith("test_") and callable(function):
            result = function()
            if inspect.isawaitable(result):
                asyncio.run(_wait(result))


async def _wait(result: Any) -> None:
    await result


async def start_and_stop(app: Any) -> None:
    """Run the lifespan: what cannot work together is refused there at the latest."""
    sent: list[str] = []

    async def receive() -> dict[str, str]:
        return {"type": "lifespan.shutdown" if sent else "lifespan.startup"}

    async def send(message: dict[str, str]) -> None:
        sent.append(message["type"])

    await app({"type": "lifespan", "asgi": {"version": "3.0"}, "state": {}}, receive, send)
    assert sent == ["lifespan.startup.complete", "lifespan.shutdown.complete"]


@pytest.mark.parametrize("chain", CHAINS, ids=lambda chain: str(chain[0]))
def test_an_example_runs_as_printed(chain: list[Block], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    first = chain[0]
    if first.mark == "with":
        # Programs of several files import each other by their directory.
        monkeypatch.syspath_prepend(str((ROOT / first.program).parent))
        names = runpy.run_path(str(ROOT / first.program))
    else:
        names = {"__name__": "printed"}
    for block in chain:
        exec(compile(block.placed_code, ROOT / block.page, "exec", dont_inherit=True), names)
    run_tests(names)
    if isinstance(names.get("app"), (Starlette, UpgradeMiddleware)):
        asyncio.run(start_and_stop(names["app"]))


@pytest.mark.parametrize("block", QUOTATIONS, ids=str)
def test_a_quotation_is_in_its_program(block: Block) -> None:
    assert block.code in (ROOT / block.program).read_text(encoding="utf-8")


def test_there_are_examples() -> None:
    """A pattern that finds nothing would pass all the tests above."""
    assert {"README.md", "docs/guides/middleware.md"} <= {block.page for block in ALL}
    for page in {block.page for block in ALL}:
        printed = (ROOT / page).read_text(encoding="utf-8").count("```python")
        assert printed == sum(block.page == page for block in ALL), page
