"""The application of one case, for a server of its own: the environment says which, and where ours is."""

import os

from tests.layers.apps.cases import CASES

app = CASES[os.environ["LAYERS_CASE"]].make(os.environ["LAYERS_POSITION"])
