"""Settings of HTTP/2: the peers that may have it, and the limits and times of a connection."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from functools import lru_cache
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

__all__ = ["H2CSettings", "parse_h2c"]

_OPTIONAL = ("ping_interval", "ping_timeout", "write_timeout")


@dataclass(frozen=True)
class H2CSettings:
    """Limits and times of each HTTP/2 connection. All sizes are in bytes, all times in seconds.

    Attributes:
        networks: Who may upgrade: addresses and networks such as ``"10.0.0.0/8"`` and ``"::1"``; ``"unix"`` stands for
            peers on a Unix socket; ``None`` admits all. The peer is who has opened the connection, not whom a proxy
            speaks for.
        max_concurrent_streams: Requests that are served at once on one connection. What exceeds it is refused in a way
            that lets the client repeat it (REFUSED_STREAM); twice as many end the connection.
        max_header_size: Size of a request's fields, each counted with 32 bytes more (RFC 9113 §6.5.2).
        read_buffer_size: Bytes of a request's body that wait for the application, before its client has to wait.
        write_buffer_size: Bytes that wait for a slow client before ``send`` blocks.
        open_timeout: How long the client may take for its preface.
        idle_timeout: Time without a request after which the connection is closed.
        ping_interval: Time between pings while a request is being served and nothing is heard; ``None`` sends none.
        ping_timeout: How long the client may stay silent after a ping; ``None`` waits for ever.
        write_timeout: How long a client may take nothing of a response that is ready; ``None`` waits for ever.
        close_timeout: How long the client may take for the last bytes of a connection.

    Raises:
        ValueError: A value is out of range; the message names it.
    """

    networks: Sequence[str] | None = None
    max_concurrent_streams: int = 100
    max_header_size: int = 64 * 1024
    read_buffer_size: int = 64 * 1024
    write_buffer_size: int = 64 * 1024
    open_timeout: float = 20.0
    idle_timeout: float = 60.0
    ping_interval: float | None = 20.0
    ping_timeout: float | None = 20.0
    write_timeout: float | None = 60.0
    close_timeout: float = 10.0

    def __post_init__(self) -> None:
        if self.networks is not None:
            _parse_networks(self.networks)
        for field in fields(self):
            name, value = field.name, getattr(self, field.name)
            if name == "networks":
                continue
            if name.endswith(("_timeout", "_interval")):
                if value is None and name in _OPTIONAL:
                    continue
                if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value < float("inf"):
                    raise ValueError(f"{name} must be a positive number of seconds, not {value!r}")
            elif isinstance(value, bool) or not isinstance(value, int) or not 0 < value < 2**31:
                raise ValueError(f"{name} must be a positive integer below 2**31, not {value!r}")
        if self.max_concurrent_streams * self.read_buffer_size >= 2**31:
            raise ValueError("max_concurrent_streams times read_buffer_size must be below 2**31 (RFC 9113 section 6.9)")

    def admits(self, client: Sequence[object] | None) -> bool:
        """Tell whether a peer may upgrade.

        Args:
            client: The scope's ``client``: host and port, or ``None`` for a Unix socket.
        """
        if self.networks is None:
            return True
        if not client or not client[0]:
            return "unix" in self.networks
        try:
            address = ip_address(str(client[0]))
        except ValueError:
            return False
        if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
            address = address.ipv4_mapped
        return any(address in network for network in _parse_networks(self.networks))


def parse_h2c(h2c: bool | Sequence[str] | H2CSettings) -> H2CSettings | None:
    """Return what ``h2c=`` of `UpgradeMiddleware` means, ``None`` for ``False``.

    Args:
        h2c: ``True`` for every peer, or `H2CSettings.networks`, or all settings.

    Raises:
        ValueError: It is something else.
        ImportError: The library ``h2`` is not installed.
    """
    if h2c is False:
        return None
    if not isinstance(h2c, H2CSettings):
        if h2c is not True:
            _parse_networks(h2c)  # which does not take None for an answer
        h2c = H2CSettings(None if h2c is True else h2c)
    try:
        import h2  # noqa: F401
    except ImportError:
        raise ImportError("h2c needs the library h2: pip install 'asgi-upgrade[h2]'") from None
    return h2c


def _parse_networks(networks: object) -> tuple[IPv4Network | IPv6Network, ...]:
    if not isinstance(networks, Sequence) or isinstance(networks, (str, bytes)) or not networks:
        raise ValueError(f"h2c must be a bool or a list of networks such as ['10.0.0.0/8'], not {networks!r}")
    if not all(isinstance(network, str) for network in networks):
        raise ValueError(f"h2c must be a bool or a list of networks such as ['10.0.0.0/8'], not {networks!r}")
    return _parse(tuple(networks))


@lru_cache(maxsize=8)
def _parse(networks: tuple[str, ...]) -> tuple[IPv4Network | IPv6Network, ...]:
    parsed = []
    for network in networks:
        if network == "unix":
            continue
        try:
            parsed.append(ip_network(network))
        except ValueError as error:
            raise ValueError(f"h2c: {network!r} is neither an address nor a network: {error}") from None
    return tuple(parsed)
