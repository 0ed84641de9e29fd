"""The keys of the groups that this machine is in, and its own key in each.

`NAME.key` is the group's, as text; `NAME.member` is 32 bytes of our own, made when the group is joined. Always true:
both are written whole or not at all, and are read only as ordinary files that their owner alone may read, in a folder
that is the owner's alone, through no link; no error quotes what is in them.
"""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from shoal.disk.faults import file_fault
from shoal.errors import ExistsError, FileError, FormatError, NotFoundError
from shoal.fetch.group.joined import JoinedGroup
from shoal.fetch.group.key import GroupKey, checked_name, is_name, parse_key
from shoal.fetch.group.signing import SEED_LENGTH, MemberKey, new_member_key

MAX_LENGTH: Final = 4096  # bytes; what is longer is no key
_KEY, _MEMBER = ".key", ".member"
_FOLDER_FLAGS: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE_FLAGS: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC  # a pipe does not hold us


def groups_dir() -> Path:
    """In `$SHOAL_STATE_DIR`, or where this platform keeps the data of programs: state may be cleared, keys may not."""
    chosen = os.environ.get("SHOAL_STATE_DIR")
    if chosen:
        return Path(chosen) / "groups"
    import platformdirs  # here, since most commands never need it

    return platformdirs.user_data_path("shoal") / "groups"


