"""One port on several addresses, for TCP and UDP."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator, Sequence

import pytest

from shoal.errors import NetworkError, UsageError
from shoal.net import listening
from shoal.net.listening import PortBusyError, open_port

from ..peers.processes import free_port

TCP, UDP = socket.SOCK_STREAM, socket.SOCK_DGRAM
LOCAL = "127.0.0.1"


@contextlib.contextmanager
def opened(
    binds: Sequence[str], port: int, kinds: Sequence[int], **how: bool
) -> Iterator[list[socket.socket]]:
    sockets = open_port(binds, port, kinds, **how)
    try:
        yield sockets
    finally:
        for sock in sockets:
            sock.close()


def port_of(sock: socket.socket) -> int:
    return int(sock.getsockname()[1])


def places(sockets: Sequence[socket.socket]) -> list[tuple[int, str]]:
    return [(sock.type, sock.getsockname()[0]) for sock in sockets]


def test_port_0_is_one_port_for_all_kinds_and_addresses() -> None:
    with opened([LOCAL, "::1"], 0, [TCP, UDP]) as sockets:
        assert places(sockets) == [(TCP, LOCAL), (TCP, "::1"), (UDP, LOCAL), (UDP, "::1")]
        assert len(set(map(port_of, sockets))) == 1


@pytest.mark.parametrize("binds", [[], ["0.0.0.0"], ["::"], ["0.0.0.0", "::"], [LOCAL, "0.0.0.0"]])
def test_a_wildcard_is_all_addresses_of_both_families_whatever_stands_beside_it(binds: list[str]) -> None:
    with opened(binds, 0, [TCP]) as sockets:
        assert places(sockets) == [(TCP, "0.0.0.0"), (TCP, "::")]


def test_an_address_that_is_named_twice_is_opened_once() -> None:
    with opened([LOCAL, LOCAL], 0, [TCP]) as sockets:
        assert places(sockets) == [(TCP, LOCAL)]


@pytest.mark.parametrize("kind", [TCP, UDP])
def test_a_busy_port_is_named_whichever_kind_is_busy(kind: int) -> None:
    port = free_port(LOCAL)  # which nobody else takes when it is half free
    with opened([LOCAL], port, [TCP, UDP]) as sockets:
        for sock in sockets:
            if sock.type != kind:
                sock.close()
        with pytest.raises(
            PortBusyError, match=rf"port {port} is in use: cannot listen on 127\.0\.0\.1:{port}"
        ):
            open_port([LOCAL], port, [TCP, UDP])
        with opened([LOCAL], port, [UDP if kind == TCP else TCP]):  # nothing was left open
            pass


def test_any_port_means_one_that_is_free_for_datagrams_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """The system gives a free TCP port; the first ones it gives are taken for UDP."""
    with contextlib.ExitStack() as stack:
        taken = []
        real_open = listening._open

        def open_and_take(family: int, kind: int, host: str, port: int, shares_port: bool) -> socket.socket:
            sock = real_open(family, kind, host, port, shares_port)
            if kind == TCP and len(taken) < 3:
                taken.append(stack.enter_context(opened([LOCAL], port_of(sock), [UDP]))[0])
            return sock

        monkeypatch.setattr(listening, "_open", open_and_take)
        with opened([LOCAL], 0, [TCP, UDP]) as sockets:
            assert port_of(sockets[0]) == port_of(sockets[1])
            assert port_of(sockets[0]) not in map(port_of, taken)
        assert len(taken) == 3


def test_processes_may_share_a_port_if_all_of_them_say_so() -> None:
    with opened([LOCAL], 0, [TCP, UDP], shares_port=True) as first:
        port = port_of(first[0])
        with opened([LOCAL], port, [TCP, UDP], shares_port=True) as second:
            assert set(map(port_of, second)) == {port}
        with pytest.raises(PortBusyError):
            open_port([LOCAL], port, [UDP])


def test_what_is_no_address_is_refused() -> None:
    with pytest.raises(UsageError, match="'localhost' is not an address"):
        open_port(["localhost"], 0, [TCP])


def test_an_address_of_another_machine_is_refused() -> None:
    with pytest.raises(NetworkError, match=r"cannot listen on 192\.0\.2\.1:0") as caught:
        open_port(["192.0.2.1"], 0, [TCP])
    assert caught.value.hint == "--bind takes an address of this machine"
