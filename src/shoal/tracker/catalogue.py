"""The catalogue: torrents that people published under names, as files in a folder.

`NAME.torrent` is an entry, `NAME.owner` beside it the SHA-256 of its owner's token. An entry without an owner was put
there by hand, and only a hand replaces it. Always true: a name belongs to whoever published it first, until they
remove it; no two names are the same where case does not count; any number of processes may share the folder.

Everything here may wait for the disk, and runs in workers, save `entries` and `is_fresh`: what was read last is one
value that is never changed, only replaced.
"""

from __future__ import annotations

import hashlib
import hmac
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from msgspec import Struct

from shoal.disk.shelf import FileStamp, Shelf
from shoal.errors import ExistsError, FileError, FormatError, NotFoundError, ShoalError
from shoal.formats.magnet import Magnet, encode_magnet
from shoal.formats.metainfo import MAX_METAINFO_LENGTH, Metainfo, parse_metainfo
from shoal.formats.safe_names import safe_name, without_case

MAX_ENTRIES = 2_000  # the list is read whole, by people and as 1 MB of JSON; more want a search
MAX_MAGNET_TRACKERS = 3  # a torrent may name 500, and a link is to be pasted
SETTLED_NS = 2_000_000_000  # a folder's time is this coarse on some file systems: a change may not show in it
TORRENT, OWNER = ".torrent", ".owner"
_DIGEST_DIGITS = 64


class CatalogueFullError(ShoalError):
    """There is no room for one more name."""


class NotOwnerError(ShoalError):
    """Somebody else's entry is not to be removed."""


class Entry(Struct, frozen=True):
    """One published torrent, as lists show it."""

    name: str
    info_hashes: tuple[bytes, ...]  # the 20 bytes that peers announce; a hybrid torrent's second is of v2
    size: int  # of the payload, in bytes
    file_count: int
    published_at: int  # Unix time
    magnet: str

    @property
    def info_hash(self) -> bytes:
        return self.info_hashes[0]


@dataclass(frozen=True, slots=True)
class Reading:
    """What the folder held when it was last read."""

    changed_ns: int = -1  # the folder's time then
    is_settled: bool = False  # whether a later change must show in that time
    # Of each file its stamp and its entry; None: it is no usable torrent.
    seen: Mapping[str, tuple[FileStamp, Entry | None]] = field(default_factory=dict)
    entries: Mapping[str, Entry] = field(default_factory=dict)  # by name, newest first