class Keyring:
    """Raises `FileError` and `DiskFullError` wherever files are read or written."""

    def __init__(self, folder: Path | None = None) -> None:
        self.folder = groups_dir() if folder is None else folder

    def names(self) -> list[str]:
        """Of the groups that we are in."""
        with self._folder() as folder:
            found = [] if folder is None else os.listdir(folder)  # noqa: PTH208 (of the one that was looked at)
        return sorted(path.stem for path in map(Path, found) if path.suffix == _KEY and is_name(path.stem))

    def load(self, name: str) -> JoinedGroup:
        """Raises `UsageError` for what is no name, `NotFoundError` for a group that we are not in."""
        with self._folder() as folder:
            text = self._read(folder, checked_name(name) + _KEY)
            if text is None:
                raise NotFoundError(f"this machine is not in a group '{name}'", hint=self._hint())
            seed = self._read(folder, name + _MEMBER)
        return JoinedGroup(self._key(name, text), self._member(name, seed))

    def join(self, key: GroupKey) -> bool:
        """Keep this key. False if it was here already; `ExistsError` if another of that name is."""
        self._make_folder()
        with self._folder() as folder:
            kept = self._read(folder, key.name + _KEY)
            if kept is None:
                self._write(folder, key.name + _MEMBER, new_member_key().seed)
                if self._write(folder, key.name + _KEY, f"{key.text}\n".encode()):
                    return True
                kept = self._read(folder, key.name + _KEY)  # another process was first
            if kept is not None and self._key(key.name, kept) == key:
                return False
        raise ExistsError(
            f"there is a group '{key.name}' on this machine already, with another key",
            hint=f"choose another name, or leave that one first: shoal group leave {key.name}",
        )

    def leave(self, name: str) -> None:
        """Forget the group and who we were in it. Raises `UsageError`, `NotFoundError`."""
        with self._folder() as folder:
            try:
                if folder is None:
                    raise FileNotFoundError
                os.unlink(checked_name(name) + _KEY, dir_fd=folder)
            except FileNotFoundError:
                raise NotFoundError(f"this machine is not in a group '{name}'", hint=self._hint()) from None
            except OSError as error:
                raise file_fault(error, self.folder / f"{name}{_KEY}", "removing") from error
            with contextlib.suppress(FileNotFoundError):
                os.unlink(name + _MEMBER, dir_fd=folder)
            os.fsync(folder)

    def _hint(self) -> str:
        names = self.names()
        if names:
            return f"it is in {', '.join(names)}"
        return "make a group with shoal group new NAME, or join one with shoal group join -"

    def _key(self, name: str, data: bytes) -> GroupKey:
        path = self.folder / (name + _KEY)
        try:
            key = parse_key(data.decode("ascii", "replace"))
        except FormatError as error:
            raise FileError(f"{path}: damaged: {error.message}", hint=_lost(name)) from None
        if key.name != name:
            raise FileError(f"{path}: this is the key of a group of another name", hint=_lost(name))
        return key

    def _member(self, name: str, seed: bytes | None) -> MemberKey:
        path = self.folder / (name + _MEMBER)
        if seed is None or len(seed) != SEED_LENGTH:
            what = (
                "missing" if seed is None else f"damaged: {len(seed)} bytes, where {SEED_LENGTH} were written"
            )
            raise FileError(f"{path}: {what}", hint=_lost(name))
        return MemberKey(seed)

    # Files

    def _make_folder(self) -> None:
        try:
            self.folder.parent.mkdir(parents=True, exist_ok=True)
            with contextlib.suppress(FileExistsError):
                self.folder.mkdir(mode=0o700)
        except OSError as error:
            raise file_fault(error, self.folder, "making the folder for keys") from error

    @contextlib.contextmanager
    def _folder(self) -> Iterator[int | None]:
        """The open folder, looked at; None if there is none."""
        try:
            folder = os.open(self.folder, _FOLDER_FLAGS)
        except FileNotFoundError:
            yield None
            return
        except OSError as error:
            raise _open_fault(error, self.folder) from error
        try:
            _check_owner_alone(os.fstat(folder), self.folder, "u=rwx,go=")
            yield folder
        finally:
            os.close(folder)

    def _read(self, folder: int | None, name: str) -> bytes | None:
        if folder is None:
            return None
        path = self.folder / name
        try:
            descriptor = os.open(name, _FILE_FLAGS, dir_fd=folder)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise _open_fault(error, path) from error
        with os.fdopen(descriptor, "rb") as file:
            found = os.fstat(descriptor)
            if not stat.S_ISREG(found.st_mode):
                raise FileError(f"{path}: not an ordinary file")
            _check_owner_alone(found, path, "u=rw,go=")
            try:
                return file.read(MAX_LENGTH)
            except OSError as error:
                raise file_fault(error, path, "reading") from error

    def _write(self, folder: int | None, name: str, data: bytes) -> bool:
        """Durable under its name at once; False, and nothing done, if there is one already."""
        assert folder is not None, "it was made"
        unfinished = f".{name}.{secrets.token_hex(8)}"
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        try:
            descriptor = os.open(unfinished, flags, 0o600, dir_fd=folder)
            try:
                with os.fdopen(descriptor, "wb") as file:
                    file.write(data)
                    file.flush()
                    os.fsync(descriptor)
                os.link(unfinished, name, src_dir_fd=folder, dst_dir_fd=folder)
            finally:
                os.unlink(unfinished, dir_fd=folder)
            os.fsync(folder)
        except FileExistsError:
            return False
        except OSError as error:
            raise file_fault(error, self.folder / name, "writing") from error
        return True


def _check_owner_alone(found: os.stat_result, path: Path, mode: str) -> None:
    """Like ssh: a key that others had access to is no secret, and its owner should hear of it."""
    if found.st_uid != os.geteuid():
        raise FileError(
            f"{path}: it belongs to another user ({found.st_uid})",
            hint=f"run this as them, or: chown {os.geteuid()} {path}",
        )
    if found.st_mode & 0o077:
        raise FileError(
            f"{path}: others have access to it (mode {stat.S_IMODE(found.st_mode):o})",
            hint=f"chmod {mode} {path}; if somebody may have read a key there, make a new group",
        )


def _open_fault(error: OSError, path: Path) -> Exception:
    if error.errno in (errno.ELOOP, errno.ENOTDIR):
        return FileError(
            f"{path}: a link or a file is in its place", hint="remove it; keys are not read through links"
        )
    return file_fault(error, path, "reading")


def _lost(name: str) -> str:
    return f"join again with its key: shoal group leave {name}, then shoal group join -"
