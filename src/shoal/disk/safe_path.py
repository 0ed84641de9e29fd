"""The one door through which names from strangers become open files.

Always true: what is opened here lies below the root, and is a regular file. Every element of a path is
opened relative to the folder before it with O_NOFOLLOW, so no symbolic link is followed on the way, and
none that is put there between two calls either: there is no moment between a check and a use.

Reading has one courtesy: a link that a person put below the root, and that ends below the root too, is
resolved first and the resolved path is then walked as strictly. Writing has none.

The root itself is the person's own choice and may be or contain links. POSIX only (`dir_fd`).
Raises `OSError` as it comes, and `FileError` for a path or a thing that is refused.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from shoal.errors import FileError

_FOLDER = getattr(os, "O_PATH", os.O_RDONLY) | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_LEAF = os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC  # O_NONBLOCK: opening a FIFO must not wait
_LINK_ON_THE_WAY = frozenset({errno.ELOOP, errno.ENOTDIR, errno.EMLINK})  # EMLINK: FreeBSD's word for ELOOP


class SafeRoot:
    """A folder and the files below it. Holds no open file, so it needs no closing."""

    def __init__(self, root: Path) -> None:
        self.path = Path(os.path.abspath(root))  # noqa: PTH100  resolve() would follow links now, for good

    def shown(self, names: Sequence[str]) -> Path:
        """The path as messages name it."""
        return self.path.joinpath(*names)

    def open_for_reading(self, names: Sequence[str]) -> int:
        """A descriptor of the file, read-only."""
        check_names(names)
        try:
            return self._open(names, os.O_RDONLY)
        except OSError as error:
            if error.errno not in _LINK_ON_THE_WAY:
                raise
            return self._open(self._resolve(names), os.O_RDONLY)

    def open_for_writing(self, names: Sequence[str]) -> int:
        """A descriptor for reading and writing; the file and the folders above it are made if need be."""
        check_names(names)
        try:
            return self._open(names, os.O_RDWR | os.O_CREAT, make_folders=True)
        except OSError as error:
            if error.errno not in _LINK_ON_THE_WAY:
                raise
            raise FileError(
                f"{self.shown(names)}: not written: a symbolic link or a file stands on the way",
                hint="move it away, or choose another folder",
            ) from None

    def sync_folder(self, names: Sequence[str]) -> None:
        """Make the names in a folder below the root durable (`()` is the root itself)."""
        folder = self._open_folder(names, make=False)
        try:
            readable = os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=folder)
        finally:
            os.close(folder)
        try:
            os.fsync(readable)
        finally:
            os.close(readable)

    def _resolve(self, names: Sequence[str]) -> tuple[str, ...]:
        root = Path(os.path.realpath(self.path))
        target = Path(os.path.realpath(root.joinpath(*names)))  # Path.resolve() raises for a loop of links
        if target == root or not target.is_relative_to(root):
            raise FileError(f"{self.shown(names)}: not read: it leads out of {self.path}")
        return target.relative_to(root).parts

    def _open(self, names: Sequence[str], flags: int, *, make_folders: bool = False) -> int:
        folder = self._open_folder(names[:-1], make=make_folders)
        try:
            opened = os.open(names[-1], flags | _LEAF, 0o666, dir_fd=folder)
        finally:
            os.close(folder)
        if not stat.S_ISREG(os.fstat(opened).st_mode):
            os.close(opened)
            raise FileError(f"{self.shown(names)}: not a regular file")
        return opened

    def _open_folder(self, names: Sequence[str], *, make: bool) -> int:
        if make:
            self.path.mkdir(parents=True, exist_ok=True)
        folder = os.open(self.path, _FOLDER & ~os.O_NOFOLLOW)
        for name in names:
            try:
                below = _step_into(folder, name, make=make)
            finally:
                os.close(folder)
            folder = below
        return folder


def check_names(names: Sequence[str]) -> None:
    """Refuse path elements that mean anything but a name in the folder before them."""
    if not names:
        raise FileError("a file needs a name, the path is empty")
    for position, name in enumerate(names):
        if name in ("", ".", "..") or "/" in name or "\0" in name:
            raise FileError(f"path element {position}: {name!r} is no name of a file or folder")


def _step_into(folder: int, name: str, *, make: bool) -> int:
    try:
        return os.open(name, _FOLDER, dir_fd=folder)
    except FileNotFoundError:
        if not make:
            raise
    with suppress(FileExistsError):  # another thread makes the same folder
        os.mkdir(name, dir_fd=folder)
    return os.open(name, _FOLDER, dir_fd=folder)
