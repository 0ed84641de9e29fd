"""Make the bytes of a `.torrent` from names, sizes and hashes that others have gathered.

Always true: the same input gives the same bytes, in canonical bencode; and what is made parses to the same
names, for a name that other machines would have to change is refused. Nothing is read or hashed here, but
`arrange_files` says in which order, and with which padding between them, the bytes are hashed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from shoal.errors import FormatError
from shoal.formats.bencode import encode
from shoal.formats.file_list import Entry, RawPath, with_padding
from shoal.formats.layout import BLOCK_LENGTH
from shoal.formats.merkle import HASH_LENGTH
from shoal.formats.metainfo import MAX_PIECE_COUNT, MAX_PIECE_LENGTH, SHA1_LENGTH
from shoal.formats.safe_names import Path, safe_path, unique_paths
from shoal.units import MIB

Format = Literal["v1", "v2", "hybrid"]

CREATED_BY = "Shoal"  # without a version: the next release makes the same bytes
USUAL_PIECE_COUNT = 2048  # fine enough that all peers have work at once, and a metainfo of 40 KiB
LARGEST_USUAL_PIECE = 16 * MIB  # a larger one is slow to become shareable, and does not fit into a buffer

_RENAME = "rename it, or leave it out with --exclude"


@dataclass(frozen=True, slots=True)
class FileTree:
    """A file's v2 hashes: the pieces root, and for a file longer than a piece its piece layer."""

    pieces_root: bytes
    piece_layer: bytes = b""


def choose_piece_length(total_size: int) -> int:
    """A power of two from 16 KiB on, for about 1024 to 2048 pieces; above 32 GiB there are more of 16 MiB."""
    piece_length = BLOCK_LENGTH
    while piece_length < LARGEST_USUAL_PIECE and total_size > piece_length * USUAL_PIECE_COUNT:
        piece_length *= 2
    while piece_length < MAX_PIECE_LENGTH and total_size > piece_length * MAX_PIECE_COUNT:
        piece_length *= 2
    return piece_length


def arrange_files(files: Iterable[tuple[Path, int]], piece_length: int, format: Format) -> list[Entry]:
    """The files as the torrent has them: by name, and but for v1 with padding so that each begins a piece."""
    entries = sorted((Entry(_raw_path(path), size) for path, size in files), key=lambda entry: entry.path)
    return entries if format == "v1" else with_padding(entries, piece_length)


def build_metainfo(
    name: str,
    files: Sequence[tuple[Path, int]],
    piece_length: int,
    *,
    format: Format = "v1",
    is_single_file: bool = False,
    piece_hashes: bytes = b"",
    file_trees: Mapping[Path, FileTree] | None = None,
    trackers: Sequence[Sequence[str]] = (),
    web_seeds: Sequence[str] = (),
    private: bool = False,
    comment: str = "",
    created_by: str | None = None,
    creation_date: int | None = None,
) -> bytes:
    """The whole `.torrent`.

    `files` are paths below the torrent's folder, and sizes; with `is_single_file` one path, `(name,)`.
    `piece_hashes` (v1, hybrid) run over `arrange_files(files, ...)`; `file_trees` (v2, hybrid) has every file
    that is not empty. Raises `FormatError` for names and numbers that no torrent can have.
    """
    entries = arrange_files(files, piece_length, format)
    _check(entries, piece_length, format)
    _check_unique([path for path, _ in files])
    info: dict[str, object] = {"name": _raw_path((name,))[0], "piece length": piece_length}
    if format != "v2":
        info |= {"pieces": piece_hashes} | _v1_files(entries, is_single_file)
        _check_count("piece hashes", len(piece_hashes), _piece_count(entries, piece_length) * SHA1_LENGTH)
    top: dict[str, object] = {"info": info}
    if format != "v1":
        trees = {_raw_path(path): tree for path, tree in (file_trees or {}).items()}
        info |= {"meta version": 2, "file tree": _file_tree(entries, trees)}
        top["piece layers"] = _piece_layers(entries, trees, piece_length)
    if private:
        info["private"] = 1
    return encode(top | _outer(trackers, web_seeds, comment, created_by, creation_date))


# ---- parts of the dict


