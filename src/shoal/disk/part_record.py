"""The little file beside a part file, `NAME.part.shoal`, that remembers which pieces are here.

A head that says whose it is, then two slots. Each slot is a whole record with a sequence number and a SHA-256 over
all of it; they are written in turn, so whatever becomes of a write, the record before it is whole. The file gets its
full length when it is begun, so that later no room is needed to remember (docs/decisions/0010-part-files.md).

Always true: what `load` gives was saved, entire, for the same key (the file's identity, length and pieces). Anything
else is as good as nothing. A file that does not begin as ours do is somebody's, and is not touched.
"""

from __future__ import annotations

import hashlib
import os
import struct
from array import array
from dataclasses import dataclass
from pathlib import Path

from shoal.disk.faults import file_fault
from shoal.disk.safe_path import SafeRoot
from shoal.disk.storage import Stamp
from shoal.errors import ExistsError, ShoalError

_HEAD = b"shoal part file\n"  # what makes the file ours; the process at work and the mark follow
_HEAD_LENGTH = 64
_SLOT = struct.Struct(
    "<8s32sQqq"
)  # version, key, sequence, size and mtime of the part file; have, first hand and CRCs follow
_VERSION = b"part-v2\n"
_ANY_VERSION = b"part-v"
_DIGEST_LENGTH = 32
_PAGE = 4096  # head and slots begin on pages of their own, which no write to another touches
_CRC_LENGTH = 4


@dataclass(frozen=True, slots=True)
class Known:
    """What was true of the part file when it was recorded."""

    have_bits: int
    crcs: array[int]  # CRC-32 of each piece in `have_bits`; 0 of the others
    stamp: Stamp
    first_hand_bits: int = 0  # of those, the pieces that the URL itself gave


class PartRecord:
    """The open file. Its owner has the part file locked, and calls from one thread at a time."""

    def __init__(self, descriptor: int, path: Path, *, is_ours: bool, mark: bytes = b"") -> None:
        self.path = path
        self.mark = mark  # up to 20 letters and digits of its owner's, kept by `sign`; b"": none
        self.was_there = is_ours  # when it was opened, a record of ours was there, whole or damaged
        self._descriptor = descriptor
        self._key = bytes(_DIGEST_LENGTH)
        self._piece_count = 0
        self._sequence = 0  # of the slot written last

    @classmethod
    def open(cls, root: SafeRoot, name: str) -> PartRecord:
        """Made if need be. Raises `ExistsError` if it is somebody else's, and `OSError`."""
        descriptor = root.open_for_writing([name])
        path = root.shown([name])
        whole_head = os.pread(descriptor, _HEAD_LENGTH, 0)
        head = whole_head[: len(_HEAD)]
        if head.strip(b"\0") and not _HEAD.startswith(
            head
        ):  # zeros: what some file systems make of a power cut
            os.close(descriptor)
            raise ExistsError(
                f"{path} is in the way: it is no record of a download",
                hint="move it away, or choose another name or folder",
            )
        mark = whole_head.partition(b"\nmark ")[2].partition(b"\n")[0]
        return cls(descriptor, path, is_ours=bool(head), mark=mark)

    def has_saved(self) -> bool:
        """Whether something was saved, for whatever file."""
        room = (os.fstat(self._descriptor).st_size - _PAGE) // 2
        heads = (os.pread(self._descriptor, _SLOT.size, _PAGE + slot * room) for slot in (0, 1) if room > 0)
        return any(head.startswith(_ANY_VERSION) for head in heads)

    def start_anew(self, key: bytes, piece_count: int) -> None:
        """Forget everything. `key` is 32 bytes that stand for the identity; nothing of them can be read back."""
        self._key, self._piece_count, self._sequence = key, piece_count, 0
        try:
            os.ftruncate(self._descriptor, 0)
            self._write(bytes(_PAGE + 2 * self._slot_room()), 0)
            self.sign()
        except OSError as error:
            raise file_fault(error, self.path, "writing") from error

    def sign(self) -> None:
        """Say which process is at work, and at what."""
        head = _HEAD + b"pid %d\nmark %s\n" % (os.getpid(), self.mark)
        self._write(head.ljust(_HEAD_LENGTH, b"\0"), 0)

    def load(self, key: bytes, piece_count: int) -> Known | None:
        """The newest whole record for this key, which later ones then follow; None if there is none."""
        self._key, self._piece_count, self._sequence = key, piece_count, 0
        newest = None
        for slot in (0, 1):
            room = self._slot_room()
            sequence, known = self._parse(os.pread(self._descriptor, room, _PAGE + slot * room))
            if known is not None and sequence > self._sequence:
                self._sequence, newest = sequence, known
        return newest

    def save(self, known: Known) -> None:
        """Durable when it returns. Raises `OSError`; the record before this one is then as it was."""
        body = _SLOT.pack(_VERSION, self._key, self._sequence + 1, known.stamp.size, known.stamp.mtime_ns)
        for bits in (known.have_bits, known.first_hand_bits):
            body += bits.to_bytes(self._bits_length(), "little")
        body += known.crcs.tobytes()
        room = self._slot_room()
        self._write(body + hashlib.sha256(body).digest(), _PAGE + (self._sequence + 1) % 2 * room)
        os.fsync(self._descriptor)
        self._sequence += 1

    def close(self) -> None:
        os.close(self._descriptor)

    def _parse(self, slot: bytes) -> tuple[int, Known | None]:
        have_end = _SLOT.size + self._bits_length()
        bits_end = have_end + self._bits_length()
        end = bits_end + _CRC_LENGTH * self._piece_count
        body = slot[:end]
        if (
            len(slot) < end + _DIGEST_LENGTH
            or slot[end : end + _DIGEST_LENGTH] != hashlib.sha256(body).digest()
        ):
            return 0, None
        version, key, sequence, size, mtime_ns = _SLOT.unpack_from(body)
        if version != _VERSION or key != self._key:
            return 0, None
        have_bits = int.from_bytes(body[_SLOT.size : have_end], "little")
        first_hand_bits = int.from_bytes(body[have_end:bits_end], "little")
        crcs = array("I", body[bits_end:])
        return sequence, Known(have_bits, crcs, Stamp(size, mtime_ns), first_hand_bits)

    def _bits_length(self) -> int:
        return (self._piece_count + 7) // 8

    def _slot_room(self) -> int:
        length = _SLOT.size + 2 * self._bits_length() + _CRC_LENGTH * self._piece_count + _DIGEST_LENGTH
        return -(-length // _PAGE) * _PAGE

    def _write(self, data: bytes, offset: int) -> None:
        view = memoryview(data)
        while view:
            written = os.pwrite(self._descriptor, view, offset)
            view, offset = view[written:], offset + written


def process_at_work(root: SafeRoot, name: str) -> int | None:
    """The process that signed the record last, if one did."""
    try:
        descriptor = root.open_for_reading([name])
    except (OSError, ShoalError):
        return None
    try:
        head = os.pread(descriptor, _PAGE, 0)
    finally:
        os.close(descriptor)
    pid = head.removeprefix(_HEAD + b"pid ").partition(b"\n")[0]
    return int(pid) if head.startswith(_HEAD) and pid.isdigit() else None
