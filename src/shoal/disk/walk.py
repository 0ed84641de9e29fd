"""Find the files that `shoal create` makes a torrent of.

Always true: the same tree gives the same list on every machine. Files are sorted by their path, element by
element, as UTF-8 bytes; that is also the order of a v2 file tree (BEP 52), so one list serves all formats.

What is taken: regular files, empty ones too. A symbolic link to a regular file is taken as that file if it
lies inside of the folder that is shared, and left out with a warning otherwise: sharing a folder publishes
nothing from outside of it. Links to folders, sockets, devices and FIFOs are left out with a warning. The
path that was named may itself be a link. What matches `excludes` is left out without a word.

Names that are not UTF-8 are refused; names that differ only by case are warned of. What else a name may not hold is
`build_metainfo`'s to say.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from shoal.disk.faults import file_fault
from shoal.errors import FileError, NotFoundError, UsageError
from shoal.formats.safe_names import unique_paths

OnWarning = Callable[[str], None]

_RENAME = "rename it, or leave it out with --exclude"


@dataclass(frozen=True, slots=True)
class SourceFile:
    """A file to hash, as it was when it was found."""

    names: tuple[str, ...]  # as the torrent will name it, below its folder; (name,) for a single file
    path: Path  # where it is, links resolved
    size: int
    mtime_ns: int


@dataclass(frozen=True, slots=True)
class Payload:
    """What a torrent is made of."""

    name: str
    is_single_file: bool
    files: tuple[SourceFile, ...]  # sorted

    @property
    def total_size(self) -> int:
        return sum(file.size for file in self.files)


def find_payload(path: Path, *, excludes: Sequence[str] = (), on_warning: OnWarning | None = None) -> Payload:
    """The files at `path`, a file or a folder.

    `excludes` are globs (`*`, `?`, `[...]`; `*` crosses `/`) on the path below the folder and on the last
    element alone; a folder that matches is left out with all that is in it.
    Raises `NotFoundError`, `FileError` for what cannot be read, `UsageError` if there is no byte to share.
    """
    real = Path(os.path.realpath(path))
    name = real.name if path.name in ("", "..") else path.name
    try:
        status = real.stat()
        if stat.S_ISDIR(status.st_mode):
            files = tuple(sorted(_files_below(real, excludes, on_warning or _silent), key=_by_bytes))
        elif stat.S_ISREG(status.st_mode):
            files = (SourceFile((name,), real, status.st_size, status.st_mtime_ns),)
        else:
            raise FileError(f"{path}: neither a file nor a folder")
    except FileNotFoundError:
        raise NotFoundError(f"{path}: no such file or folder") from None
    except OSError as error:
        raise file_fault(error, error.filename or path, "reading") from error
    payload = Payload(_checked_name(name, path), stat.S_ISREG(status.st_mode), files)
    _warn_of_case(payload, on_warning or _silent)
    if not payload.total_size:
        raise UsageError(f"{path}: there is no byte to share", hint="name a file that is not empty")
    return payload


def _files_below(root: Path, excludes: Sequence[str], on_warning: OnWarning) -> Iterator[SourceFile]:
    folders: list[tuple[str, ...]] = [()]
    while folders:
        above = folders.pop()
        with os.scandir(root.joinpath(*above)) as entries:
            for entry in entries:
                names = (*above, entry.name)
                if _is_excluded(names, excludes):
                    continue
                _checked_name(entry.name, entry.path)
                if entry.is_dir(follow_symlinks=False):
                    folders.append(names)
                    continue
                source = _source_file(root, entry, names, on_warning)
                if source is not None:
                    yield source


def _source_file(
    root: Path, entry: os.DirEntry[str], names: tuple[str, ...], on_warning: OnWarning
) -> SourceFile | None:
    path = Path(entry.path)
    if entry.is_symlink():
        path = Path(os.path.realpath(path))
        if not path.is_relative_to(root) or not path.is_file():
            on_warning(f"{entry.path}: left out: a link to a folder, to nothing, or out of {root}")
            return None
    elif not entry.is_file(follow_symlinks=False):
        on_warning(f"{entry.path}: left out: not a regular file")
        return None
    status = path.stat()
    return SourceFile(names, path, status.st_size, status.st_mtime_ns)


def _is_excluded(names: tuple[str, ...], excludes: Sequence[str]) -> bool:
    path = "/".join(names)
    return any(fnmatchcase(path, glob) or fnmatchcase(names[-1], glob) for glob in excludes)


def _checked_name(name: str, path: str | Path) -> str:
    """A torrent's names are UTF-8; a name that is not would come out as another one elsewhere."""
    try:
        name.encode("utf-8")
    except UnicodeEncodeError:
        shown = os.fsencode(path).decode("utf-8", "backslashreplace")
        raise FileError(f"{shown}: the name is not UTF-8", hint=_RENAME) from None
    return name


def _warn_of_case(payload: Payload, on_warning: OnWarning) -> None:
    paths = [file.names for file in payload.files]
    for file, names in zip(payload.files, unique_paths(paths), strict=True):
        if names != file.names:
            on_warning(f"{file.path}: where case does not count it becomes '{'/'.join(names)}'")


def _by_bytes(file: SourceFile) -> list[bytes]:
    return [name.encode("utf-8") for name in file.names]


def _silent(_: str) -> None:
    pass
