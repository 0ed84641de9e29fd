"""Metainfo: the `.torrent` file, v1 (BEP 3), v2 (BEP 52) and hybrid.

Always true of a `Metainfo`: its sizes, counts and hashes agree with one another, its names are safe, and
`info_bytes` are the very bytes that were in the file, so that its info hashes are everybody's. What we hold
no torrent to (an unsorted v1 dict, bytes after the end, a broken tracker URL, a comment of the wrong type)
is passed over; what a download would stumble over is refused with its place.

Making one is `metainfo_build`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha1, sha256

from shoal.errors import FormatError
from shoal.formats import merkle
from shoal.formats.bencode import BencodeError, Span, Value, decode_dict_spans
from shoal.formats.fields import Fields
from shoal.formats.file_list import (
    MAX_TOTAL_SIZE,
    Entry,
    File,
    RawPath,
    joined_hybrid,
    parse_v1_files,
    parse_v2_files,
    safe_files,
    with_padding,
)
from shoal.formats.foreign_text import MAX_URLS, TRACKER_SCHEMES, WEB_SEED_SCHEMES, clean_text, clean_urls
from shoal.formats.layout import BLOCK_LENGTH, Layout
from shoal.formats.safe_names import safe_name
from shoal.units import MIB

MAX_METAINFO_LENGTH = 256 * MIB  # MAX_PIECE_COUNT hashes of either kind, and the names of a million files
MAX_PIECE_LENGTH = (
    512 * MIB
)  # the largest that other clients make; a longer piece is a day lost at every wrong bit
MAX_PIECE_COUNT = 4 * 1024 * 1024  # a bitfield of half a MiB, which every peer sends once
MAX_CREATION_DATE = 253_402_300_799  # the last second of the year 9999, where calendars end
SHA1_LENGTH = 20


class MetainfoError(FormatError):
    """A metainfo that cannot be used, and why."""


@dataclass(frozen=True, slots=True, eq=False)
class Metainfo:
    """What a torrent is made of. Sizes are bytes; `files` and `layout` include padding files."""

    name: str  # safe; the file's, or the folder's
    info_bytes: bytes
    info_hash_v1: bytes | None  # 20 bytes; None for v2 only
    info_hash_v2: bytes | None  # 32 bytes; None for v1 only
    piece_length: int
    piece_hashes: bytes  # v1: 20 bytes a piece; empty for v2 only
    piece_layers: Mapping[bytes, bytes]  # v2: pieces root -> 32 bytes a piece, for files longer than a piece
    files: tuple[File, ...]  # in the torrent's order; v2 only has its implied padding spelled out
    layout: Layout
    payload_size: int  # without padding
    trackers: tuple[tuple[str, ...], ...]  # tiers (BEP 12)
    web_seeds: tuple[
        str, ...
    ]  # BEP 19, as written; for a folder they name the folder, with or without a slash
    is_private: bool  # BEP 27
    is_single_file: bool
    comment: str
    created_by: str
    creation_date: int | None  # Unix time

    @property
    def wire_hash(self) -> bytes:
        """The 20 bytes by which peers and trackers know the torrent: v1's, else v2's beginning (BEP 52)."""
        if self.info_hash_v1 is not None:
            return self.info_hash_v1
        assert self.info_hash_v2 is not None  # parse_metainfo gives at least one
        return self.info_hash_v2[:SHA1_LENGTH]

    def piece_hash(self, piece: int) -> bytes:
        """The piece's SHA-1; v1 and hybrid."""
        return self.piece_hashes[piece * SHA1_LENGTH : (piece + 1) * SHA1_LENGTH]

    def disk_path(self, file_index: int) -> tuple[str, ...]:
        """Where the file lies below the download folder."""
        path = self.files[file_index].path
        return path if self.is_single_file else (self.name, *path)


def parse_metainfo(data: bytes, *, source: str = "", ignore_case: bool = True) -> Metainfo:
    """The metainfo in `data`. Raises `MetainfoError`, which begins with `source` (a path or URL).

    Files whose paths differ by case alone get a number, unless `ignore_case` is off: then they must lie on a
    file system that tells them apart, as where the torrent was made.
    """
    try:
        return _parse(data, ignore_case)
    except FormatError as error:
        raise MetainfoError(f"{source}: {error}" if source else str(error)) from None


