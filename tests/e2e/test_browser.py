"""The demo in headless Chromium: one worker, its login, and who is kept out."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import quote

import pytest
from selenium.webdriver.support.wait import WebDriverWait

from tests.docs.blocks import ROOT, read_blocks
from tests.docs.tutorial import save_all
from tests.e2e.support.browser import complaints
from tests.e2e.support.chat import ChatPage
from tests.e2e.support.guarded import guarded
from tests.e2e.support.pages import other_site
from tests.server.support.process import uvicorn

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from selenium.webdriver import Chrome

    from tests.server.support.process import Server


@pytest.fixture(scope="module")
def stranger() -> Iterator[str]:
    """The origin of a site that is not the application's."""
    with other_site() as origin:
        yield origin


def visit_stranger(driver: Chrome, origin: str, target: str) -> str:
    """Load that site's page; gives what came of the WebSocket that it opens to `target`."""
    driver.get("about:blank")
    driver.get(f"{origin}/stranger.html#{quote(target)}")
    WebDriverWait(driver, 10, 0.05).until(lambda _: driver.title != "waiting")
    return driver.title


def test_two_people_chat(chat: Server, ada: Chrome, bob: Chrome) -> None:
    first, second = ChatPage(ada, chat.url("http", "")), ChatPage(bob, chat.url("http", ""))
    first.log_in("Ada")
    assert first.status_text == f"connected as Ada, worker {chat.process.pid}"
    second.log_in("Bob")
    first.await_notice("Bob joined")

    first.say("Hello Bob, <b>how</b> are you?")
    assert first.await_message("Ada", "Hello Bob, <b>how</b> are you?") == "message own"
    assert second.await_message("Ada", "Hello Bob, <b>how</b> are you?") == "message"
    second.say("Grüße, 你好 👋")
    assert second.await_message("Bob", "Grüße, 你好 👋") == "message own"
    assert first.await_message("Bob", "Grüße, 你好 👋") == "message"

    second.log_out()
    first.await_notice("Bob left")
    assert complaints(ada) == complaints(bob) == []


def test_compression_is_agreed_upon_and_the_subprotocol_is_the_demos(chat: Server, ada: Chrome) -> None:
    page = ChatPage(ada, chat.url("http", ""))
    page.log_in("Ada")
    script = "return [socket.protocol, socket.extensions.split(';')[0], socket.url]"
    assert ada.execute_script(script) == ["chat.v1", "permessage-deflate", chat.url("ws", "/rooms/lobby")]


def test_rooms_are_separate(chat: Server, ada: Chrome, bob: Chrome) -> None:
    first, second = ChatPage(ada, chat.url("http", "")), ChatPage(bob, chat.url("http", ""))
    first.log_in("Ada")
    second.log_in("Bob")
    ada.get(chat.url("http", "/?room=attic"))
    first.await_connection()
    second.await_notice("Ada left")
    first.say("only for the attic")
    first.await_message("Ada", "only for the attic")
    second.say("only for the lobby")
    second.await_message("Bob", "only for the lobby")
    assert "only for the attic" not in bob.page_source
    assert "only for the lobby" not in ada.page_source


def test_someone_who_is_not_logged_in_gets_neither_page_nor_websocket(chat: Server, ada: Chrome) -> None:
    start = len(chat.log.lines)
    ada.get(chat.url("http", "/"))
    assert ada.current_url == chat.url("http", "/login")
    page = ChatPage(ada, chat.url("http", ""))
    assert page.try_websocket(chat.url("ws", "/rooms/lobby")) == "closed 1006"
    chat.log.search(r'"GET /rooms/lobby HTTP/1\.1" 401', start=start)
    page.log_in("Ada")
    assert page.try_websocket(chat.url("ws", "/rooms/lobby")) == "open"


def test_a_page_of_another_site_is_refused_though_the_cookie_is_sent(chat: Server, ada: Chrome, stranger: str) -> None:
    ChatPage(ada, chat.url("http", "")).log_in("Ada")
    start = len(chat.log.lines)
    # Another port of the same host is another origin, but the same site: so the browser sends the session cookie.
    assert visit_stranger(ada, stranger, chat.url("ws", "/rooms/lobby")) == "closed 1006"
    chat.log.search(r'"GET /rooms/lobby HTTP/1\.1" 403', start=start)
    warning = chat.log.search("WebSocket handshake refused.*", start=start)[0]
    assert f"Origin '{stranger}'" in warning
    assert f"Host '{chat.host}'" in warning
    assert f"allowed_origins=['{stranger}']" in warning


def test_a_page_of_another_site_is_let_in_if_it_is_allowed(ada: Chrome, stranger: str) -> None:
    with guarded(environment={"ALLOWED_ORIGINS": stranger}) as server:
        assert visit_stranger(ada, stranger, server.url("ws", "/echo")) == "open"
        assert (
            visit_stranger(ada, stranger.replace("127.0.0.1", "localhost"), server.url("ws", "/echo")) == "closed 1006"
        )


def test_the_example_of_the_readme_works_in_a_browser_as_printed(ada: Chrome, tmp_path: Path) -> None:
    [block] = read_blocks(ROOT / "README.md")
    (tmp_path / "app.py").write_text(block.code, encoding="utf-8")
    with uvicorn("app:app", "--app-dir", str(tmp_path)) as server:
        ada.get(server.url("http", "/"))
        ada.find_element("tag name", "button").click()
        WebDriverWait(ada, 10, 0.05).until(lambda _: ada.find_element("tag name", "pre").text == "ada: hello")


def test_the_chat_of_the_tutorial_works_between_two_browsers(ada: Chrome, bob: Chrome, tmp_path: Path) -> None:
    save_all(tmp_path)
    with uvicorn("app:app", "--app-dir", str(tmp_path)) as server:
        for driver, name, password in ((ada, "ada", "lovelace"), (bob, "grace", "hopper")):
            driver.get(server.url("http", "/"))
            driver.find_element("name", "name").send_keys(name)
            driver.find_element("name", "password").send_keys(password)
            driver.find_element("tag name", "button").click()
            WebDriverWait(driver, 10, 0.05).until(lambda each: each.execute_script("return socket.readyState === 1"))
        ada.find_element("tag name", "input").send_keys("hello\n")
        for driver in (ada, bob):
            WebDriverWait(driver, 10, 0.05).until(
                lambda each: each.find_element("tag name", "pre").text == "ada: hello"
            )
