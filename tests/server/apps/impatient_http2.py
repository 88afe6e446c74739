"""The pages of `over_http2.py` with half a second for everything, and less between pings."""

from over_http2 import pages

from asgi_upgrade import H2CSettings, UpgradeMiddleware

settings = H2CSettings(
    open_timeout=0.5, idle_timeout=0.5, ping_interval=0.3, ping_timeout=0.5, write_timeout=0.5, close_timeout=0.5
)
app = UpgradeMiddleware(pages, h2c=settings)
