"""What kind of place an IP address leads to: the whole internet, this machine, its network, its cloud's secrets.

Pure. Always true: what is not known to be public is not public; the class of an address that carries another one
(mapped, 6to4, NAT64, Teredo, ...) is that of the one it carries, and it says so itself. Sources: the special-purpose
registries of IANA (RFC 6890), RFC 6052 (NAT64), RFC 4380 (Teredo), and what clouds document of their metadata.
"""

from __future__ import annotations

import enum
import ipaddress
from dataclasses import dataclass

Ip = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network


class AddressClass(enum.Enum):
    """The value is what people are told."""

    PUBLIC = "a public address"
    LOOPBACK = "this machine itself"
    PRIVATE = "a private address"
    SHARED = "an address of a provider's inner network"
    LINK_LOCAL = "a link-local address"
    METADATA = "a machine's own metadata"
    UNSPECIFIED = "no machine in particular"
    MULTICAST = "a multicast address"
    BROADCAST = "everybody in the network"
    DOCUMENTATION = "an address for examples"
    BENCHMARKING = "an address for benchmarks"
    RESERVED = "a reserved address"


@dataclass(frozen=True, slots=True)
class Classified:
    """`ip` leads to a place of `kind`; `through` names the way if it carries another address, else it is ""."""

    ip: Ip
    kind: AddressClass
    through: str = ""

    @property
    def is_public(self) -> bool:
        return self.kind is AddressClass.PUBLIC


def _table(rows: dict[str, AddressClass]) -> tuple[tuple[Network, AddressClass], ...]:
    """The narrowest network first, so that the first that holds an address says what it is."""
    networks = [(ipaddress.ip_network(text), kind) for text, kind in rows.items()]
    return tuple(sorted(networks, key=lambda row: -row[0].prefixlen))


_KINDS_V4 = _table(
    {
        "0.0.0.0/0": AddressClass.PUBLIC,
        "0.0.0.0/8": AddressClass.UNSPECIFIED,
        "10.0.0.0/8": AddressClass.PRIVATE,
        "100.64.0.0/10": AddressClass.SHARED,
        "100.100.100.200/32": AddressClass.METADATA,  # Alibaba
        "127.0.0.0/8": AddressClass.LOOPBACK,
        "168.63.129.16/32": AddressClass.METADATA,  # Azure, though it looks public
        "169.254.0.0/16": AddressClass.LINK_LOCAL,
        "169.254.169.254/32": AddressClass.METADATA,  # most of them
        "169.254.169.253/32": AddressClass.METADATA,
        "169.254.170.2/32": AddressClass.METADATA,  # a container's, at Amazon
        "172.16.0.0/12": AddressClass.PRIVATE,
        "192.0.0.0/24": AddressClass.RESERVED,
        "192.0.0.192/32": AddressClass.METADATA,  # Oracle
        "192.0.2.0/24": AddressClass.DOCUMENTATION,
        "192.88.99.0/24": AddressClass.RESERVED,  # relays of 6to4
        "192.168.0.0/16": AddressClass.PRIVATE,
        "198.18.0.0/15": AddressClass.BENCHMARKING,
        "198.51.100.0/24": AddressClass.DOCUMENTATION,
        "203.0.113.0/24": AddressClass.DOCUMENTATION,
        "224.0.0.0/4": AddressClass.MULTICAST,
        "240.0.0.0/4": AddressClass.RESERVED,
        "255.255.255.255/32": AddressClass.BROADCAST,
    }
)
_KINDS_V6 = _table(
    {
        "::/0": AddressClass.RESERVED,  # only 2000::/3 is given out
        "::/128": AddressClass.UNSPECIFIED,
        "::1/128": AddressClass.LOOPBACK,
        "100::/64": AddressClass.RESERVED,  # for discarding
        "2000::/3": AddressClass.PUBLIC,
        "2001::/23": AddressClass.RESERVED,  # for protocols
        "2001:2::/48": AddressClass.BENCHMARKING,
        "2001:db8::/32": AddressClass.DOCUMENTATION,
        "3fff::/20": AddressClass.DOCUMENTATION,
        "fc00::/7": AddressClass.PRIVATE,
        "fd00:ec2::/96": AddressClass.METADATA,  # Amazon
        "fd00:42::42/128": AddressClass.METADATA,  # Scaleway
        "fd20:ce::254/128": AddressClass.METADATA,  # Google
        "fe80::/10": AddressClass.LINK_LOCAL,
        "fe80::a9fe:a9fe/128": AddressClass.METADATA,  # OpenStack
        "fec0::/10": AddressClass.PRIVATE,  # site-local, before there were unique local ones
        "ff00::/8": AddressClass.MULTICAST,
    }
)

