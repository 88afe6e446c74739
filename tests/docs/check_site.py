"""What the builder of the site does not check.

Every public name is in the reference, which shows no private ones. Every page is in the navigation.

Run it after `zensical build`. It prints what is wrong, and ends with 1 if anything is.
"""

from __future__ import annotations

import html
import importlib
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import tomllib

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]
PUBLIC_MODULES = ("asgi_upgrade", "asgi_upgrade.testing", "asgi_upgrade.servers.uvicorn")


def read_configuration() -> dict[str, Any]:
    """The configuration of the site."""
    with (ROOT / "zensical.toml").open("rb") as file:
        project: dict[str, Any] = tomllib.load(file)["project"]
    return project


def find_undocumented(site: Path) -> Iterator[str]:
    """The public names without an entry in the reference.

    A name without a docstring has no entry either: mkdocstrings leaves it out.
    """
    pages = (path.read_text(encoding="utf-8") for path in (site / "reference").rglob("*.html"))
    entries = {name for page in pages for name in re.findall(r'id="(asgi_upgrade\.[\w.]+)"', page)}
    for module in PUBLIC_MODULES:
        for name in importlib.import_module(module).__all__:
            if f"{module}.{name}" not in entries:
                yield f"{module}.{name} is public, and is not in the reference"


def find_private(site: Path) -> Iterator[str]:
    """The private names in signatures of the reference: a reader cannot know what they stand for."""
    for path in sorted((site / "reference").rglob("*.html")):
        text = path.read_text(encoding="utf-8")
        for signature in re.findall(r'<div class="[^"]*doc-signature.*?</pre>', text, re.DOTALL):
            code = html.unescape(re.sub(r'<[^<>"]*(?:"[^"]*"[^<>"]*)*>', "", signature))
            for name in re.findall(r"(?<![\w.])_(?!_)\w+", code):
                yield f"{path.relative_to(site)} has the private name {name}"


def find_lost_pages(navigation: list[Any], docs: Path) -> Iterator[str]:
    """The pages that the navigation does not lead to, and its entries that lead to no page."""
    listed = list(_targets(navigation))
    pages = [path.relative_to(docs).as_posix() for path in docs.rglob("*.md")]
    yield from (f"the navigation leads to {page}, which is not there" for page in listed if page not in pages)
    yield from (f"{page} is not in the navigation" for page in sorted(pages) if page not in listed)


def _targets(navigation: list[Any]) -> Iterator[str]:
    for entry in navigation:
        if isinstance(entry, str):
            yield entry
        else:
            for target in entry.values():
                yield from _targets([target] if isinstance(target, str) else target)


def main() -> int:
    project = read_configuration()
    site = ROOT / project["site_dir"]
    problems = [*find_undocumented(site), *find_private(site), *find_lost_pages(project["nav"], ROOT / "docs")]
    for problem in problems:
        print(problem)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
