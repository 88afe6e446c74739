"""A table of the docs that tests write, between two comments that say so."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

_END = "<!-- The end of what is written. -->\n"


@dataclass(frozen=True)
class DocsTable:
    """Where the table stands.

    Attributes:
        page: The page.
        begin: The comment in front of the table, with its line's end.
    """

    page: Path
    begin: str

    def read(self) -> str:
        """The table in the docs."""
        return self.page.read_text(encoding="utf-8").partition(self.begin)[2].partition(_END)[0]

    def write(self, table: str) -> None:
        """Put the table into the docs."""
        text = self.page.read_text(encoding="utf-8")
        assert self.begin in text
        assert _END in text
        pattern = re.escape(self.begin) + ".*?" + re.escape(_END)
        text = re.sub(pattern, lambda _: self.begin + table + _END, text, flags=re.DOTALL)
        self.page.write_text(text, encoding="utf-8")