# Networks whose addresses carry an IPv4 address, and how many bits stand behind it.
_CARRIERS = tuple(
    (ipaddress.IPv6Network(text), name, shift)
    for text, name, shift in (
        ("::ffff:0:0/96", "a mapped address", 0),
        ("::ffff:0:0:0/96", "a translated address", 0),
        ("::/96", "a compatible address", 0),
        ("64:ff9b::/96", "NAT64", 0),
        ("2002::/16", "6to4", 80),
    )
)
_LOCAL_NAT64 = ipaddress.IPv6Network(
    "64:ff9b:1::/48"
)  # each network has its own way to write there (RFC 8215)
_TEREDO = ipaddress.IPv6Network("2001::/32")
_ISATAP = 0x00005EFE  # the upper half of the interface's name, but for one bit


def classify(address: str) -> Classified:
    """`"10.0.0.7"`, `"fe80::1%eth0"` -> what it is. Raises `ValueError` for what is no address."""
    ip = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(ip, ipaddress.IPv4Address):
        return Classified(ip, _kind(ip, _KINDS_V4))
    through, carried = _carried(ip)
    if not carried:
        return Classified(ip, _kind(ip, _KINDS_V6))
    kinds = [_kind(inner, _KINDS_V4) for inner in carried]
    worst = next((kind for kind in kinds if kind is not AddressClass.PUBLIC), AddressClass.PUBLIC)
    return Classified(ip, worst, through)


def carried_addresses(ip: Ip) -> tuple[ipaddress.IPv4Address, ...]:
    """The IPv4 addresses that `ip` leads to, if it carries any: two where it may be read in two ways."""
    return () if isinstance(ip, ipaddress.IPv4Address) else _carried(ip)[1]


def numeric_host(host: str) -> str | None:
    """The address that a URL's host spells (`127.1`, `0x7f000001`, `0177.0.0.1`, `[::1]`), None for a name."""
    text = host.removeprefix("[").removesuffix("]")
    if ":" in text:
        try:
            return str(ipaddress.IPv6Address(text.partition("%")[0]))
        except ValueError:
            return None
    parts = text.removesuffix(".").split(".")
    numbers = [_number(part) for part in parts]
    if len(parts) > 4 or None in numbers:
        return None
    *leading, last = (number for number in numbers if number is not None)
    if any(number > 255 for number in leading) or last >= 256 ** (4 - len(leading)):
        return None
    value = last + sum(number << 8 * (3 - place) for place, number in enumerate(leading))
    return str(ipaddress.IPv4Address(value))


def _number(part: str) -> int | None:
    """As `inet_aton` reads one: hexadecimal after 0x, octal after 0."""
    lowered = part.lower()
    base = 16 if lowered.startswith("0x") else 8 if lowered.startswith("0") and len(lowered) > 1 else 10
    digits = lowered[2:] if base == 16 else lowered
    if not digits.isascii() or not digits.isalnum():
        return 0 if base == 16 and not digits else None
    try:
        return int(digits, base)
    except ValueError:
        return None


def _kind(ip: Ip, table: tuple[tuple[Network, AddressClass], ...]) -> AddressClass:
    return next(kind for network, kind in table if ip in network)


def _carried(ip: ipaddress.IPv6Address) -> tuple[str, tuple[ipaddress.IPv4Address, ...]]:
    """By which way, and the IPv4 addresses; no way and none if it carries none."""
    value = int(ip)
    if value <= 1:  # unspecified and loopback, which look like compatible ones
        return "", ()
    if ip in _LOCAL_NAT64:
        split = (value >> 64 & 0xFFFF) << 16 | value >> 40 & 0xFFFF  # RFC 6052 leaves bits 64 to 71 out
        return "NAT64", (_v4(value), _v4(split))
    if ip in _TEREDO:
        return "Teredo", (_v4(~value), _v4(value >> 64))  # its client, whose bits are turned, and its server
    for network, name, shift in _CARRIERS:
        if ip in network:
            return name, (_v4(value >> shift),)
    if value >> 32 & 0xFDFFFFFF == _ISATAP and _kind(ip, _KINDS_V6) is AddressClass.PUBLIC:
        return "ISATAP", (_v4(value),)
    return "", ()


def _v4(value: int) -> ipaddress.IPv4Address:
    return ipaddress.IPv4Address(value & 0xFFFFFFFF)
