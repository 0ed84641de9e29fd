"""The files of a torrent, as the v1 list (BEP 3, attributes of BEP 47) or the v2 tree (BEP 52) gives them.

An `Entry` is a file as it is written, a `File` one as we treat it. Every attribute letter but `p`, `l`, `x`
and `h` is ignored. A symlink (`l`) is listed and takes part in nothing: it has no bytes, is never made and
never followed.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from shoal.errors import FormatError
from shoal.formats.bencode import MAX_ITEMS, Value
from shoal.formats.fields import Fields
from shoal.formats.merkle import HASH_LENGTH
from shoal.formats.safe_names import MAX_DEPTH, safe_path, unique_paths

MAX_TOTAL_SIZE = 2**63 - 1  # as far as file offsets reach

MAX_PATH_ELEMENTS = MAX_ITEMS  # as many as a v1 list could hold, where each is written out

RawPath = tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class Entry:
    """A file as the torrent has it: names not yet safe."""

    path: RawPath
    size: int
    attributes: bytes = b""
    pieces_root: bytes | None = None  # v2: the root of its hash tree, unless it is empty

    @property
    def is_padding(self) -> bool:
        return b"p" in self.attributes


@dataclass(frozen=True, slots=True)
class File:
    """A file of a torrent.

    `path` is safe and unique, relative to the torrent's own folder; that of a padding file is not unique.
    """

    path: tuple[str, ...]
    size: int
    is_padding: bool = False
    is_symlink: bool = False
    is_executable: bool = False
    is_hidden: bool = False
    pieces_root: bytes | None = None

    @property
    def is_on_disk(self) -> bool:
        """Whether a finished download has this file in its folder."""
        return not (self.is_padding or self.is_symlink)


# ---- reading


def parse_v1_files(info: Fields, name: bytes) -> list[Entry]:
    """`length` (one file, named as the torrent) or `files`; where there are both, `files` counts."""
    if "files" not in info:
        return [_v1_entry(info, (name,))]
    entries = []
    for fields in info.each_of("files"):
        key = "path.utf-8" if "path.utf-8" in fields else "path"
        elements = [element for element in fields.list_of(key) if isinstance(element, bytes)]
        if len(elements) != len(fields.list_of(key)):
            raise fields.refused(key, "holds something that is not a string")
        entries.append(_v1_entry(fields, tuple(elements)))
    return entries


def parse_v2_files(info: Fields) -> list[Entry]:
    """`file tree`, walked in its order without recursion."""
    entries: list[Entry] = []
    element_count = 0
    open_folders: list[tuple[RawPath, Iterator[tuple[bytes, Value]]]] = [
        ((), iter(info.dict_of("file tree").items()))
    ]
    while open_folders:
        folder, nodes = open_folders[-1]
        name, node = next(nodes, (b"", None))
        if node is None:
            open_folders.pop()
            continue
        path = (*folder, name)
        if not name or not isinstance(node, dict):
            raise _refused(path, "not a dictionary with a name")
        if len(path) > MAX_DEPTH:
            raise _refused(path[:1], f"more than {MAX_DEPTH} folders deep")
        element_count += len(path)
        if element_count > MAX_PATH_ELEMENTS:
            raise FormatError(f"info.file tree: more than {MAX_PATH_ELEMENTS} names in all paths together")
        if b"" not in node:
            open_folders.append((path, iter(node.items())))
        elif len(node) > 1:
            raise _refused(path, "a file and a folder at once")
        else:
            entries.append(_v2_entry(path, node[b""]))
    return entries


def _v1_entry(fields: Fields, path: RawPath) -> Entry:
    attributes = fields.optional("attr", bytes) or b""
    return Entry(path, _size(fields, attributes), attributes)


def _v2_entry(path: RawPath, value: Value) -> Entry:
    if not isinstance(value, dict):
        raise _refused(path, "not a file's dictionary")
    fields = Fields(value, _way(path))
    attributes = fields.optional("attr", bytes) or b""
    if b"p" in attributes:
        raise fields.refused("attr", "a v2 file tree has no padding files")
    size = _size(fields, attributes)
    if not size:
        return Entry(path, 0, attributes)
    root = fields.bytes_of("pieces root")
    if len(root) != HASH_LENGTH or not any(root):
        raise fields.refused("pieces root", f"'{root.hex()}' is not the SHA-256 of anything")
    return Entry(path, size, attributes, root)


def _size(fields: Fields, attributes: bytes) -> int:
    if b"l" in attributes:
        return fields.integer("length", 0, 0) if "length" in fields else 0
    return fields.integer("length", 0, MAX_TOTAL_SIZE)


def _way(path: RawPath) -> tuple[str, ...]:
    return ("info", "file tree", *(name.decode("ascii", "backslashreplace") or "''" for name in path))


def _refused(path: RawPath, reason: str) -> FormatError:
    *way, last = _way(path)
    return Fields({}, tuple(way)).refused(last, reason)


# ---- joining


def joined_hybrid(v1: Sequence[Entry], v2: Sequence[Entry], piece_length: int) -> list[Entry]:
    """The v1 list with the v2 roots. Refused unless both agree, and every file begins a piece (BEP 52)."""
    described = iter(v2)
    joined = []
    offset = 0
    for entry in v1:
        if entry.is_padding:
            joined.append(entry)
        else:
            twin = next(described, None)
            if twin is None or (twin.path, twin.size) != (entry.path, entry.size):
                raise FormatError(f"info: v1 has {_told(entry)} where v2 has {_told(twin)}")
            if entry.size and offset % piece_length:
                raise FormatError(f"info: {_told(entry)} begins at {offset}, in the middle of a v1 piece")
            joined.append(replace(entry, pieces_root=twin.pieces_root))
        offset += entry.size
    left = next(described, None)
    if left is not None:
        raise FormatError(f"info: v1 ends where v2 has {_told(left)}")
    return joined


def with_padding(entries: Sequence[Entry], piece_length: int) -> list[Entry]:
    """The entries, with padding files (BEP 47) so that each begins a piece; after the last none is needed."""
    last = max((index for index, entry in enumerate(entries) if entry.size), default=0)
    padded: list[Entry] = []
    for index, entry in enumerate(entries):
        padded.append(entry)
        gap = -entry.size % piece_length
        if gap and index < last:
            padded.append(Entry((b".pad", b"%d" % gap), gap, b"p"))
    return padded


def _told(entry: Entry | None) -> str:
    if entry is None:
        return "no more files"
    path = b"/".join(entry.path).decode("ascii", "backslashreplace")
    return f"'{path}' of {entry.size} bytes"


def safe_files(entries: Sequence[Entry], *, ignore_case: bool) -> tuple[File, ...]:
    """The entries under safe names, each its own; with `ignore_case` also where case does not count."""
    paths = [_safe_path(index, entry) for index, entry in enumerate(entries)]
    wanted = [path for path, entry in zip(paths, entries, strict=True) if not entry.is_padding]
    unique = iter(unique_paths(wanted, ignore_case=ignore_case))
    return tuple(
        File(
            path=path if entry.is_padding else next(unique),
            size=entry.size,
            is_padding=entry.is_padding,
            is_symlink=b"l" in entry.attributes,
            is_executable=b"x" in entry.attributes,
            is_hidden=b"h" in entry.attributes,
            pieces_root=entry.pieces_root,
        )
        for path, entry in zip(paths, entries, strict=True)
    )


def _safe_path(index: int, entry: Entry) -> tuple[str, ...]:
    try:
        return safe_path(entry.path)
    except FormatError as error:
        raise FormatError(f"info.files[{index}].path: {error}") from None
