"""Settings of HTTP/2: the peers that may have it, and the limits and times of a connection."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

from asgi_upgrade.system.checks import check_integers, check_optional_seconds, check_seconds

__all__ = ["H2CSettings", "check_h2c"]

# Windows and sizes of HTTP/2 are below this (RFC 9113 §6.5.2, §6.9.1).
_LIMIT = 2**31


@dataclass(frozen=True)
class H2CSettings:
    """Which clients may speak HTTP/2 after ``Upgrade: h2c`` (RFC 7540 §3.2), and the limits of such a connection.

    All sizes are in bytes, all times in seconds. The package ``h2`` must be installed.

    Attributes:
        networks: Which clients may upgrade: addresses and networks such as ``"10.0.0.0/8"`` and ``"::1"``. ``"unix"``
            stands for clients on a Unix socket. ``None`` admits all. The address of the machine that opened the
            connection counts, ``X-Forwarded-For`` does not. Default: ``None``.
        max_concurrent_streams: How many requests are served at once on one connection. Further ones are refused in a
            way that lets the client repeat them (REFUSED_STREAM, RFC 9113 §5.1.2). Twice as many end the connection.
            Default: 100.
        max_header_size: How large the fields of a request may be together. Each field counts 32 bytes more than its
            length (RFC 9113 §6.5.2). Default: 64 KiB.
        read_buffer_size: How many bytes of a request's body may wait for the application. Then the client has to wait.
            Default: 64 KiB.
        write_buffer_size: How many bytes may wait for a slow client. Then ``send`` waits. Default: 64 KiB.
        open_timeout: How long the client may take for its preface (RFC 9113 §3.4). Default: 20.
        idle_timeout: How long a connection may have no request. Then it is closed. Default: 60.
        ping_interval: Time between pings (RFC 9113 §6.7). They are sent while a request is served and the client sends
            nothing. ``None`` sends none. Default: 20.
        ping_timeout: How long the client may stay silent after a ping. ``None`` sets no limit. Default: 20.
        write_timeout: How long a client may read nothing while a response waits for it. Then this request is reset.
            ``None`` sets no limit. Default: 60.
        close_timeout: How long the client may take for the last bytes of a connection. Default: 10.

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
        sizes = ("max_header_size", "read_buffer_size", "write_buffer_size")
        check_integers(self, "max_concurrent_streams", *sizes, high=_LIMIT - 1)
        check_seconds(self, "open_timeout", "idle_timeout", "close_timeout")
        check_optional_seconds(self, "ping_interval", "ping_timeout", "write_timeout")
        if self.max_concurrent_streams * self.read_buffer_size >= _LIMIT:
            raise ValueError(
                "H2CSettings.max_concurrent_streams times read_buffer_size must be below 2**31 (RFC 9113 section 6.9)"
            )

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


def check_h2c(h2c: H2CSettings | None) -> H2CSettings | None:
    """Return the argument ``h2c`` of `UpgradeMiddleware`.

    Raises:
        ValueError: It is something else, or the package ``h2`` is not installed.
    """
    if h2c is None:
        return None
    if not isinstance(h2c, H2CSettings):
        raise ValueError(f"h2c must be H2CSettings or None, not {h2c!r}")
    try:
        import h2  # noqa: F401
    except ImportError:
        raise ValueError("h2c needs the package h2: pip install 'asgi-upgrade[h2]'") from None
    return h2c


def _parse_networks(networks: object) -> tuple[IPv4Network | IPv6Network, ...]:
    if (
        not isinstance(networks, Sequence)
        or isinstance(networks, (str, bytes))
        or not networks
        or not all(isinstance(network, str) for network in networks)
    ):
        raise ValueError(
            f"H2CSettings.networks must be a list of networks such as ['10.0.0.0/8'], or None, not {networks!r}"
        )
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
            raise ValueError(f"H2CSettings.networks: {network!r} is no address or network: {error}") from None
    return tuple(parsed)