def written_names(metainfo: Metainfo) -> tuple[bytes, tuple[RawPath, ...]]:
    """The torrent's name and its files' paths as they are written, safe or not, in the order of `files`."""
    values, _ = decode_dict_spans(metainfo.info_bytes, allow_unsorted=True)
    info = Fields(values)
    has_v2 = metainfo.info_hash_v2 is not None
    name = _name(info)
    entries = _entries(info, name, metainfo.piece_length, metainfo.info_hash_v1 is not None, has_v2)
    return name, tuple(entry.path for entry in entries)


def is_piece_good(metainfo: Metainfo, piece: int, data: bytes | bytearray | memoryview) -> bool:
    """Whether `data` is the piece. Hybrids are judged by v1, which covers every byte."""
    layout = metainfo.layout
    if len(data) != layout.piece_size(piece):
        return False
    if metainfo.info_hash_v1 is not None:
        return sha1(data).digest() == metainfo.piece_hash(piece)
    span = layout.spans(layout.piece_offset(piece), 1)[
        0
    ]  # v2: a piece begins with the one file it belongs to
    file = metainfo.files[span.file_index]
    part = memoryview(data)[: file.size - span.file_offset]  # what follows is padding
    assert file.pieces_root is not None  # as every v2 file with bytes has
    if file.size <= metainfo.piece_length:
        return merkle.file_root(part) == file.pieces_root
    place = span.file_offset // metainfo.piece_length * merkle.HASH_LENGTH
    expected = metainfo.piece_layers[file.pieces_root][place : place + merkle.HASH_LENGTH]
    return merkle.piece_hash(part, metainfo.piece_length) == expected


# ---- parsing


def _parse(data: bytes, ignore_case: bool) -> Metainfo:
    if len(data) > MAX_METAINFO_LENGTH:
        raise FormatError(f"{len(data)} bytes, where {MAX_METAINFO_LENGTH} is the limit")
    values, spans = _decode(data)
    top = Fields(values)
    info = top.fields_of("info")
    start, end = spans[b"info"]
    info_bytes = bytes(data[start:end])

    has_v2 = "meta version" in info
    has_v1 = not has_v2 or "pieces" in info
    raw_name = _name(info)
    piece_length = _piece_length(info, has_v2)
    entries = _entries(info, raw_name, piece_length, has_v1, has_v2)
    layout = _layout(piece_length, entries)
    piece_hashes = _piece_hashes(info, layout) if has_v1 else b""
    piece_layers = _piece_layers(top, entries, piece_length) if has_v2 else {}
    is_single_file = "files" not in info if has_v1 else [entry.path for entry in entries] == [(raw_name,)]
    return Metainfo(
        name=safe_name(raw_name),
        info_bytes=info_bytes,
        info_hash_v1=sha1(info_bytes).digest() if has_v1 else None,
        info_hash_v2=sha256(info_bytes).digest() if has_v2 else None,
        piece_length=piece_length,
        piece_hashes=piece_hashes,
        piece_layers=piece_layers,
        files=safe_files(entries, ignore_case=ignore_case),
        layout=layout,
        payload_size=sum(entry.size for entry in entries if not entry.is_padding),
        trackers=_trackers(top),
        web_seeds=_web_seeds(top),
        is_private=info.optional("private", int) == 1,
        is_single_file=is_single_file,
        comment=_text(top, "comment"),
        created_by=_text(top, "created by"),
        creation_date=_creation_date(top),
    )


def _decode(data: bytes) -> tuple[dict[bytes, Value], dict[bytes, Span]]:
    """Canonical bencode, or for v1 such with unsorted keys, as early clients wrote."""
    try:
        return decode_dict_spans(data)
    except BencodeError as strict_error:
        values, spans = decode_dict_spans(data, allow_unsorted=True)
        info = values.get(b"info")
        if isinstance(info, dict) and b"meta version" in info:
            raise strict_error from None
        return values, spans


def _name(info: Fields) -> bytes:
    name = info.optional("name.utf-8", bytes) or info.bytes_of("name")
    if not name:
        raise info.refused("name", "empty")
    return name


