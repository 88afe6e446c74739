"""Is a peer still there, and how far has it come? What the system tells of a connection, and what we make of it."""

from __future__ import annotations

import select
import socket
import struct
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import pytest

from asgi_upgrade.system.liveness import has_gone_silent, is_reset, keep_alive
from asgi_upgrade.system.progress import Progress, measure
from asgi_upgrade.system.tcp_info import TCPInfo, read_tcp_info
from tests.unit.sockets import reset
from tests.unit.waiting import PATIENCE

linux = pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells")


@contextmanager
def pair(address: str = "127.0.0.1") -> Iterator[tuple[socket.socket, socket.socket]]:
    """Both ends of a TCP connection."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.create_server((address, 0), family=family) as listener:
        near = socket.create_connection(listener.getsockname()[:2])
        far, _ = listener.accept()
    with near, far:
        yield near, far


def wait_until(condition: Any) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, "it never came"
        time.sleep(0.001)


# Asking the peer


@linux
@pytest.mark.parametrize(("interval", "seconds"), [(20.0, 20), (1.6, 2), (0.2, 1)])
@pytest.mark.parametrize("address", ["127.0.0.1", "::1"])
def test_the_system_asks_a_peer_that_says_nothing(address: str, interval: float, seconds: int) -> None:
    with pair(address) as (near, _):
        assert near.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 0
        keep_alive(near, interval)
        assert near.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
        options = (socket.TCP_KEEPIDLE, socket.TCP_KEEPINTVL, socket.TCP_KEEPCNT)
        assert [near.getsockopt(socket.IPPROTO_TCP, option) for option in options] == [seconds, seconds, 3]


def test_nobody_is_asked_over_a_unix_socket_or_one_that_is_closed() -> None:
    near, far = socket.socketpair()
    with near, far:
        keep_alive(near, 1)
        assert near.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 0
    with pair() as (near, _):
        near.close()
        keep_alive(near, 1)


# Losses


def test_a_reset_is_seen_without_reading() -> None:
    with pair() as (near, far):
        assert not is_reset(near)
        far.sendall(b"unread")
        reset(far)
        wait_until(lambda: is_reset(near))


def test_the_peers_end_is_no_reset() -> None:
    with pair() as (near, far):
        far.sendall(b"unread")
        far.close()
        near.setblocking(False)
        wait_until(lambda: select.select([near], [], [], 0)[0])
        assert near.recv(100) == b"unread"
        wait_until(lambda: select.select([near], [], [], 0)[0])
        assert not is_reset(near)
        near.shutdown(socket.SHUT_WR)
        assert not is_reset(near)


def test_a_socket_that_is_closed_is_not_for_us_to_judge(monkeypatch: pytest.MonkeyPatch) -> None:
    with pair() as (near, far):
        reset(far)
        wait_until(lambda: is_reset(near))
        monkeypatch.delattr(select, "poll")  # as on Windows
        assert not is_reset(near)
        monkeypatch.undo()
        near.close()
        assert is_reset(near) is False


# What the kernel counts


class Kernel(socket.socket):
    """A TCP socket of which the kernel says what a test wants: peers that fall silent take minutes to be seen."""

    told = b""

    def getsockopt(self, level: int, option: int, size: int = 0) -> Any:
        assert (level, option) == (socket.IPPROTO_TCP, socket.TCP_INFO)
        return self.told[:size]


def kernel(*, retransmits: int = 0, probes: int = 0, last_ack_recv: int = 0, acked: int = 0, received: int = 0) -> Any:
    """`struct tcp_info` of linux/tcp.h: eight bytes, 24 numbers of 32 bits, numbers of 64 bits."""
    words = [7] * 24
    words[12] = last_ack_recv
    sock = Kernel(socket.AF_INET, socket.SOCK_STREAM)
    sock.told = struct.pack("=8B24I6Q", 1, 9, retransmits, probes, 9, 9, 9, 9, *words, 5, 5, acked, received, 5, 5)
    return sock


@linux
def test_the_figures_are_those_of_the_kernel() -> None:
    with kernel(retransmits=1, probes=2, last_ack_recv=2**31, acked=2**40, received=2**41) as sock:
        assert read_tcp_info(sock) == TCPInfo(1, 2, 2**31, 2**40, 2**41)
    with pair() as (near, far):
        near.sendall(b"12345")
        far.sendall(b"123")
        wait_until(lambda: (info := read_tcp_info(near)) and info.bytes_acked >= 5 and info.bytes_received == 3)


def test_there_are_no_figures_of_other_sockets(monkeypatch: pytest.MonkeyPatch) -> None:
    near, far = socket.socketpair()
    with near, far:
        assert read_tcp_info(near) is None
        assert not has_gone_silent(near, 1)
    with pair() as (near, far):
        far.close()
        monkeypatch.setattr(sys, "platform", "darwin")
        assert read_tcp_info(near) is None
        monkeypatch.undo()
        near.close()
        assert read_tcp_info(near) is None
        assert not has_gone_silent(near, 1)
    with kernel() as sock:
        sock.told = sock.told[:100]  # of a kernel before 4.1
        assert read_tcp_info(sock) is None


@linux
@pytest.mark.parametrize(
    ("interval", "figures", "silent"),
    [
        (20.0, {"retransmits": 3, "last_ack_recv": 60_000}, True),
        (20.0, {"probes": 3, "last_ack_recv": 60_000}, True),
        (20.0, {"retransmits": 9, "last_ack_recv": 59_999}, False),
        (20.0, {"retransmits": 2, "probes": 2, "last_ack_recv": 600_000}, False),
        (20.0, {"last_ack_recv": 600_000}, False),  # nothing was to be acknowledged
        (0.1, {"retransmits": 3, "last_ack_recv": 2_999}, False),
        (0.1, {"retransmits": 3, "last_ack_recv": 3_000}, True),
    ],
)
def test_three_intervals_without_an_answer_are_too_many(
    interval: float, figures: dict[str, int], *, silent: bool
) -> None:
    with kernel(**figures) as sock:
        assert has_gone_silent(sock, interval) is silent


# Progress


class Transport:
    """A transport, as far as its progress goes."""

    def __init__(self, buffered: int = 0, **extra: Any) -> None:
        self._buffered = buffered
        self._extra = extra

    def get_extra_info(self, name: str) -> Any:
        return self._extra.get(name)

    def get_write_buffer_size(self) -> int:
        return self._buffered


def progress(buffered: int = 0, **extra: Any) -> Progress | None:
    transport: Any = Transport(buffered, **extra)
    return measure(transport)


@linux
@pytest.mark.parametrize("tls", [False, True])
def test_what_has_not_been_acknowledged_waits_wherever_it_is(*, tls: bool) -> None:
    with pair() as (near, far):
        far.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        near.setblocking(False)
        written = 0
        with suppress(BlockingIOError):
            while True:
                written += near.send(bytes(65536))
        before = progress(1000, socket=near)
        assert before is not None
        assert before.waiting > 1000 + 65536  # much of that in the kernel

        def counted() -> bool:
            found = progress(1000, socket=near, **({"sslcontext": True} if tls else {}))
            assert found is not None
            below = 128 * 1024 if tls else 0
            return abs(found.taken + found.waiting - below - 1000 - written) <= 1  # the SYN may count

        wait_until(counted)


@linux
def test_what_has_come_counts_whether_it_is_read_or_not() -> None:
    with pair() as (near, far):
        far.sendall(b"123")
        wait_until(lambda: (found := progress(socket=near)) and found.received == 3)


def test_a_transport_may_know_its_own_progress() -> None:
    own = Progress(1, 2, 3)
    extra: dict[str, Any] = {"asgi_upgrade.progress": own}
    assert progress(**extra) is own


def test_there_is_no_progress_where_nobody_tells(monkeypatch: pytest.MonkeyPatch) -> None:
    assert progress() is None
    near, far = socket.socketpair()
    with near, far:
        assert progress(socket=near) is None
    with pair() as (near, _):
        near.close()
        assert progress(socket=near) is None
