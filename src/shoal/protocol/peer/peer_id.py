"""Peer ids: ours, and what those of others say of their program (BEP 20).

A peer id is twenty bytes that a stranger chose, so `client_name` never fails and returns only what is safe to
print; an id it cannot read is shown as it is, escaped.
"""

from __future__ import annotations

import re
import string
from collections.abc import Callable

from shoal.protocol.peer.printable import printable_text

PEER_ID_LENGTH = 20
OUR_PREFIX = b"-SH0100-"  # SH: Shoal; then four version digits
RANDOM_LENGTH = PEER_ID_LENGTH - len(OUR_PREFIX)

# A version digit: 0 to 9, then letters for 10 and on, capitals first. "." and "-" are worth 62 and 63.
_DIGITS = string.digits + string.ascii_uppercase + string.ascii_lowercase + ".-"

_AZUREUS = re.compile(rb"-([A-Za-z~][A-Za-z~])(....)-", re.DOTALL)
_MAINLINE = re.compile(rb"([MQ])(\d{1,3})-(\d{1,3})-(\d{1,3})-")
_SHADOW = re.compile(rb"([AOQRSTU])([0-9A-Za-z.-]{1,5})-{1,5}")


def make_peer_id(random_bytes: bytes) -> bytes:
    """Our peer id, with twelve random bytes drawn by the caller."""
    if len(random_bytes) != RANDOM_LENGTH:
        raise ValueError(f"a peer id takes {RANDOM_LENGTH} random bytes, not {len(random_bytes)}")
    return OUR_PREFIX + random_bytes


def client_name(peer_id: bytes) -> str:
    """The program and version that a peer id claims: `b"-qB4650-..."` -> `"qBittorrent 4.6.5"`."""
    return (
        _azureus_name(peer_id) or _mainline_name(peer_id) or _shadow_name(peer_id) or _unknown_name(peer_id)
    )


def _azureus_name(peer_id: bytes) -> str | None:
    match = _AZUREUS.match(peer_id)
    if match is None:
        return None
    code = match[1].decode("ascii")
    name, read_version = _AZUREUS_CLIENTS.get(code, (code, _dotted))
    version = read_version(match[2].decode("latin-1"))
    return f"{name} {version}" if version else None


def _mainline_name(peer_id: bytes) -> str | None:
    match = _MAINLINE.match(peer_id)
    if match is None:
        return None
    name = "BitTorrent" if match[1] == b"M" else "Queen Bee"
    return f"{name} {int(match[2])}.{int(match[3])}.{int(match[4])}"


def _shadow_name(peer_id: bytes) -> str | None:
    match = _SHADOW.match(peer_id[:9])  # the version is padded with "-" as far as that at least
    if match is None or peer_id[6:9] != b"---":
        return None
    numbers = [_DIGITS.index(chr(digit)) for digit in match[2].rstrip(b"-")]
    return f"{_SHADOW_CLIENTS[match[1]]} {'.'.join(map(str, numbers))}" if numbers else None


def _unknown_name(peer_id: bytes) -> str:
    """The first eight bytes, where a program would have named itself."""
    if not any(peer_id[:8]):
        return "unknown"
    return printable_text(peer_id[:8].decode("latin-1").encode("ascii", "backslashreplace"))


# ---- the version styles: four characters -> text, or None if they are no version


def _numbers(digits: str) -> list[int] | None:
    values = [_DIGITS.find(digit) for digit in digits]
    return values if all(0 <= value < 62 for value in values) else None


def _dotted(digits: str) -> str | None:
    """`4650` -> 4.6.5, `123B` -> 1.2.3.11: a fourth number only if there is one."""
    numbers = _numbers(digits)
    if numbers is None:
        return None
    return ".".join(map(str, numbers if numbers[3] else numbers[:3]))


def _four_numbers(digits: str) -> str | None:
    numbers = _numbers(digits)
    return None if numbers is None else ".".join(map(str, numbers))


