"""CUPS, whose tools begin TLS on a connection in the clear: with `OPTIONS *`, at once or when a 426 tells them to."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.e2e.support.guarded import PARSERS
from tests.e2e.support.tools import run
from tests.server.support.process import uvicorn

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.server.support.certificates import Certificate
    from tests.server.support.process import Server

EXAMPLE = Path(__file__).parents[2] / "examples" / "printer"
TEST = EXAMPLE / "describe.test"
UPGRADED = ['"OPTIONS %2A HTTP/1.1" 101', '"OPTIONS %2A HTTP/1.1" 200']


@pytest.fixture(scope="module", params=PARSERS)
def printer(
    request: pytest.FixtureRequest, certificate: Certificate, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    """The example, which answers nothing but 426 in the clear."""
    path = tmp_path_factory.mktemp("printer") / "printer.pem"
    path.write_text(Path(certificate.keyfile).read_text() + Path(certificate.certfile).read_text())
    with uvicorn(
        "app:app", "--app-dir", str(EXAMPLE), http=request.param, environment={"CERTIFICATE": str(path)}
    ) as server:
        yield server


def cups(program: str, *arguments: str, home: Path) -> str:
    # CUPS remembers certificates in its user's home.
    return run(program, *arguments, environment={"HOME": str(home), "LC_ALL": "C.UTF-8"}, timeout=20)


@pytest.mark.parametrize(("options", "refused"), [(["-E"], False), ([], True)], ids=["asked to", "told to"])
def test_ipptool_describes_the_printer(printer: Server, tmp_path: Path, options: list[str], refused: bool) -> None:
    start = len(printer.log.lines)
    uri = f"ipp://127.0.0.1:{printer.port}/ipp/print"
    output = cups("ipptool", *options, "-tv", uri, str(TEST), home=tmp_path)
    assert "[PASS]" in output
    assert "printer-name (nameWithoutLanguage) = demo" in output
    post = '"POST /ipp/print HTTP/1.1"'
    printer.log.search(f"{post} 200", start=start)
    logged = [line.partition(" - ")[2] for line in printer.log.lines[start:]]
    expected = [f"{post} 426"] * refused + [*UPGRADED, f"{post} 200"]
    assert len(logged) == len(expected)
    assert all(line.startswith(wanted) for line, wanted in zip(logged, expected, strict=True))


@pytest.mark.parametrize("options", [["-E"], []], ids=["asked to", "told to"])
def test_lpstat_lists_the_printer(printer: Server, tmp_path: Path, options: list[str]) -> None:
    output = cups("lpstat", *options, "-h", f"127.0.0.1:{printer.port}", "-a", home=tmp_path)
    assert output.startswith("demo accepting requests")
