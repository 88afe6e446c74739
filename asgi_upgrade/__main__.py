"""``python -m asgi_upgrade``: the commands of `asgi_upgrade.cli`."""

import sys

from asgi_upgrade.cli import main

if __name__ == "__main__":
    sys.exit(main())
