"""Node's clients, by the programs in `node/`."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from tests.e2e.support.tools import run

SOURCES = Path(__file__).parent.parent / "node"


class Node:
    """Installs the packages of `node/package-lock.json` into `folder` and runs the programs there."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        for source in SOURCES.glob("*.js*"):
            shutil.copy(source, folder)
        run("npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", cwd=folder, timeout=120)

    def run(self, program: str, task: Any) -> Any:
        """Give `task` to `program` as JSON; gives the JSON that it prints."""
        return json.loads(run("node", f"{program}.js", json.dumps(task), cwd=self._folder))

    def ws(self, url: str, **task: Any) -> Any:
        """A conversation through `ws`, see `ws_client.js`."""
        return self.run("ws_client", {"url": url, **task})

    def undici(self, url: str, **task: Any) -> Any:
        """A conversation through undici's WebSocket, see `undici_client.js`."""
        return self.run("undici_client", {"url": url, **task})

    def docker_exec(self, host: str, container: str, command: list[str], **task: Any) -> Any:
        """A command with its input through dockerode, see `docker_exec.js`."""
        name, _, port = host.rpartition(":")
        task |= {"host": name, "port": int(port), "container": container, "command": command}
        return self.run("docker_exec", task)

    def http(self, *requests: dict[str, Any]) -> Any:
        """Requests on one connection, see `http_client.js`."""
        return self.run("http_client", requests)
