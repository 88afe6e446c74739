"""``benchmarks.apps`` behind `UpgradeMiddleware` with h2c."""

from __future__ import annotations

from asgi_upgrade import H2CSettings, UpgradeMiddleware
from benchmarks import apps

plain = UpgradeMiddleware(apps.plain, h2c=H2CSettings())
