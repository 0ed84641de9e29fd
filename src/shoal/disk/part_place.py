"""Where a part file and its record lie, who may have them, and how the final name comes to be.

Always true: while a part file is open, no other process has it open (an advisory lock on the file itself, which the
kernel lets go of when the process ends, however it ends). Nothing that is not ours is written to, cut or removed: a
part file that holds data and has no record beside it is somebody else's. No link is followed out of the folder.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import stat
from contextlib import suppress
from pathlib import Path

from shoal.disk.faults import file_fault
from shoal.disk.linux_calls import rename_to_new
from shoal.disk.open_files import OpenFile
from shoal.disk.part_record import PartRecord, process_at_work
from shoal.disk.part_rows import ROWS_SUFFIX, PartRows
from shoal.disk.safe_path import SafeRoot, check_names
from shoal.disk.storage import Presence, hole_or_data
from shoal.errors import ExistsError, FileError

PART_SUFFIX = ".part"
RECORD_SUFFIX = ".part.shoal"
_MAX_NAME_LENGTH = 255  # bytes; what file systems allow
_MARK_LENGTH = 8  # hexadecimal digits that tell apart long names that begin alike
_MOST_OPENINGS = 10  # each time the file was gone or another one by the time it was locked
_NO_FOLDER_SYNC = frozenset({errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP})  # some network file systems


def part_names(name: str) -> tuple[str, str, str]:
    """The names of the part file, of its record and of its rows; a name that is too long for the suffixes is cut."""
    raw = os.fsencode(name)
    if len(raw) + len(RECORD_SUFFIX) > _MAX_NAME_LENGTH:
        mark = "~" + hashlib.sha256(raw).hexdigest()[:_MARK_LENGTH]
        kept = raw[: _MAX_NAME_LENGTH - len(RECORD_SUFFIX) - len(mark)]
        name = kept.decode("utf-8", "ignore") + mark
    return name + PART_SUFFIX, name + RECORD_SUFFIX, name + ROWS_SUFFIX


def unlock(file: OpenFile) -> None:
    """Let others in, even while a reader or a traceback still holds the file."""
    fcntl.flock(file.descriptor, fcntl.LOCK_UN)


class PartPlace:
    """The four names of one download in its folder."""

    def __init__(self, folder: Path, name: str, *, overwrite: bool) -> None:
        check_names([name])
        self._root = SafeRoot(folder)
        self._part_name, self._record_name, rows_name = part_names(name)
        self._overwrite = overwrite
        self.path = self._root.shown([name])
        self.part_path = self._root.shown([self._part_name])
        self.record_path = self._root.shown([self._record_name])
        self.rows = PartRows(self._root, rows_name)

    def open(self) -> tuple[OpenFile, PartRecord]:
        """The part file, locked, and its record; both made if need be. Raises `ExistsError`, `FileError`."""
        try:
            self._refuse_what_is_there()
            file = self._open_locked()
            try:
                self._refuse_what_is_there()  # another process may have been at its end just now
                return file, self._open_record(file)
            except BaseException:
                if not os.fstat(file.descriptor).st_size:
                    self._remove_part(file)
                unlock(file)
                raise
        except OSError as error:
            raise file_fault(error, self.part_path, "opening") from error

    def take_final_name(self, file: OpenFile) -> None:
        """Part file -> file, and what is beside it goes; durable when it returns. Raises `ExistsError`, `OSError`."""
        if not self._is_still(file):
            raise FileError(f"{self.part_path}: somebody moved or removed it while it was written")
        if self._overwrite:
            self.part_path.replace(self.path)
        else:
            try:
                rename_to_new(self.part_path, self.path)
            except FileExistsError:
                raise ExistsError(
                    f"{self.path} appeared meanwhile and was left as it is",
                    hint=f"what was downloaded is in {self.part_path}: move the other file away and run it again",
                ) from None
        self.record_path.unlink(missing_ok=True)
        self.rows.remove()
        self.sync_folder()

    def remove(self, file: OpenFile) -> None:
        """Remove part file, record and rows."""
        self._remove_part(file)
        self.rows.remove()
        with suppress(OSError):
            self.record_path.unlink()

    def sync_folder(self) -> None:
        try:
            self._root.sync_folder(())
        except OSError as error:
            if error.errno not in _NO_FOLDER_SYNC:
                raise

    def _remove_part(self, file: OpenFile) -> None:
        with suppress(OSError):
            if self._is_still(file):
                self.part_path.unlink()

    def _is_still(self, file: OpenFile) -> bool:
        """Whether the part file's name still means this file."""
        try:
            return os.path.samestat(self.part_path.lstat(), os.fstat(file.descriptor))
        except FileNotFoundError:
            return False

    def _refuse_what_is_there(self) -> None:
        try:
            mode = self.path.lstat().st_mode
        except FileNotFoundError:
            return
        except OSError as error:
            raise file_fault(error, self.path, "looking") from error
        if stat.S_ISDIR(mode):
            raise ExistsError(f"{self.path} is a folder", hint="choose another name or folder")
        if not self._overwrite:
            raise ExistsError(
                f"{self.path} is there already", hint="--overwrite replaces it, -o names another file"
            )

    def _open_locked(self) -> OpenFile:
        for _ in range(_MOST_OPENINGS):
            file = OpenFile(self._root.open_for_writing([self._part_name]), is_writable=True)
            try:
                fcntl.flock(file.descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise self._busy() from None
            if self._is_still(file):
                return file
        raise self._busy()

    def _busy(self) -> ExistsError:
        owner = process_at_work(self._root, self._record_name)
        return ExistsError(
            f"another shoal process (pid {owner or 'unknown'}) is downloading {self.path}",
            hint=f"wait for it, or stop it (kill {owner})" if owner else "wait for it, or stop it",
        )

    def _open_record(self, file: OpenFile) -> PartRecord:
        record = PartRecord.open(self._root, self._record_name)
        size = os.fstat(file.descriptor).st_size
        if record.was_there or not size or hole_or_data(file.descriptor, 0, size) is Presence.HOLE:
            return record
        record.close()
        self.record_path.unlink()
        raise ExistsError(
            f"{self.part_path} is in the way: nothing beside it says that it is a download of ours",
            hint="move it away or remove it, or choose another name or folder",
        )
