"""Chainlit, mounted in FastAPI."""

from pathlib import Path

from chainlit.utils import mount_chainlit
from fastapi import FastAPI

from .cookie import guard

mounted = FastAPI()
guard(mounted)
mount_chainlit(mounted, str(Path(__file__).with_name("chainlit_script.py")), "/chainlit")
