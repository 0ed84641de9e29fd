"""A file from a URL while it is not whole: `NAME.part`, and what is remembered of it across restarts and kills.

Its owner says which bytes to write and which pieces are then here; nothing is decided or verified here.
The order is data, fsync, record: what `remember` returned from survives a power cut.

Always true:
- A piece is believed on opening only if it was recorded for the same identity, length and pieces; and either nobody
  wrote to the part file since, or its bytes still have the CRC-32 they had when it was recorded. (A kill leaves newer
  bytes than the record, so then everything on record is read once.)
- After a failed fsync nothing more is recorded: the system may have dropped what it could not write.
- The final name appears when all bytes are here and durable, and replaces nothing unasked.
- Nothing is mapped into memory: a full disk is a `DiskFullError`, never a signal.

Thread-safe and synchronous; every method may wait for the disk. Why so: docs/decisions/0010-part-files.md.
"""

from __future__ import annotations

import hashlib
import os
import stat
import threading
from array import array
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from shoal.disk.faults import MissingDataError, file_fault
from shoal.disk.open_files import OpenFile
from shoal.disk.parallel import OnProgress, ShouldStop
from shoal.disk.part_crcs import crcs_of, intact_bits
from shoal.disk.part_place import PartPlace, unlock
from shoal.disk.part_record import Known, PartRecord
from shoal.disk.room import make_room
from shoal.disk.storage import Buffer, Stamp
from shoal.errors import ShoalError, UnfinishedError
from shoal.formats.bitfield import all_bits, run_mask, without
from shoal.formats.layout import Layout

_MOST_VECTORS = 1024  # what Linux takes in one call (IOV_MAX)


