"""Call out in the local networks which swarms we are in, and hear the others, by multicast (BEP 14).

When to call and whom to believe is `swarm/local_search.py`'s to say. Always true: what is sent goes no further than the
networks this machine is in (TTL 1); only datagrams to the group are read, never those to this machine alone, which
may come from anywhere; no more than `MOST_READ` of them a second are read. Without any multicast it is silent, which
is said once. Ordinary torrents do not use it yet; nothing here would hinder them.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import secrets
import socket
import struct
import sys
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Final

from shoal.errors import FormatError
from shoal.net.addresses import is_wildcard, url_host
from shoal.net.sockets import Address
from shoal.protocol.local_discovery import (
    GROUP_PORT,
    GROUP_V4,
    GROUP_V6,
    MOST_INFO_HASHES,
    MOST_LENGTH,
    Announcement,
    encode_announcement,
    parse_announcement,
)
from shoal.swarm.local_search import LocalSearch

LOOKED_EVERY: Final = 15.0  # seconds between looks at the interfaces; a cable is plugged in, a VPN comes up
MOST_INTERFACES: Final = 16  # machines full of containers have hundreds; the system lets a socket join 20
MOST_READ: Final = 1000  # datagrams a second, of all sources: a hundredth of what this machine could
MOST_AT_ONCE: Final = 64  # of them, then the rest of the program has its turn
COOKIE_BYTES: Final = 8  # two of a room do not hit upon the same

_IP_MULTICAST_ALL = 49  # Linux; off: only what this socket joined, not what any program of the machine did
_IPV6_MULTICAST_ALL = 29
_IPV6_ADDRESSES = Path("/proc/net/if_inet6")

OnPeer = Callable[[bytes, Address], None]
OnNote = Callable[[str], None]


class LocalDiscovery(AbstractAsyncContextManager["LocalDiscovery"]):
    """`port` is where our peers are served. `on_peer(info_hash, address)` is called for whoever is heard.

    With `bind`, only the network of that address is spoken to. A link-local IPv6 address has its zone (`%eth0`).
    """

    def __init__(self, bind: str | None, port: int, on_peer: OnPeer, on_note: OnNote | None = None) -> None:
        self._bind = None if is_wildcard(bind) else bind
        self._port = port
        self._on_peer = on_peer
        self._on_note = on_note
        self._search = LocalSearch(secrets.token_hex(COOKIE_BYTES), random.Random())
        self._groups: list[_Group] = []
        self._timer: asyncio.TimerHandle | None = None
        self._look: asyncio.TimerHandle | None = None
        self._reopen: asyncio.TimerHandle | None = None
        self._second = 0
        self._read_count = 0  # datagrams within that second

    async def __aenter__(self) -> LocalDiscovery:
        self._loop = asyncio.get_running_loop()
        self._open()
        self._listen()
        self._look_again()
        return self

    async def __aexit__(self, *_: object) -> None:
        for timer in (self._timer, self._look, self._reopen):
            if timer is not None:
                timer.cancel()
        for group in self._groups:
            self._loop.remove_reader(group.receiver.fileno())
            group.close()
        self._groups.clear()

    def join(self, info_hash: bytes) -> None:
        """Call at once, and now and then, and hear who else is in that swarm."""
        self._search.join(info_hash, self._loop.time())
        self._set_timer()

    def leave(self, info_hash: bytes) -> None:
        self._search.leave(info_hash)
        self._set_timer()

    # -- networks

    def _open(self) -> None:
        for family in (socket.AF_INET, socket.AF_INET6):
            if self._bind is None or (":" in self._bind) == (family == socket.AF_INET6):
                with contextlib.suppress(OSError):  # a system without this family
                    self._groups.append(_Group(family, self._bind))

    def _look_again(self) -> None:
        """Networks come and go: those that are new, or could not be spoken to before, hear of all our swarms."""
        for group in self._groups:
            group.look()
            self._call(group, self._search.info_hashes, sorted(group.unheard))
        self._look = self._loop.call_later(LOOKED_EVERY, self._look_again)

    # -- calling

    def _set_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        deadline = self._search.next_deadline()
        self._timer = None if deadline is None else self._loop.call_at(deadline, self._call_due)

    def _call_due(self) -> None:
        due = self._search.take_due(self._loop.time())
        for group in self._groups:
            self._call(group, due, sorted(group.joined))
        if self._on_note is not None and not any(group.joined - group.unheard for group in self._groups):
            self._on_note("local discovery: no network here lets us call out to it by multicast")
            self._on_note = None
        self._set_timer()

    def _call(self, group: _Group, info_hashes: Sequence[bytes], interfaces: Sequence[int]) -> None:
        for begin in range(0, len(info_hashes), MOST_INFO_HASHES):
            some = tuple(info_hashes[begin : begin + MOST_INFO_HASHES])
            host = f"{url_host(group.address)}:{GROUP_PORT}"
            datagram = encode_announcement(Announcement(host, self._port, some, self._search.cookie))
            for interface in interfaces:
                group.send(datagram, interface)

    # -- hearing

    def _listen(self) -> None:
        for group in self._groups:
            self._loop.add_reader(group.receiver.fileno(), self._on_readable, group)

    def _on_readable(self, group: _Group) -> None:
        for _ in range(MOST_AT_ONCE):
            now = self._loop.time()
            if not self._may_read(now):
                return
            try:
                data, sender = group.receiver.recvfrom(MOST_LENGTH + 1)
            except OSError:  # nothing more is there, or an interface has gone
                return
            if self._search.admits(sender[0], now):
                self._hear(data, sender[0], now)

    def _may_read(self, now: float) -> bool:
        """Whether another one may be read in this second; if not, nothing is until the next."""
        if int(now) != self._second:
            self._second, self._read_count = int(now), 0
        self._read_count += 1
        if self._read_count <= MOST_READ:
            return True
        for group in self._groups:
            self._loop.remove_reader(group.receiver.fileno())
        self._reopen = self._loop.call_at(self._second + 1, self._listen)
        return False

    def _hear(self, data: bytes, host: str, now: float) -> None:
        try:
            heard = parse_announcement(data)
        except FormatError:
            return  # a stranger's; there is nobody to tell
        for info_hash, address in self._search.on_heard(heard, host, now):
            self._on_peer(info_hash, address)
        self._set_timer()


class _Group:
    """The multicast group of one address family: a socket that hears, a socket that calls, and where both do.

    `joined` are the interfaces by index (0: that of `bind`, as the system finds it); `unheard` are those on which
    nothing could be sent, or not yet. Raises `OSError`.
    """

    def __init__(self, family: int, bind: str | None) -> None:
        self._is_v6 = family == socket.AF_INET6
        self._bind = bind
        self.address = GROUP_V6 if self._is_v6 else GROUP_V4
        self.joined: set[int] = set()
        self.unheard: set[int] = set()
        with contextlib.ExitStack() as opened:
            self.receiver = opened.enter_context(socket.socket(family, socket.SOCK_DGRAM))
            self._sender = opened.enter_context(socket.socket(family, socket.SOCK_DGRAM))
            self._set_up()
            opened.pop_all()

    def _set_up(self) -> None:
        self.receiver.setblocking(False)
        self.receiver.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.receiver.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        level = socket.IPPROTO_IPV6 if self._is_v6 else socket.IPPROTO_IP
        if sys.platform == "linux":
            with contextlib.suppress(OSError):  # older than Linux 4.20: IPv6 hears a little more
                option = _IPV6_MULTICAST_ALL if self._is_v6 else _IP_MULTICAST_ALL
                self.receiver.setsockopt(level, option, 0)
        self.receiver.bind((self.address, GROUP_PORT))
        self._sender.setblocking(False)
        hops = socket.IPV6_MULTICAST_HOPS if self._is_v6 else socket.IP_MULTICAST_TTL
        loop = socket.IPV6_MULTICAST_LOOP if self._is_v6 else socket.IP_MULTICAST_LOOP
        self._sender.setsockopt(level, hops, 1)
        self._sender.setsockopt(level, loop, 1)  # for other processes of this machine
        if self._bind is not None:
            self._sender.bind((self._bind, 0))

    def look(self) -> None:
        """Join on the interfaces that are new; forget those that are gone."""
        interfaces = self._interfaces()
        self.joined &= interfaces
        for interface in sorted(interfaces - self.joined):
            with contextlib.suppress(OSError):  # it is down, or has no address of this family
                self._join(interface)
                self.joined.add(interface)
                self.unheard.add(interface)
        self.unheard &= self.joined

    def send(self, datagram: bytes, interface: int) -> None:
        self.unheard.discard(interface)
        try:
            if self._is_v6:
                self._sender.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_IF, interface)
            else:
                option = struct.pack("@4s4si", bytes(4), self._address_of(interface), interface)
                self._sender.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, option)
            self._sender.sendto(datagram, (self.address, GROUP_PORT))
        except BlockingIOError:
            pass  # no room; the next call is not far
        except OSError:
            self.unheard.add(interface)

    def close(self) -> None:
        self.receiver.close()
        self._sender.close()

    def _join(self, interface: int) -> None:
        if self._is_v6:
            request = struct.pack("@16sI", socket.inet_pton(socket.AF_INET6, self.address), interface)
            self.receiver.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_JOIN_GROUP, request)
        else:
            request = struct.pack(
                "@4s4si", socket.inet_aton(self.address), self._address_of(interface), interface
            )
            self.receiver.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, request)

    def _address_of(self, interface: int) -> bytes:
        """By which the system finds an interface without an index."""
        return socket.inet_aton(self._bind) if interface == 0 and self._bind else bytes(4)

    def _interfaces(self) -> set[int]:
        if self._bind is not None:
            return {_index_of(self._bind) if self._is_v6 else 0}
        try:
            return {index for index, _ in socket.if_nameindex()[:MOST_INTERFACES]}
        except OSError:
            return set(self.joined)


def _index_of(bind: str) -> int:
    """The interface that has an IPv6 address; 0, the system's choice, where that is not to be learnt."""
    host, _, zone = bind.partition("%")
    with contextlib.suppress(OSError):
        if zone:
            return int(zone) if zone.isdecimal() else socket.if_nametoindex(zone)
        wanted = socket.inet_pton(socket.AF_INET6, host).hex()
        for line in _IPV6_ADDRESSES.read_text().splitlines():
            address, index = line.split()[:2]
            if address == wanted:
                return int(index, 16)
    return 0
