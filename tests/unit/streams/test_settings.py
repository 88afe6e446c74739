"""What the settings of streams may be."""

from __future__ import annotations

from typing import Any

import pytest

from asgi_upgrade import StreamSettings, UpgradeMiddleware
from asgi_upgrade.streams.settings import check_streams
from tests.unit.calls import page


def test_such_settings_are_taken_as_they_are() -> None:
    settings = StreamSettings(open_timeout=1)
    assert check_streams(settings) is settings


@pytest.mark.parametrize("value", [None, {}, 1])
def test_what_is_no_such_settings_is_refused(value: Any) -> None:
    with pytest.raises(ValueError, match=r"^streams must be StreamSettings, not "):
        UpgradeMiddleware(page, streams=value)