def _three_numbers(digits: str) -> str | None:
    """`341` and any fourth byte, which names a build, or a beta with `B`."""
    numbers = _numbers(digits[:3])
    if numbers is None:
        return None
    return ".".join(map(str, numbers)) + (" (Beta)" if digits[3] == "B" else "")


def _two_digit_minor(digits: str) -> str | None:
    """`0120` -> 0.12.0."""
    return f"{digits[0]}.{digits[1:3]}.{digits[3]}" if digits.isascii() and digits.isdigit() else None


def _two_digit_last(digits: str) -> str | None:
    """`9992` -> 9.9.92."""
    return f"{digits[0]}.{digits[1]}.{digits[2:]}" if digits.isascii() and digits.isdigit() else None


def _transmission(digits: str) -> str | None:
    """`4050` -> 4.0.5 since version 4; before: `2940` -> 2.94, `111Z` -> 1.11 (Dev), `0072` -> 0.72."""
    if not re.fullmatch(r"\d{3}[0-9A-Za-z]", digits, re.ASCII):
        return None
    mark = {"Z": " (Dev)", "X": " (Beta)", "B": " (Beta)"}.get(digits[3], "")
    if digits.startswith("00"):
        return f"0.{digits[2:]}"
    if digits[0] >= "4":
        return f"{digits[0]}.{digits[1]}.{digits[2]}{mark}"
    return f"{digits[0]}.{digits[1:3]}{mark}"


_AZUREUS_CLIENTS: dict[str, tuple[str, Callable[[str], str | None]]] = {
    "A2": ("aria2", _dotted),
    "AG": ("Ares", _dotted),
    "AZ": ("Azureus", _dotted),
    "BC": ("BitComet", _dotted),
    "BI": ("BiglyBT", _four_numbers),
    "BT": ("BitTorrent", _three_numbers),
    "BW": ("BitTorrent Web", _three_numbers),
    "DE": ("Deluge", _dotted),
    "FC": ("FileCroc", _four_numbers),
    "FG": ("FlashGet", _dotted),
    "FT": ("FoxTorrent", _dotted),
    "GT": ("anacrolix/torrent", _dotted),
    "HL": ("Halite", _dotted),
    "KG": ("KGet", _dotted),
    "KT": ("KTorrent", _dotted),
    "LP": ("Lphant", _dotted),
    "LT": ("libtorrent", _dotted),
    "lt": ("rTorrent", _dotted),
    "LW": ("LimeWire", _dotted),
    "MO": ("MonoTorrent", _dotted),
    "MR": ("Miro", _dotted),
    "PD": ("Pando", _dotted),
    "PI": ("PicoTorrent", _two_digit_minor),
    "qB": ("qBittorrent", _dotted),
    "SD": ("Thunder", _dotted),
    "SH": ("Shoal", _dotted),
    "SP": ("BitSpirit", _dotted),
    "SZ": ("Shareaza", _dotted),
    "TL": ("Tribler", _dotted),
    "TR": ("Transmission", _transmission),
    "TT": ("TuoTu", _dotted),
    "UL": ("uLeecher", _dotted),
    "UM": ("µTorrent Mac", _three_numbers),
    "UT": ("µTorrent", _three_numbers),
    "UW": ("µTorrent Web", _three_numbers),
    "WD": ("WebTorrent Desktop", _four_numbers),
    "WW": ("WebTorrent", _four_numbers),
    "XC": ("Xtorrent", _dotted),
    "XF": ("Xfplay", _two_digit_last),
    "XL": ("Xunlei", _dotted),
    "XT": ("XanTorrent", _dotted),
    "ZT": ("ZipTorrent", _dotted),
}

_SHADOW_CLIENTS = {
    b"A": "ABC",
    b"O": "Osprey",
    b"Q": "BTQueue",
    b"R": "Tribler",
    b"S": "Shadow",
    b"T": "BitTornado",
    b"U": "UPnP NAT Bit Torrent",
}
