"""The demo, and its pages as a person with a browser uses them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from selenium.webdriver.common.by import By
from selenium.webdriver.support.wait import WebDriverWait

from tests.server.support.process import uvicorn

if TYPE_CHECKING:
    from collections.abc import Callable

    from selenium.webdriver import Chrome

DEMO = Path(__file__).parents[3] / "examples" / "chat"
TIMEOUT = 10.0


def demo(*options: str, **kwargs: Any) -> Any:
    """Run the demo until the block ends; a context manager that gives the `Server`."""
    return uvicorn("app:app", "--app-dir", str(DEMO), *options, **kwargs)


class ChatPage:
    """One person in front of the chat."""

    def __init__(self, driver: Chrome, base: str) -> None:
        self.driver = driver
        self.base = base

    def log_in(self, name: str) -> None:
        """Log in and wait until the chat is connected."""
        self.driver.get(self.base + "/login")
        self.driver.find_element(By.ID, "name").send_keys(name)
        self.driver.find_element(By.CSS_SELECTOR, "#login button").click()
        self.await_connection()

    def await_connection(self) -> None:
        self._until(lambda: self.state == "open", "the chat did not connect")

    @property
    def state(self) -> str | None:
        return self.driver.find_element(By.ID, "state").get_attribute("data-state")

    @property
    def status_text(self) -> str:
        return self.driver.find_element(By.ID, "state").text

    @property
    def worker(self) -> int:
        """The process at the other end of the WebSocket, which tells its id when it has accepted."""
        found = re.search(r"worker (\d+)", self.status_text)
        assert found, self.status_text
        return int(found[1])

    def reconnect(self) -> None:
        """Load the page again, and with it open a new connection."""
        self.driver.refresh()
        self.await_connection()

    def say(self, text: str) -> None:
        self.driver.find_element(By.ID, "text").send_keys(text)
        self.driver.find_element(By.ID, "send").click()

    def await_message(self, by: str, text: str) -> str:
        """Wait until `by` is seen to have said `text`; gives the item's class."""
        return self._await_item(lambda lines: len(lines) == 2 and lines[0].startswith(f"{by} · ") and lines[1] == text)

    def await_notice(self, text: str) -> str:
        """Wait for a line such as "Ada joined"; gives the item's class."""
        return self._await_item(lambda lines: lines == [text])

    def log_out(self) -> None:
        self.driver.find_element(By.XPATH, "//button[.='Log out']").click()
        self._until(lambda: self.driver.current_url.endswith("/login"), "logging out leads to the login page")

    def try_websocket(self, url: str) -> str:
        """Open a WebSocket from the page that is shown: "open", or "closed" with the code."""
        script = """
            const [url, done] = arguments;
            const socket = new WebSocket(url, "chat.v1");
            socket.onopen = () => { socket.onclose = null; socket.close(); done("open"); };
            socket.onclose = (event) => done("closed " + event.code);
        """
        result: str = self.driver.execute_async_script(script, url)
        return result

    def _await_item(self, wanted: Callable[[list[str]], bool]) -> str:
        def find() -> str | None:
            items = self.driver.find_elements(By.CSS_SELECTOR, "#messages li")
            return next((item.get_attribute("class") or "?" for item in items if wanted(item.text.splitlines())), None)

        found: str = self._until(find, "it was never seen")
        return found

    def _until(self, condition: Callable[[], Any], message: str) -> Any:
        try:
            return WebDriverWait(self.driver, TIMEOUT, 0.05).until(lambda _: condition())
        except Exception as error:
            shown = self.driver.find_element(By.TAG_NAME, "body").text
            raise AssertionError(f"{message}; {self.driver.current_url} shows:\n{shown}") from error
