"""Where a helper goes for others: to public addresses, on the ports of web servers, and where its owner allows.

Pure. A helper fetches what members ask for, from where it stands, so it must be no way into its owner's network. Every
hop is judged by its URL before the request, and by the address when the connection is made (`net/guarding.py`). Behind
a proxy no address can be judged, so there only hosts are served that the owner names.

Always true: link-local addresses, metadata, multicast and broadcast are refused whatever the owner allows; an address
that carries another is refused unless the owner allows both.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Final
from urllib.parse import urlsplit

from shoal.errors import UsageError
from shoal.net.address_classes import (
    AddressClass,
    Classified,
    Ip,
    Network,
    carried_addresses,
    classify,
    numeric_host,
)
from shoal.net.guarding import is_inside, leads_to, plain_host

MOST_REDIRECTS: Final = 5
WEB_PORTS: Final = frozenset({80, 443})
FIRST_FREE_PORT: Final = 1024  # below are services that trust whoever comes from within: mail, printers, ...
_SCHEMES: Final = {"http": 80, "https": 443}
_ALLOWABLE: Final = frozenset(
    {
        AddressClass.LOOPBACK,
        AddressClass.PRIVATE,
        AddressClass.SHARED,
        AddressClass.DOCUMENTATION,  # laboratories use these two
        AddressClass.BENCHMARKING,
        AddressClass.RESERVED,
    }
)


@dataclass(frozen=True, slots=True)
class Guard:
    """`allow_hosts` are globs: with any, no other host is asked; `allow_private` networks may be reached, too."""

    allow_hosts: tuple[str, ...] = ()
    allow_private: tuple[Network, ...] = ()
    classify: Callable[[str], Classified] = classify
    hint: str = "the helper's owner decides: --allow-private CIDR for a network, --allow-host GLOB for hosts"

    def refusal(self, url: str, *, hop: int, is_proxied: bool = False) -> str | None:
        host = plain_host(url)
        if host is None:
            return "is not a plain host name"
        parts = urlsplit(url)
        if parts.scheme not in _SCHEMES:
            return "is not asked over http or https"
        if hop > MOST_REDIRECTS:
            return f"is the end of more than {MOST_REDIRECTS} redirects"
        if "@" in parts.netloc:
            return "wants a user, and whoever needs one is not helped"
        number = numeric_host(host)
        try:
            port = parts.port
        except ValueError:
            return "has no such port"
        return (
            _port_refusal(_SCHEMES[parts.scheme] if port is None else port)
            or self._host_refusal(host, is_proxied=is_proxied)
            or (self.address_refusal(number, port or 80) if number is not None else None)
        )

    def way_to_allow(self, url: str, *, is_proxied: bool = False) -> str:
        """The option that lets the URL in, if it was refused for its host; "" if none does, or none is known."""
        host = plain_host(url)
        if host is None:
            return ""
        if self._host_refusal(host, is_proxied=is_proxied):
            return f"--allow-host {host}"
        number = numeric_host(host)
        if number is None or self.classify(number).kind not in _ALLOWABLE:
            return ""
        return "" if self._is_allowed(ipaddress.ip_address(number)) else f"--allow-private {number}"

    def address_refusal(self, address: str, port: int, *, came_from_public: bool = False) -> str | None:
        """Where it came from does not count: what the owner allows may be asked for directly, too."""
        if refusal := _port_refusal(port):
            return refusal
        found = self.classify(address)
        if found.is_public and not found.through:
            return None
        is_allowed = found.is_public or found.kind in _ALLOWABLE
        if not found.is_public:
            is_allowed &= all(self._is_allowed(ip) for ip in carried_addresses(found.ip))
        return None if is_allowed and self._is_allowed(found.ip) else leads_to(found)

    def _is_allowed(self, ip: Ip) -> bool:
        return any(ip in network for network in self.allow_private)

    def _host_refusal(self, host: str, *, is_proxied: bool) -> str | None:
        name = host.rstrip(".")
        matching = [glob for glob in self.allow_hosts if fnmatchcase(name, glob.lower().rstrip("."))]
        if self.allow_hosts and not matching:
            return "is none of the hosts that are allowed here"
        if is_proxied and not self.allow_hosts:
            return "cannot be looked at from behind a proxy, where only hosts are served that are named"
        is_named = any(name == glob.lower().rstrip(".") for glob in matching)
        if is_proxied and not is_named and is_inside(name) and numeric_host(name) is None:
            return "is a name of an inner network"
        return None


def parse_network(text: str) -> Network:
    """`"10.0.0.0/8"`, `"192.168.1.7"`, `"fd00::/8"`: what `allow_private` may hold. Raises `UsageError`."""
    try:
        network = ipaddress.ip_network(text.strip())
    except ValueError:
        raise UsageError(
            f"'{text}' is not a network", hint="write it like 192.168.0.0/16, with zeros behind the prefix"
        ) from None
    first, last = classify(str(network[0])), classify(str(network[-1]))
    if first.kind is last.kind and not first.through and first.kind not in {*_ALLOWABLE, AddressClass.PUBLIC}:
        raise UsageError(f"'{text}' is {first.kind.value}: those are refused whatever is allowed")
    return network


def _port_refusal(port: int) -> str | None:
    if port in WEB_PORTS or port >= FIRST_FREE_PORT:
        return None
    return f"is asked on port {port}, where no web server is expected"