def _v1_files(entries: Sequence[Entry], is_single_file: bool) -> dict[str, object]:
    if is_single_file:
        return {"length": entries[0].size}
    return {"files": [_v1_file(entry) for entry in entries]}


def _v1_file(entry: Entry) -> dict[str, object]:
    file: dict[str, object] = {"length": entry.size, "path": entry.path}
    return file | {"attr": entry.attributes} if entry.attributes else file


def _file_tree(entries: Sequence[Entry], trees: Mapping[RawPath, FileTree]) -> dict[bytes, Any]:
    root: dict[bytes, Any] = {}
    for entry in entries:
        if entry.is_padding:
            continue
        folder = root
        for element in entry.path[:-1]:
            folder = folder.setdefault(element, {})
        leaf: dict[str, object] = {"length": entry.size}
        if entry.size:
            leaf["pieces root"] = trees[entry.path].pieces_root
        folder[entry.path[-1]] = {"": leaf}
    return root


def _piece_layers(
    entries: Sequence[Entry], trees: Mapping[RawPath, FileTree], piece_length: int
) -> dict[bytes, bytes]:
    layers: dict[bytes, bytes] = {}
    for entry in entries:
        if entry.size > piece_length and not entry.is_padding:
            tree = trees[entry.path]
            _check_count("piece layer", len(tree.piece_layer), -(-entry.size // piece_length) * HASH_LENGTH)
            layers[tree.pieces_root] = tree.piece_layer
    return layers


def _outer(
    trackers: Sequence[Sequence[str]],
    web_seeds: Sequence[str],
    comment: str,
    created_by: str | None,
    creation_date: int | None,
) -> dict[str, object]:
    """What stands beside `info`; empty things are left out."""
    tiers = [list(tier) for tier in trackers if tier]
    outer: dict[str, object] = {}
    if tiers:
        outer["announce"] = tiers[0][0]
    if sum(map(len, tiers)) > 1:
        outer["announce-list"] = tiers
    if web_seeds:
        outer["url-list"] = list(web_seeds)
    if comment:
        outer["comment"] = comment
    if created_by:
        outer["created by"] = created_by
    if creation_date is not None:
        outer["creation date"] = creation_date
    return outer


# ---- checks


def _raw_path(path: Path) -> RawPath:
    """The path's bytes, refused if it would not come back the same on other machines."""
    try:
        raw = tuple(element.encode() for element in path)
    except UnicodeEncodeError:
        shown = "/".join(path).encode("utf-8", "surrogateescape").decode("ascii", "backslashreplace")
        raise FormatError(f"the name '{shown}' is not UTF-8", hint=_RENAME) from None
    kept = safe_path(raw, windows=False)
    if kept != path:
        old, new = "/".join(path), "/".join(kept)
        raise FormatError(f"the name {old!r} would have to become {new!r} elsewhere", hint=_RENAME)
    return raw


def _check(entries: Sequence[Entry], piece_length: int, format: Format) -> None:
    lowest = 1 if format == "v1" else BLOCK_LENGTH
    if not lowest <= piece_length <= MAX_PIECE_LENGTH:
        raise FormatError(f"piece length {piece_length} is not between {lowest} and {MAX_PIECE_LENGTH}")
    if format != "v1" and piece_length & (piece_length - 1):
        raise FormatError(f"piece length {piece_length} is not a power of two, as {format} needs")
    if not any(entry.size for entry in entries):
        raise FormatError("all files are empty; there is nothing to share")
    count = _piece_count(entries, piece_length)
    if count > MAX_PIECE_COUNT:
        raise FormatError(
            f"{count} pieces, where {MAX_PIECE_COUNT} is the limit", hint="choose a longer piece"
        )


def _check_unique(paths: Sequence[Path]) -> None:
    for path, unique in zip(paths, unique_paths(paths, ignore_case=False), strict=True):
        if path != unique:
            raise FormatError(f"the name '{'/'.join(path)}' is there twice, or is a folder's too")


def _check_count(what: str, length: int, needed: int) -> None:
    if length != needed:
        raise FormatError(f"{what}: {length} bytes, where the files need {needed}")


def _piece_count(entries: Sequence[Entry], piece_length: int) -> int:
    return -(-sum(entry.size for entry in entries) // piece_length)
