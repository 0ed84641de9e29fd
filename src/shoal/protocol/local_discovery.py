"""What peers of one network call out to each other: which torrents they are in, and on which port (BEP 14).

Pure codec of one datagram. Always true: any bytes give an `Announcement` or `FormatError`; what was encoded parses to
the same. Headers that nobody knows are passed over, as in HTTP.
"""

from __future__ import annotations

import re

from msgspec import Struct

from shoal.errors import FormatError

GROUP_V4 = "239.192.152.143"
GROUP_V6 = "ff15::efc0:988f"
GROUP_PORT = 6771
MOST_LENGTH = 1400  # bytes; BEP 14 keeps an announcement in one packet of any network
MOST_INFO_HASHES = 20  # of one datagram: with all its other lines it is shorter than MOST_LENGTH
MOST_LINES = 64  # other clients add lines of their own
LONGEST_COOKIE = 64  # it tells voices apart, and is kept for each of them
INFO_HASH_LENGTH = 20

_REQUEST = "BT-SEARCH * HTTP/1.1"
_INFO_HASH = re.compile(r"[0-9A-Fa-f]{40}")
_PORT = re.compile(r"0*[0-9]{1,5}")
_SIGNS = re.compile(r"[!-~]*")  # visible ASCII


class Announcement(Struct, frozen=True):
    """`host` is the group it is meant for, as it stands in a URL; `cookie` is "" where there is none."""

    host: str
    port: int
    info_hashes: tuple[bytes, ...]
    cookie: str = ""


def encode_announcement(announcement: Announcement) -> bytes:
    lines = [_REQUEST, f"Host: {announcement.host}", f"Port: {announcement.port}"]
    lines += [f"Infohash: {info_hash.hex()}" for info_hash in announcement.info_hashes]
    if announcement.cookie:
        lines.append(f"cookie: {announcement.cookie}")
    return "\r\n".join([*lines, "", "", ""]).encode("ascii")


def parse_announcement(data: bytes) -> Announcement:
    """Raises `FormatError`. An info hash that is told twice counts once."""
    if len(data) > MOST_LENGTH:
        raise FormatError(f"local announcement: {len(data)} bytes, more than {MOST_LENGTH}")
    try:
        lines = data.decode("ascii").split("\r\n")
    except UnicodeDecodeError as error:
        raise FormatError(f"local announcement: byte {error.start}: not ASCII") from None
    if lines[0] != _REQUEST:
        raise FormatError("local announcement: byte 0: not a BT-SEARCH")
    if "" not in lines:
        raise FormatError(f"local announcement: byte {len(data)}: ends within its headers")
    end = lines.index("")
    if end > MOST_LINES:
        raise FormatError(f"local announcement: {end} lines, more than {MOST_LINES}")
    told: dict[str, list[str]] = {"host": [], "port": [], "infohash": [], "cookie": []}
    for line in lines[1:end]:
        name, _, value = line.partition(":")
        if name.lower() in told:
            told[name.lower()].append(value.strip(" \t"))
    return Announcement(
        _signs("Host", told["host"], MOST_LENGTH),
        _port(told["port"]),
        _info_hashes(told["infohash"]),
        _signs("cookie", told["cookie"], LONGEST_COOKIE),
    )


def _signs(name: str, values: list[str], longest: int) -> str:
    if len(values) > 1:
        raise FormatError(f"local announcement: {name} is told {len(values)} times")
    value = values[0] if values else ""
    if len(value) > longest or not _SIGNS.fullmatch(value):
        raise FormatError(f"local announcement: {name}: not up to {longest} visible signs")
    return value


def _port(values: list[str]) -> int:
    port = int(values[0]) if len(values) == 1 and _PORT.fullmatch(values[0]) else 0
    if not 0 < port <= 65535:
        raise FormatError("local announcement: not one Port of 1..65535")
    return port


def _info_hashes(values: list[str]) -> tuple[bytes, ...]:
    if not 0 < len(values) <= MOST_INFO_HASHES:
        raise FormatError(f"local announcement: {len(values)} info hashes, not 1..{MOST_INFO_HASHES}")
    for value in values:
        if not _INFO_HASH.fullmatch(value):
            raise FormatError(f"local announcement: Infohash: not {2 * INFO_HASH_LENGTH} hex digits")
    return tuple(dict.fromkeys(map(bytes.fromhex, values)))