class Catalogue:
    def __init__(self, folder: Path, *, max_entries: int = MAX_ENTRIES) -> None:
        """Raises `FileError` if the folder cannot be made or read."""
        self._shelf = Shelf(folder)
        self._max_entries = max_entries
        self._reading = Reading()
        self.refresh()

    @property
    def entries(self) -> Mapping[str, Entry]:
        """By name, newest first, as last read."""
        return self._reading.entries

    def is_fresh(self) -> bool:
        """Whether nothing has changed since; asks for the folder's time and nothing else."""
        reading = self._reading
        try:
            return reading.is_settled and self._shelf.changed_ns() == reading.changed_ns
        except FileError:
            return False

    def refresh(self) -> Mapping[str, Entry]:
        """Read what has changed. One at a time: who began earlier would otherwise undo what came meanwhile."""
        with self._shelf.one_at_a_time:
            return self._refresh()

    def _refresh(self) -> Mapping[str, Entry]:
        seen_before = self._reading.seen
        looked_at_ns, changed_ns = time.time_ns(), self._shelf.changed_ns()
        seen: dict[str, tuple[FileStamp, Entry | None]] = {}
        for file_name, stamp in self._shelf.stamps().items():
            if file_name.endswith(TORRENT):
                before = seen_before.get(file_name)
                seen[file_name] = (
                    before
                    if before is not None and before[0] == stamp
                    else (stamp, self._load(file_name, stamp))
                )
        newest_first = sorted(
            (entry for _, entry in seen.values() if entry is not None),
            key=lambda entry: (-entry.published_at, entry.name),
        )
        self._reading = Reading(
            changed_ns,
            looked_at_ns - changed_ns > SETTLED_NS,
            seen,
            {entry.name: entry for entry in newest_first},
        )
        return self._reading.entries

    def torrent(self, name: str) -> bytes | None:
        """The bytes of an entry's torrent file."""
        if name not in self.entries:
            self.refresh()
        return self._shelf.read(name + TORRENT, MAX_METAINFO_LENGTH) if name in self.entries else None

    def publish(self, name: str, data: bytes, token: bytes) -> bool:
        """Put a torrent there for the owner with that token; False if it replaced one of theirs.

        Raises `FormatError` (the name, the torrent), `ExistsError` (another's), `CatalogueFullError`, `DiskFullError`,
        `FileError`.
        """
        check_name(name)
        parse_metainfo(data, source="not a torrent file")
        with self._shelf.locked():
            self._shelf.sweep()
            is_new = self.check(name, token)
            if is_new:
                self._shelf.write(name + OWNER, token_digest(token))
            try:
                self._shelf.write(name + TORRENT, data)
            except ShoalError:
                if is_new:
                    self._shelf.remove(name + OWNER)
                raise
            self.refresh()
        return is_new

    def check(self, name: str, token: bytes) -> bool:
        """Raise what `publish` would say of the name just now; whether it would be a new one."""
        check_name(name)
        self.refresh()
        is_new = name + TORRENT not in self._reading.seen
        if is_new:
            self._refuse_new(name)
        elif not self._is_owned(name, token_digest(token)):
            raise ExistsError(f"'{name}' is published by somebody else; choose another name")
        return is_new

    def remove(self, name: str, token: bytes) -> None:
        """Take an entry away. Raises `NotFoundError`, `NotOwnerError`, `FileError`."""
        with self._shelf.locked():
            self.refresh()
            if name not in self.entries:
                raise NotFoundError(f"nothing is published as '{name}'")
            if not self._is_owned(name, token_digest(token)):
                raise NotOwnerError(f"'{name}' is published by somebody else, and only they can remove it")
            self._shelf.remove(name + TORRENT)
            self._shelf.remove(name + OWNER)
            self.refresh()

    def _refuse_new(self, name: str) -> None:
        taken = {without_case((seen.removesuffix(TORRENT),)): seen for seen in self._reading.seen}
        other = taken.get(without_case((name,)))
        if other is not None:
            raise ExistsError(
                f"'{other.removesuffix(TORRENT)}' is published already, which differs only in how it is written"
            )
        if len(taken) >= self._max_entries:
            raise CatalogueFullError(f"the catalogue is full: {self._max_entries:,} entries")

    def _is_owned(self, name: str, digest: bytes) -> bool:
        owner = self._shelf.read(name + OWNER, _DIGEST_DIGITS)
        return owner is not None and hmac.compare_digest(owner, digest)

    def _load(self, file_name: str, stamp: FileStamp) -> Entry | None:
        name = file_name.removesuffix(TORRENT)
        try:
            check_name(name)
            data = self._shelf.read(file_name, MAX_METAINFO_LENGTH + 1)
            return None if data is None else _entry(name, parse_metainfo(data), int(stamp.modified_at))
        except ShoalError:
            return None  # put there by hand, and no torrent under a name of ours


def check_name(name: str) -> None:
    """Refuse what would have to become another name on somebody's machine. Raises `FormatError`."""
    try:
        raw = name.encode()
    except UnicodeEncodeError:
        raise FormatError("a name has to be UTF-8") from None
    if not name:
        raise FormatError("an entry needs a name")
    if name.startswith("."):
        raise FormatError(f"'{name}' begins with a dot")
    if name != name.strip() or safe_name(raw, windows=True) != name:
        raise FormatError(
            "this is no name for a file everywhere: it is too long, a device's, or has a slash, a control character, "
            'one of <>:"|?* or a blank or dot at an end'
        )
    if name.lower().endswith(TORRENT):
        raise FormatError(f"'{name}': leave out the suffix")


def token_digest(token: bytes) -> bytes:
    """What is kept of a token: who reads the folder cannot act as its owner."""
    return hashlib.sha256(token).hexdigest().encode()


def _entry(name: str, metainfo: Metainfo, published_at: int) -> Entry:
    trackers = [url for tier in metainfo.trackers for url in tier][:MAX_MAGNET_TRACKERS]
    magnet = Magnet(metainfo.info_hash_v1, metainfo.info_hash_v2, metainfo.name, tuple(trackers))
    v2_hash = (metainfo.info_hash_v2 or b"")[: len(metainfo.wire_hash)]  # on the wire it is cut (BEP 52)
    return Entry(
        name,
        (metainfo.wire_hash, v2_hash) if v2_hash not in (b"", metainfo.wire_hash) else (metainfo.wire_hash,),
        metainfo.payload_size,
        sum(file.is_on_disk for file in metainfo.files),
        published_at,
        encode_magnet(magnet),
    )
