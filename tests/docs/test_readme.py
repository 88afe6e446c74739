"""The README: what it promises of its example, and what PyPI needs of its links."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import httpx
import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from tests.docs.blocks import ROOT, read_blocks
from tests.server.support.process import uvicorn

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.server.support.process import Server

README = ROOT / "README.md"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    [block] = read_blocks(README)
    (tmp_path / "app.py").write_text(block.code, encoding="utf-8")
    with uvicorn("app:app", "--app-dir", str(tmp_path)) as server:
        yield server


def test_its_example_guards_the_page_and_the_websocket(server: Server) -> None:
    with pytest.raises(InvalidStatus) as refused, connect(server.url("ws", "/chat")):
        pass
    assert refused.value.response.status_code == 401
    with httpx.Client(base_url=server.url("http", "")) as client:
        assert client.get("/").status_code == 401
        assert client.post("/login").headers["location"] == "/"
        assert "new WebSocket" in client.get("/").text
        cookie = f"session={client.cookies['session']}"
    with connect(server.url("ws", "/chat"), additional_headers={"Cookie": cookie}) as websocket:
        websocket.send("hello")
        assert websocket.recv() == "ada: hello"


def test_its_links_work_on_pypi() -> None:
    """Relative ones lead nowhere there."""
    text = README.read_text(encoding="utf-8")
    targets = re.findall(r"\]\((.*?)\)", text) + re.findall(r'(?:src|srcset|href)="(.*?)"', text)
    assert len(targets) > 8
    assert [target for target in targets if not target.startswith("https://")] == []


def test_its_links_lead_to_what_is_there() -> None:
    text = README.read_text(encoding="utf-8")
    for page in re.findall(r"https://asgi-upgrade\.github\.io/asgi-upgrade/([\w/-]*)", text):
        path = ROOT / "docs" / page
        assert (path / "index.md").is_file() or path.with_suffix(".md").is_file(), page
    for file in re.findall(r"asgi-upgrade/asgi-upgrade/(?:blob/)?main/([\w./-]+)", text):
        assert (ROOT / file).is_file(), file


def test_the_addresses_are_those_of_the_package() -> None:
    """They stand in three files, which have to move together."""
    pyproject = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    site = (ROOT / "zensical.toml").read_text(encoding="utf-8")
    [documentation] = re.findall(r'^Documentation = "(.*)"', pyproject, re.MULTILINE)
    [source] = re.findall(r'^Source = "(.*)"', pyproject, re.MULTILINE)
    assert re.findall(r'^site_url = "(.*)"', site, re.MULTILINE) == [documentation]
    assert re.findall(r'^repo_url = "(.*)"', site, re.MULTILINE) == [source]
    raw = source.replace("https://github.com/", "https://raw.githubusercontent.com/")
    links = re.findall(r"https://[\w./-]+", README.read_text(encoding="utf-8"))
    assert [link for link in links if not link.startswith((documentation, source, raw))] == []


def test_it_fits_two_screens() -> None:
    assert len(README.read_text(encoding="utf-8").splitlines()) <= 100
