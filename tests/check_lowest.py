"""Checks that the lower bounds of pyproject.toml are installed, so that the tests that follow run with them."""

import sys
from importlib.metadata import requires, version

from packaging.requirements import Requirement
from packaging.version import Version


def is_installed_exactly(requirement: Requirement) -> bool:
    """Whether the installed version is the lowest that is allowed."""
    (bound,) = (Version(specifier.version) for specifier in requirement.specifier if specifier.operator == ">=")
    return Version(version(requirement.name)) == bound


wrong = [
    f"{requirement.name} {version(requirement.name)}, not {requirement}"
    for requirement in map(Requirement, requires("asgi-upgrade") or ())
    if not is_installed_exactly(requirement)
]
if wrong:
    sys.exit("not the lowest versions, see tests/lowest.txt: " + "; ".join(wrong))
