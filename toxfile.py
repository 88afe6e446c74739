"""Lets tox find the interpreters that pyenv has installed, the ones not on PATH included."""

import os
from pathlib import Path

_versions = Path(os.environ.get("PYENV_ROOT", "~/.pyenv")).expanduser() / "versions"
_found = (str(binaries) for binaries in sorted(_versions.glob("3.*/bin")))
os.environ["PATH"] = os.pathsep.join([os.environ.get("PATH", os.defpath), *_found])
