"""Fixtures: real browsers, proxies and clients. They need programs beside Python; without them nothing runs."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest

from tests.e2e.support.browser import chromium, complaints
from tests.e2e.support.chat import demo
from tests.e2e.support.guarded import PARSERS, guarded
from tests.e2e.support.java import NETTY, NETTY_SOURCES, Java
from tests.e2e.support.node import Node
from tests.e2e.support.proxies import apache, caddy, haproxy, nginx, traefik
from tests.e2e.support.tools import missing_packages
from tests.server.support import certificates
from tests.server.support.process import Server

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from selenium.webdriver import Chrome

    from tests.e2e.support.proxies import Proxy
    from tests.server.support.certificates import Certificate

PROXIES = {"nginx": nginx, "haproxy": haproxy, "caddy": caddy, "apache": apache, "traefik": traefik}


@pytest.fixture(scope="session", autouse=True)
def programs() -> None:
    """End the run at once, with one message, where a program is missing: a test that is skipped proves nothing."""
    if packages := missing_packages():
        pytest.exit(
            "these tests need programs that are not installed. On Debian: "
            f"apt-get install --no-install-recommends {' '.join(packages)}",
            returncode=1,
        )


@pytest.fixture(scope="session")
def servers() -> Iterator[Callable[[str], Server]]:
    """Gives `apps/guarded.py` under a parser of uvicorn; the first call starts it."""
    running: dict[str, Server] = {}
    with ExitStack() as stack:

        def get(parser: str) -> Server:
            if parser not in running:
                running[parser] = stack.enter_context(guarded(http=parser))
            return running[parser]

        yield get


@pytest.fixture(params=PARSERS)
def server(request: pytest.FixtureRequest, servers: Callable[[str], Server]) -> Server:
    """`apps/guarded.py` under each of uvicorn's parsers."""
    return servers(request.param)


@pytest.fixture
def one_server(servers: Callable[[str], Server]) -> Server:
    """`apps/guarded.py` under the parser that uvicorn prefers."""
    return servers(PARSERS[0])


@pytest.fixture(scope="session")
def chat() -> Iterator[Server]:
    """The demo on one worker."""
    with demo() as server:
        yield server


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    return certificates.issue(tmp_path_factory.mktemp("certificate"))


@pytest.fixture(params=PROXIES)
def proxy(request: pytest.FixtureRequest, one_server: Server, tmp_path: Path) -> Iterator[Proxy]:
    """Each reverse proxy in front of `one_server`."""
    with PROXIES[request.param](one_server, tmp_path) as running:
        yield running


@pytest.fixture(scope="session")
def browsers(programs: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Chrome, Chrome]]:
    """Two browsers that share nothing. They ignore that a certificate is unknown to them."""
    flag = "--ignore-certificate-errors"
    with chromium(tmp_path_factory.mktemp("ada"), flag) as one, chromium(tmp_path_factory.mktemp("bob"), flag) as two:
        yield one, two


@pytest.fixture
def ada(browsers: tuple[Chrome, Chrome]) -> Chrome:
    """A browser that is logged in nowhere."""
    return _forgetful(browsers[0])


@pytest.fixture
def bob(browsers: tuple[Chrome, Chrome]) -> Chrome:
    """Another browser that is logged in nowhere."""
    return _forgetful(browsers[1])


@pytest.fixture(scope="session")
def java(programs: None, tmp_path_factory: pytest.TempPathFactory) -> Java:
    return Java(tmp_path_factory.mktemp("java"))


@pytest.fixture(scope="session")
def netty(programs: None, tmp_path_factory: pytest.TempPathFactory) -> Java:
    return Java(tmp_path_factory.mktemp("netty"), sources=NETTY_SOURCES, library=NETTY)


@pytest.fixture(scope="session")
def node(programs: None, tmp_path_factory: pytest.TempPathFactory) -> Node:
    return Node(tmp_path_factory.mktemp("node"))


def _forgetful(driver: Chrome) -> Chrome:
    driver.get("about:blank")
    driver.execute_cdp_cmd("Network.clearBrowserCookies", {})
    complaints(driver)
    return driver
