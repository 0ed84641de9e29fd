"""Magnet links: `magnet:?xt=urn:btih:...` (BEP 9), also with v2 hashes (BEP 52) and selected files (BEP 53).

A link needs one good BitTorrent hash and no bad one. All else in it is an offer: what cannot be used is left
out, and unknown parameters are passed over.
"""

from __future__ import annotations

import re
from base64 import b32decode
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from urllib.parse import quote, unquote_to_bytes

from shoal.errors import FormatError
from shoal.formats.bitfield import iter_bits, run_mask
from shoal.formats.foreign_text import TRACKER_SCHEMES, WEB_SEED_SCHEMES, clean_text, clean_urls
from shoal.formats.metainfo import Metainfo
from shoal.units import KIB

MAX_MAGNET_LENGTH = 64 * KIB  # room for hundreds of trackers
MAX_FILE_INDEX = 1_000_000  # a selection is a bit a file, and one line may not ask for gigabytes of them
MAX_PEERS = 200  # more than anybody dials on the word of a link

Address = tuple[str, int]

_PREFIX = "magnet:?"
_V1_PREFIX = b"urn:btih:"
_V2_PREFIX = b"urn:btmh:"
_SHA256_MULTIHASH = "1220"  # the function's code and the 32 bytes it gives
_HEX_V1 = re.compile(rb"[0-9A-Fa-f]{40}")
_BASE32_V1 = re.compile(rb"[A-Za-z2-7]{32}")
_HEX_V2 = re.compile(rb"1220([0-9A-Fa-f]{64})")
_NUMBERED = re.compile(rb"(.+)\.[0-9]{1,4}")  # `tr.1`, `tr.2` mean `tr`
_ADDRESS = re.compile(rb"(?:\[([0-9A-Fa-f:.]{2,45})\]|([0-9A-Za-z._-]{1,255})):([0-9]{1,5})")
_SELECTED = re.compile(rb"([0-9]{1,7})(?:-([0-9]{1,7}))?")


class MagnetError(FormatError):
    """A magnet link that names no torrent, and why."""


@dataclass(frozen=True, slots=True)
class Magnet:
    """What a magnet link says. At least one info hash is there."""

    info_hash_v1: bytes | None = None  # 20 bytes
    info_hash_v2: bytes | None = None  # 32 bytes
    name: str = ""  # for people only; the metainfo has the real one
    trackers: tuple[str, ...] = ()  # a tier each
    web_seeds: tuple[str, ...] = ()
    peers: tuple[Address, ...] = ()
    dht_nodes: tuple[Address, ...] = ()
    selected_files: int = field(default=0, repr=False)  # a bit a file, up to a million; 0: all files


def parse_magnet(uri: str) -> Magnet:
    """The link's content. Raises `MagnetError`."""
    if uri[: len(_PREFIX)].lower() != _PREFIX:
        raise MagnetError(f"'{uri[:20]}' does not begin with '{_PREFIX}'")
    if len(uri) > MAX_MAGNET_LENGTH:
        raise MagnetError(f"a magnet link of {len(uri)} characters, where {MAX_MAGNET_LENGTH} is the limit")
    values = _parameters(uri[len(_PREFIX) :])
    v1 = [_parse_v1(topic) for topic in values[b"xt"] if topic.startswith(_V1_PREFIX)]
    v2 = [_parse_v2(topic) for topic in values[b"xt"] if topic.startswith(_V2_PREFIX)]
    if not v1 and not v2:
        raise MagnetError(
            f"the magnet link has no 'xt={_V1_PREFIX.decode()}...' or 'xt={_V2_PREFIX.decode()}...'"
        )
    return Magnet(
        info_hash_v1=v1[0] if v1 else None,
        info_hash_v2=v2[0] if v2 else None,
        name=clean_text(values[b"dn"][0]) if values[b"dn"] else "",
        trackers=tuple(clean_urls(values[b"tr"], TRACKER_SCHEMES)),
        web_seeds=tuple(clean_urls(values[b"ws"], WEB_SEED_SCHEMES)),
        peers=_addresses(values[b"x.pe"]),
        dht_nodes=_addresses(values[b"dht"]),
        selected_files=_selection(values[b"so"]),
    )


def encode_magnet(magnet: Magnet) -> str:
    """The link that says so."""
    return _PREFIX + "&".join(_encoded_parameters(magnet))


