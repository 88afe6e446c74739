"""`ServerConnection`: h2's connection with stricter limits, and with a GOAWAY that need not end all streams."""

from __future__ import annotations

from base64 import urlsafe_b64encode
from struct import pack
from typing import Any

import h2.config
import h2.connection
import h2.errors
import h2.events
import h2.exceptions
import h2.settings

from asgi_upgrade.http2.settings import H2CSettings

__all__ = ["ServerConnection", "goaway"]

ErrorCodes = h2.errors.ErrorCodes
SettingCodes = h2.settings.SettingCodes

_CONFIG = h2.config.H2Configuration(
    client_side=False,
    header_encoding=None,
    # `Stream` makes sure of both.
    validate_outbound_headers=False,
    normalize_outbound_headers=False,
)
# RFC 7541 section 4.2: what the client lets our compressor remember is its limit; this is ours.
_MAX_TABLE_SIZE = 4096
_MOST_SETTINGS = 64
_KNOWN_SETTINGS = frozenset(SettingCodes)


class ServerConnection(h2.connection.H2Connection):
    """The server's side of a connection."""

    # Only a late HEADERS frame asks how a stream was closed; h2 would remember 65536 of them.
    MAX_CLOSED_STREAMS = 1024

    def __init__(self) -> None:
        super().__init__(_CONFIG)

    def begin(self, client_settings: bytes, settings: H2CSettings) -> None:
        """Prepare what the server sends first.

        Args:
            client_settings: The payload of ``HTTP2-Settings``.
            settings: What the client is told.
        """
        values = {
            SettingCodes.ENABLE_PUSH: 0,
            SettingCodes.ENABLE_CONNECT_PROTOCOL: 1,
            SettingCodes.INITIAL_WINDOW_SIZE: settings.read_buffer_size,
            SettingCodes.MAX_CONCURRENT_STREAMS: settings.max_concurrent_streams,
            SettingCodes.MAX_HEADER_LIST_SIZE: settings.max_header_size,
        }
        self.local_settings = h2.settings.Settings(client=False, initial_values=values)
        self.decoder.max_header_list_size = settings.max_header_size
        self.initiate_upgrade_connection(urlsafe_b64encode(client_settings))
        # A client that has not seen ours yet may open more streams: those are refused one by one, within reason.
        values[SettingCodes.MAX_CONCURRENT_STREAMS] *= 2
        self.local_settings = h2.settings.Settings(client=False, initial_values=values)
        # Each stream's own window is what bounds it: one that is not read must not stand in the way of the others.
        window = settings.max_concurrent_streams * settings.read_buffer_size
        if window > self.inbound_flow_control_window:
            self.increment_flow_control_window(window - self.inbound_flow_control_window)

    def _receive_settings_frame(self, frame: Any) -> Any:
        """Keep nothing of settings that we do not know, nor a table for the compression that is larger than usual.

        A frame may have 2730 settings; there are ten.
        """
        if frame.body_len > 6 * _MOST_SETTINGS:
            raise h2.exceptions.DenialOfServiceError("a SETTINGS frame has too many settings")
        for setting, value in list(frame.settings.items()):
            if setting == SettingCodes.HEADER_TABLE_SIZE:
                frame.settings[setting] = min(value, _MAX_TABLE_SIZE)
            elif setting not in _KNOWN_SETTINGS:
                del frame.settings[setting]
        return super()._receive_settings_frame(frame)

    def _receive_rst_stream_frame(self, frame: Any) -> Any:
        """Let nobody reset what has not begun (RFC 9113 §6.4)."""
        if frame.stream_id > self.highest_inbound_stream_id or not frame.stream_id % 2:
            raise h2.exceptions.ProtocolError("RST_STREAM for an idle stream")
        return super()._receive_rst_stream_frame(frame)

    def _receive_goaway_frame(self, frame: Any) -> Any:
        """Go on with the streams there are if the client only announces that it opens no more (RFC 9113 §6.8)."""
        if frame.error_code != ErrorCodes.NO_ERROR:
            return super()._receive_goaway_frame(frame)  # type: ignore[no-untyped-call,unused-ignore]
        return [], [h2.events.ConnectionTerminated()]


def goaway(last_stream_id: int, code: int) -> bytes:
    """A GOAWAY frame (RFC 9113 §6.8). Those of h2 end its connection, and the streams that are open with it."""
    return pack(">HBBBLLL", 0, 8, 7, 0, 0, last_stream_id, code)