def _piece_length(info: Fields, has_v2: bool) -> int:
    if not has_v2:
        return info.integer("piece length", 1, MAX_PIECE_LENGTH)
    info.integer("meta version", 2, 2)
    piece_length = info.integer("piece length", BLOCK_LENGTH, MAX_PIECE_LENGTH)
    if piece_length & (piece_length - 1):
        raise info.refused("piece length", f"{piece_length} is not a power of two")
    return piece_length


def _entries(info: Fields, name: bytes, piece_length: int, has_v1: bool, has_v2: bool) -> list[Entry]:
    if not has_v2:
        return parse_v1_files(info, name)
    if not has_v1:
        return with_padding(parse_v2_files(info), piece_length)
    return joined_hybrid(parse_v1_files(info, name), parse_v2_files(info), piece_length)


def _layout(piece_length: int, entries: Sequence[Entry]) -> Layout:
    layout = Layout(piece_length, [entry.size for entry in entries])
    if not any(entry.size for entry in entries if not entry.is_padding):
        raise FormatError("info: all files are empty; there is nothing to share")
    if layout.total_size > MAX_TOTAL_SIZE:
        raise FormatError(f"info: {layout.total_size} bytes in all, where {MAX_TOTAL_SIZE} is the limit")
    if layout.piece_count > MAX_PIECE_COUNT:
        raise FormatError(f"info: {layout.piece_count} pieces, where {MAX_PIECE_COUNT} is the limit")
    return layout


def _piece_hashes(info: Fields, layout: Layout) -> bytes:
    pieces = info.bytes_of("pieces")
    needed = layout.piece_count * SHA1_LENGTH
    if len(pieces) != needed:
        raise info.refused("pieces", f"{len(pieces)} bytes, but the files make pieces for {needed}")
    return pieces


def _piece_layers(top: Fields, entries: Sequence[Entry], piece_length: int) -> dict[bytes, bytes]:
    """The layers of all files longer than a piece, each checked against its root; no fewer and no others."""
    piece_counts = {
        entry.pieces_root: -(-entry.size // piece_length)
        for entry in entries
        if entry.pieces_root is not None and entry.size > piece_length
    }
    if not piece_counts:
        return {}
    layers: dict[bytes, bytes] = {}
    for root, layer in top.dict_of("piece layers").items():
        if root not in piece_counts:
            raise FormatError(f"piece layers: '{root.hex()}' is the root of no file longer than a piece")
        if not isinstance(layer, bytes) or len(layer) != piece_counts[root] * merkle.HASH_LENGTH:
            needed = piece_counts[root] * merkle.HASH_LENGTH
            raise FormatError(f"piece layers: what '{root.hex()}' has is not a string of {needed} bytes")
        if merkle.layer_root(layer, piece_length) != root:
            raise FormatError(f"piece layers: the hashes under '{root.hex()}' do not give that root")
        layers[root] = layer
    for root in piece_counts:
        if root not in layers:
            raise FormatError(f"piece layers: '{root.hex()}' is missing")
    return layers


# ---- what a torrent can do without


def _trackers(top: Fields) -> tuple[tuple[str, ...], ...]:
    """`announce-list` in its tiers, or where that has nothing usable `announce` (BEP 12); each URL once."""
    seen: set[str] = set()
    tiers: list[tuple[str, ...]] = []
    for tier in (top.optional("announce-list", list) or [])[:MAX_URLS]:
        urls = clean_urls(tier, TRACKER_SCHEMES) if isinstance(tier, list) else []
        fresh = tuple(url for url in urls if url not in seen)
        seen.update(fresh)
        if fresh:
            tiers.append(fresh)
    if not tiers:
        urls = clean_urls([top.optional("announce", bytes)], TRACKER_SCHEMES)
        return ((urls[0],),) if urls else ()
    return tuple(tiers)


def _web_seeds(top: Fields) -> tuple[str, ...]:
    """`url-list`, one URL or a list of them."""
    one = top.optional("url-list", bytes)
    raws = [one] if one is not None else top.optional("url-list", list) or []
    return tuple(clean_urls(raws, WEB_SEED_SCHEMES))


def _text(top: Fields, key: str) -> str:
    return clean_text(top.optional(f"{key}.utf-8", bytes) or top.optional(key, bytes) or b"")


def _creation_date(top: Fields) -> int | None:
    date = top.optional("creation date", int)
    return date if date is not None and 0 <= date <= MAX_CREATION_DATE else None