class PartFile:
    """One file on its way, locked for this process. Use `open`."""

    def __init__(self, place: PartPlace, file: OpenFile, record: PartRecord) -> None:
        self._place = place
        self._file: OpenFile | None = file
        self._record = record
        self._recording = threading.RLock()  # one remembers, finishes or closes at a time
        self._changing = threading.Lock()  # of `_have`; held for an instant
        self._is_resumable = False
        self._layout = Layout(1, [0])
        self._have = 0
        self._fresh = 0  # pieces that came since they were last recorded
        self._first_hand = 0
        self._saved = Known(0, array("I"), Stamp(0, 0))
        self._is_sparse = False
        self._is_to_be_kept = True  # until it is known that there is nothing on record
        self._broken: ShoalError | None = None  # a failed fsync
        self.length: int | None = None
        self.replaced: bytes | None = (
            None  # the mark of what was here on opening and could not be gone on with
        )

    @classmethod
    def open(
        cls,
        folder: Path,
        name: str,
        identity: bytes | None,
        length: int | None,
        *,
        piece_length: int,
        overwrite: bool = False,
        is_sparse: bool = False,
        whole_identity: bytes | None = None,
        mark: bytes = b"",
        on_progress: OnProgress | None = None,
        should_stop: ShouldStop | None = None,
    ) -> PartFile:
        """Go on where the last process stopped, if it fetched the same identity; else begin anew.

        Without identity or length nothing is ever resumed. `on_progress` gets the bytes read again after a kill.
        `is_sparse`: no room is reserved for what is still to come. `whole_identity`: see `keep_whole`. `mark`: what
        `replaced` tells whoever opens it next for another identity.
        Raises `ExistsError` (NAME is there, or another process is at it), `DiskFullError`, `FileError`, and
        `UnfinishedError` if stopped.
        """
        place = PartPlace(folder, name, overwrite=overwrite)
        part = cls(place, *place.open())
        part._is_sparse = is_sparse
        old_mark, part._record.mark = part._record.mark, mark
        try:
            known = part._load(identity, length, piece_length)
            if known is not None:
                part._resume(known, on_progress, should_stop)
                return part
            known = part._load(whole_identity, length, piece_length)
            if known is not None:
                part._resume(known, on_progress, should_stop)
            if not part.is_whole:
                part.replaced = old_mark if part._record.has_saved() else None
                part.start_anew(identity, length, piece_length=piece_length)
        except BaseException:
            part.close()
            raise
        return part

    @property
    def path(self) -> Path:
        """The final one."""
        return self._place.path

    @property
    def part_path(self) -> Path:
        return self._place.part_path

    @property
    def have_bits(self) -> int:
        """The pieces that are here."""
        return self._have

    @property
    def is_resumable(self) -> bool:
        """Whether what is here is remembered for another process."""
        return self._is_resumable

    @property
    def is_whole(self) -> bool:
        return self.length is not None and 0 != self._have == all_bits(self._layout.piece_count)

    @property
    def first_hand_bits(self) -> int:
        """Of those that are here, the ones whose bytes came from the URL itself, in whatever run."""
        return self._first_hand

    @property
    def prefix_length(self) -> int:
        """So many bytes from the first on are here."""
        have = self._have
        first_missing = (have ^ (have + 1)).bit_length() - 1
        return min(first_missing * self._layout.piece_length, self._layout.total_size)

    # -- the data plane -------------------------------------------------------------------------------

    def write(self, offset: int, data: Buffer) -> None:
        """Raises `DiskFullError` or `FileError`, naming the path."""
        if self.length is not None and offset + len(data) > self.length:
            raise ValueError(f"{len(data)} bytes at {offset} are outside of {self.length}")
        file = self._opened()
        try:
            with file.writing:
                written = os.pwrite(file.descriptor, data, offset)
                while written < len(data):  # a signal, a disk that fills up, or over 2 GiB at once
                    written += os.pwrite(file.descriptor, memoryview(data)[written:], offset + written)
        except OSError as error:
            raise file_fault(error, self.part_path, "writing") from error

    def write_all(self, offset: int, chunks: Sequence[Buffer]) -> None:
        """All of them, one behind the other, with one call of the system where it takes them."""
        count = sum(map(len, chunks))
        if self.length is not None and offset + count > self.length:
            raise ValueError(f"{count} bytes at {offset} are outside of {self.length}")
        file = self._opened()
        try:
            with file.writing:
                written = os.pwritev(file.descriptor, chunks[:_MOST_VECTORS], offset)
        except OSError as error:
            raise file_fault(error, self.part_path, "writing") from error
        if written < count:
            self.write(offset + written, memoryview(b"".join(chunks))[written:])

    def read_into(self, offset: int, buffer: memoryview) -> None:
        """Fill `buffer`. Raises `MissingDataError` where the file ends before."""
        file = self._opened()
        try:
            while len(buffer):
                count = os.preadv(file.descriptor, [buffer], offset)
                if not count:
                    raise MissingDataError(
                        f"{self.part_path}: ends at byte {offset}, {len(buffer)} more were expected"
                    )
                offset += count
                buffer = buffer[count:]
        except OSError as error:
            raise file_fault(error, self.part_path, "reading") from error

    def duplicate(self) -> int:
        """A descriptor of one's own, to read from also after `finish`; close it."""
        return os.dup(self._opened().descriptor)

    def on_piece(self, piece: int, *, is_first_hand: bool = False) -> None:
        """All writes of this piece returned. `is_first_hand`: of all that the URL itself gave, and nobody else."""
        if not 0 <= piece < self._layout.piece_count:
            raise ValueError(f"piece {piece} of {self._layout.piece_count}")
        with self._changing:
            self._have |= 1 << piece
            self._fresh |= 1 << piece
            self._first_hand |= is_first_hand << piece

    def forget(self, begin: int, end: int) -> None:
        """The bytes from `begin` up to `end` are wrong: the pieces they lie in are no longer here."""
        first = begin // self._layout.piece_length
        last = -(-end // self._layout.piece_length)
        with self._changing:
            self._have = without(self._have, run_mask(first, last - first))
            self._first_hand &= self._have

    # -- remembering ----------------------------------------------------------------------------------

    def remember(self) -> None:
        """Make durable what is here, then the record of it. For a worker thread, every few seconds and at the end.

        A `DiskFullError` for the record leaves the one before in force; another call may succeed.
        """
        with self._recording:
            if self._file is None or not self._is_resumable:
                return
            with self._changing:  # before fsync: only what was written by now is durable after it
                have, fresh, first_hand = self._have, self._fresh, self._first_hand
            if (have, self._stamp()) == (self._saved.have_bits, self._saved.stamp):
                return
            self._sync()
            crcs = crcs_of(self.read_into, self._layout, self._saved.crcs, have & fresh)
            stamp = self._stamp()  # if anybody writes after this, the next process looks at every CRC
            known = Known(have, crcs, stamp, first_hand)
            try:
                self._record.save(known)
                if not self._saved.have_bits:
                    self._place.sync_folder()  # the names are new
            except OSError as error:
                raise file_fault(error, self._place.record_path, "writing") from error
            self._saved = known
            self._is_to_be_kept = bool(have)
            with self._changing:
                self._fresh = without(self._fresh, fresh)

    def keep_whole(self, identity: bytes) -> None:
        """All of it is here, and may be right though its digest is not: remember it under this identity."""
        with self._recording:
            key = self._key
            self._set_facts(identity, self.length, self._layout.piece_length)
            if key != self._key:
                self._place.rows.remove()
                self._record.start_anew(self._key, self._layout.piece_count)
                self._saved = Known(0, array("I", bytes(4 * self._layout.piece_count)), Stamp(0, 0))
                with self._changing:
                    self._fresh = self._have
            self.remember()

    def start_anew(self, identity: bytes | None, length: int | None, *, piece_length: int) -> None:
        """Throw away what is here and begin another file. By now nobody may write for the old one."""
        with self._recording:
            file = self._opened()
            self._set_facts(identity, length, piece_length)
            self._have = self._fresh = self._first_hand = 0
            self._is_to_be_kept = False
            self._saved = Known(0, array("I", bytes(4 * self._layout.piece_count)), Stamp(0, 0))
            self._broken = None
            self._place.rows.remove()
            self._record.start_anew(self._key, self._layout.piece_count if self._is_resumable else 0)
            try:
                os.ftruncate(file.descriptor, 0)
            except OSError as error:
                raise file_fault(error, self.part_path, "shortening") from error
            self._reserve()

    def load_rows(self, row_length: int) -> dict[int, bytes]:
        """What `save_rows` kept beside it, by piece, or what became of that."""
        return self._place.rows.load(row_length, self._layout.piece_count)

    def save_rows(self, rows: Mapping[int, bytes]) -> None:
        """Keep rows of one length until the file has its name; nothing happens any more when it has. May fail alone."""
        with self._recording:
            if self._file is None or not self._is_resumable:
                return
            try:
                self._place.rows.save(rows, stat.S_IMODE(os.fstat(self._file.descriptor).st_mode))
            except OSError as error:
                raise file_fault(error, self._place.rows.path, "writing") from error

    # -- the end --------------------------------------------------------------------------------------

    def finish(self, mtime: float | None = None) -> Path:
        """Make the file durable under its final name; the record goes, and this object is closed.

        Raises `ExistsError` if the name was taken meanwhile (what is here stays, and stays remembered).
        """
        with self._recording:
            file = self._opened()
            if self._have != all_bits(self._layout.piece_count):
                raise ValueError("not all pieces are here")
            size = os.fstat(file.descriptor).st_size
            if self.length is not None and size != self.length:
                raise MissingDataError(f"{self.part_path}: has {size} bytes where {self.length} were written")
            if mtime is not None:
                with suppress(OSError, OverflowError):  # a courtesy; some file systems know no such time
                    os.utime(file.descriptor, (os.fstat(file.descriptor).st_atime, mtime))
            self._sync()
            try:
                self._place.take_final_name(file)
            except ShoalError:
                with suppress(ShoalError):
                    self.remember()
                raise
            except OSError as error:
                raise file_fault(error, self.path, "renaming") from error
            self._let_go()
            return self.path

    def discard(self) -> None:
        """Remove what is here, and close."""
        with self._recording:
            if self._file is not None:
                self._place.remove(self._file)
                self._let_go()

    def close(self) -> None:
        """Let others open it. Syncs nothing; with nothing on record there is nothing to keep, and it is removed."""
        with self._recording:
            if self._file is not None:
                if not self._is_to_be_kept:
                    self._place.remove(self._file)
                self._let_go()

    def _let_go(self) -> None:
        unlock(self._opened())
        self._file = None  # closed when the last reader is done
        self._record.close()

    # -- opening --------------------------------------------------------------------------------------

    def _set_facts(self, identity: bytes | None, length: int | None, piece_length: int) -> None:
        self.length = length
        self._is_resumable = identity is not None and length is not None
        self._layout = Layout(piece_length, [length or 0])
        self._key = hashlib.sha256(b"%d %d " % (length or 0, piece_length) + (identity or b"")).digest()

    def _load(self, identity: bytes | None, length: int | None, piece_length: int) -> Known | None:
        self._set_facts(identity, length, piece_length)
        if not self._is_resumable:
            return None
        try:
            known = self._record.load(self._key, self._layout.piece_count)
            if known is not None:
                self._record.sign()
        except OSError as error:
            raise file_fault(error, self._place.record_path, "reading") from error
        return known

    def _resume(self, known: Known, on_progress: OnProgress | None, should_stop: ShouldStop | None) -> None:
        self._saved = known
        if self._stamp() == known.stamp:
            self._have = known.have_bits
        else:
            intact = intact_bits(self.read_into, self._layout, known, on_progress, should_stop)
            if intact is None:
                raise UnfinishedError(f"stopped while {self.part_path} was checked")
            self._have = intact
        self._first_hand = known.first_hand_bits & self._have
        self._reserve()

    def _reserve(self) -> None:
        if self.length is not None:
            here = min(self._have.bit_count() * self._layout.piece_length, self.length)
            make_room(self._opened().descriptor, self.part_path, self.length, here, is_sparse=self._is_sparse)

    # -- below ----------------------------------------------------------------------------------------

    def _opened(self) -> OpenFile:
        if self._file is None:
            raise ValueError(f"{self.part_path} is closed")
        return self._file

    def _stamp(self) -> Stamp:
        status = os.fstat(self._opened().descriptor)
        return Stamp(status.st_size, status.st_mtime_ns)

    def _sync(self) -> None:
        if self._broken is None:
            try:
                os.fsync(self._opened().descriptor)
            except OSError as error:
                self._broken = file_fault(error, self.part_path, "syncing")
        if self._broken is not None:
            raise self._broken