def magnet_of(metainfo: Metainfo) -> str:
    """The link to a torrent that we have."""
    return encode_magnet(
        Magnet(
            info_hash_v1=metainfo.info_hash_v1,
            info_hash_v2=metainfo.info_hash_v2,
            name=metainfo.name,
            trackers=tuple(url for tier in metainfo.trackers for url in tier),
            web_seeds=metainfo.web_seeds,
        )
    )


# ---- parsing


def _parameters(query: str) -> dict[bytes, list[bytes]]:
    """The values of each parameter we know, unquoted, in order. Only in names does `+` mean a blank."""
    values: dict[bytes, list[bytes]] = {
        key: [] for key in (b"xt", b"dn", b"tr", b"ws", b"x.pe", b"dht", b"so")
    }
    try:
        raw = query.encode()
    except UnicodeEncodeError:
        raise MagnetError("the magnet link is not text in UTF-8") from None
    for parameter in raw.split(b"&"):
        key, _, value = parameter.partition(b"=")
        numbered = _NUMBERED.fullmatch(key)
        key = (numbered[1] if numbered else key).lower()
        if key in values and value:
            values[key].append(unquote_to_bytes(value.replace(b"+", b" ") if key == b"dn" else value))
    return values


def _parse_v1(topic: bytes) -> bytes:
    text = topic.removeprefix(_V1_PREFIX)
    if _HEX_V1.fullmatch(text):
        return bytes.fromhex(text.decode())
    if _BASE32_V1.fullmatch(text):
        return b32decode(text.upper())
    raise MagnetError(f"{_shown(text)} is no info hash of 40 hex or 32 base32 digits")


def _parse_v2(topic: bytes) -> bytes:
    text = topic.removeprefix(_V2_PREFIX)
    match = _HEX_V2.fullmatch(text)
    if match is None:
        raise MagnetError(f"{_shown(text)} is no info hash of '{_SHA256_MULTIHASH}' and 64 hex digits")
    return bytes.fromhex(match[1].decode())


def _shown(text: bytes) -> str:
    return f"'{clean_text(text[:80])}'".replace("\n", " ")


def _addresses(values: Iterable[bytes]) -> tuple[Address, ...]:
    """`host:port`, `[IPv6]:port`; others are left out."""
    found: dict[Address, None] = {}
    for value in values:
        match = _ADDRESS.fullmatch(value)
        if match and 0 < int(match[3]) < 65536:
            found.setdefault(((match[1] or match[2]).decode(), int(match[3])))
        if len(found) == MAX_PEERS:
            break
    return tuple(found)


def _selection(values: Iterable[bytes]) -> int:
    """`0,2,6-8` -> a bit a file; ranges that are none, or beyond any torrent, are left out."""
    bits = 0
    for item in b",".join(values).split(b","):
        match = _SELECTED.fullmatch(item)
        if match:
            first = int(match[1])
            last = int(match[2] or first)
            if first <= last <= MAX_FILE_INDEX:
                bits |= run_mask(first, last - first + 1)
    return bits


# ---- encoding


def _encoded_parameters(magnet: Magnet) -> Iterator[str]:
    if magnet.info_hash_v1 is not None:
        yield f"xt={_V1_PREFIX.decode()}{magnet.info_hash_v1.hex()}"
    if magnet.info_hash_v2 is not None:
        yield f"xt={_V2_PREFIX.decode()}{_SHA256_MULTIHASH}{magnet.info_hash_v2.hex()}"
    if magnet.name:
        yield f"dn={quote(magnet.name, safe='')}"
    for key, urls in (("tr", magnet.trackers), ("ws", magnet.web_seeds)):
        for url in urls:
            yield f"{key}={quote(url, safe='')}"
    for key, addresses in (("x.pe", magnet.peers), ("dht", magnet.dht_nodes)):
        for host, port in addresses:
            yield f"{key}=[{host}]:{port}" if ":" in host else f"{key}={host}:{port}"
    if magnet.selected_files:
        yield "so=" + ",".join(_runs(magnet.selected_files))


def _runs(bits: int) -> Iterator[str]:
    """0b1110001 -> `"0"`, `"4-6"`"""
    first = last = -1
    for place in iter_bits(bits):
        if place != last + 1 or first < 0:
            if first >= 0:
                yield _run(first, last)
            first = place
        last = place
    yield _run(first, last)


def _run(first: int, last: int) -> str:
    return str(first) if first == last else f"{first}-{last}"
