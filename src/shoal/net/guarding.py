"""Where a connection may lead that somebody else asked for: what is connected to is the address that was looked at.

A guard has the rules. `Watch` has libcurl obey one: libcurl asks it for every socket, with the address that the socket
will be connected to, and again before every request, so that neither what a name resolved to before, nor a
connection that is used again, gets around the guard. `TorrentGuard` has the rules for what a torrent names; those of a
helper are in `fetch/guard.py`.

Always true: a message names the host and the kind of place, not the address behind a name, nor more of the URL.
"""

from __future__ import annotations

import asyncio
import re
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol
from urllib.parse import urlsplit

import pycurl  # type: ignore[import-untyped]  # its stubs are a package of their own

from shoal.errors import GuardError
from shoal.net.address_classes import AddressClass, Classified, classify, numeric_host
from shoal.net.curl_errors import host_of
from shoal.net.environment_proxies import proxy_of_environment

SocketAddress = tuple[Any, ...]  # as `socket.connect` takes it

# Names that mean something inside of a network only; a proxy would look them up in its own.
INSIDE: Final = ("localhost", "local", "internal", "home.arpa")

METADATA_NAMES: Final = frozenset(
    {"metadata", "metadata.google.internal", "metadata.goog", "instance-data", "instance-data.ec2.internal"}
)

_NAME: Final = re.compile(r"[a-z0-9_-]+(\.[a-z0-9_-]+)*\.?")
_NEVER: Final = frozenset(  # for a torrent
    {AddressClass.LINK_LOCAL, AddressClass.METADATA, AddressClass.MULTICAST, AddressClass.BROADCAST}
)


class AddressGuard(Protocol):
    """The rules. A refusal is the end of a sentence that begins with the host; None: it may be."""

    @property
    def hint(self) -> str:
        """What a person can do about a refusal."""

    @property
    def classify(self) -> Callable[[str], Classified]: ...

    def refusal(self, url: str, *, hop: int, is_proxied: bool = False) -> str | None:
        """Before a request: `hop` 0 is the URL that was asked for, each redirect is one more."""

    def address_refusal(self, address: str, port: int, *, came_from_public: bool) -> str | None:
        """When a connection is made, or used again."""


@dataclass(frozen=True, slots=True)
class TorrentGuard:
    """What a torrent names may be in a private network, but is no metadata; nothing public leads into a private one."""

    classify: Callable[[str], Classified] = classify
    hint: str = "a torrent names it, and may have been made to reach what is not its maker's"

    def refusal(self, url: str, *, hop: int, is_proxied: bool = False) -> str | None:
        host = plain_host(url)
        if host is None:
            return "is not a plain host name"
        number = numeric_host(host)
        if number is not None:
            return self.address_refusal(number, 0, came_from_public=is_proxied and hop > 0)
        return f"leads to {AddressClass.METADATA.value}" if host.rstrip(".") in METADATA_NAMES else None

    def address_refusal(self, address: str, port: int, *, came_from_public: bool) -> str | None:
        found = self.classify(address)
        if found.kind in _NEVER:
            return leads_to(found)
        return f"a public host {leads_to(found)}" if came_from_public and not found.is_public else None


def plain_host(url: str) -> str | None:
    """The URL's host in lower case, if all who read URLs would agree on it; else None."""
    try:
        parts = urlsplit(url)
        host = parts.hostname
    except ValueError:
        return None
    if not host or "\\" in parts.netloc or parts.netloc.count("@") > 1:
        return None
    is_plain = numeric_host(host) is not None if ":" in host else _NAME.fullmatch(host) is not None
    return host if is_plain else None


def is_inside(host: str) -> bool:
    """Whether it is a name that no public name server knows."""
    name = host.rstrip(".")
    return "." not in name or any(name == zone or name.endswith(f".{zone}") for zone in INSIDE)


def leads_to(found: Classified) -> str:
    return f"leads to {found.kind.value}" + (f" through {found.through}" if found.through else "")


def allowed_addresses(
    guard: AddressGuard, name: str, addresses: Sequence[SocketAddress]
) -> list[SocketAddress]:
    """Those that may be reached directly. Raises `GuardError`, which begins with `name`, if none may."""
    refusals = [guard.address_refusal(host, port, came_from_public=False) for host, port, *_ in addresses]
    allowed = [address for address, refusal in zip(addresses, refusals, strict=True) if refusal is None]
    if not allowed:
        raise GuardError(f"{name} {next(filter(None, refusals), 'has no address')}", hint=guard.hint)
    return allowed


class Watch:
    """A guard over one request: its connections, new and used again."""

    def __init__(
        self, guard: AddressGuard, url: str, *, hop: int, came_from_public: bool, proxy: str | None
    ) -> None:
        """`proxy` as the person set it; None: as the environment says. Raises `GuardError` if it may not be asked."""
        self._guard = guard
        self._url = url
        self._came_from_public = came_from_public
        self._refused = ""  # why, of the last address that was
        self._has_opened = False
        self._loop = asyncio.get_running_loop()
        self.is_public = False  # the address that the request went to
        try:
            self._proxy = proxy_of_environment(url) if proxy is None else proxy
        except ValueError:
            raise GuardError(f"{host_of(url)} is not a plain host name", hint=guard.hint) from None
        refusal = guard.refusal(url, hop=hop, is_proxied=bool(self._proxy))
        if refusal is not None:
            raise GuardError(f"{host_of(url)} {refusal}", hint=guard.hint)

    def set_up(self, curl: Any) -> None:
        """The way is ours to choose, so that it is known whether there is a proxy: then its address says nothing."""
        curl.setopt(pycurl.PROXY, self._proxy)
        curl.setopt(pycurl.NOPROXY, "")
        if not self._proxy:
            curl.setopt(pycurl.OPENSOCKETFUNCTION, self._open)
            curl.setopt(pycurl.PREREQFUNCTION, self._before_request)

    def error(self) -> GuardError | None:
        """Why the request could not be made, if that was the guard's doing."""
        if not self._refused or self._has_opened:
            return None
        return GuardError(f"{host_of(self._url)} {self._refused}", hint=self._guard.hint)

    def _open(self, purpose: int, address: Any) -> socket.socket | int:
        if not self._may_reach(*address.addr[:2]):
            return int(pycurl.SOCKET_BAD)
        try:
            sock = socket.socket(address.family, address.socktype, address.protocol)
        except OSError:
            return int(pycurl.SOCKET_BAD)
        self._has_opened = True
        self._loop.call_soon(sock.close)  # libcurl has a copy of it by then
        return sock

    def _before_request(self, address: str, own: str, port: int, own_port: int) -> int:
        if not self._may_reach(address, port):
            self._has_opened = False
            return int(pycurl.PREREQFUNC_ABORT)
        self.is_public = self._guard.classify(address).is_public
        return int(pycurl.PREREQFUNC_OK)

    def _may_reach(self, address: object, port: object) -> bool:
        try:
            refusal = self._guard.address_refusal(
                str(address), int(str(port)), came_from_public=self._came_from_public
            )
        except ValueError:
            refusal = "leads to what is no address"
        self._refused = refusal or self._refused
        return refusal is None
