"""Passkeys: what makes a private tracker private.

The file has a line for each key, `NAME KEY`, where NAME is whose it is; blank lines and what follows a `#` are passed
over. Somebody may have several keys, so that one can take over from another. Always true: no message quotes a key.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

from shoal.disk.faults import file_fault
from shoal.errors import FormatError, NotFoundError, ShoalError

MIN_KEY_LENGTH = 16  # 96 bits of base64, 64 of hex: nobody guesses it over a network
MAX_KEY_LENGTH = 64
MAX_NAME_LENGTH = 64  # of an owner: a column of a table
MAX_FILE_LENGTH = 16 * 1024 * 1024  # 100,000 keys; what is longer is another file
_KEY = re.compile(rf"[A-Za-z0-9_-]{{{MIN_KEY_LENGTH},{MAX_KEY_LENGTH}}}")


def passkey_in(path: bytes) -> bytes:
    """`/KEY/announce` -> `KEY`; b"" where the path has none. A query behind the path is passed over."""
    elements = path.partition(b"?")[0].split(b"/")
    return elements[1] if len(elements) == 3 and not elements[0] else b""


def parse_passkeys(text: str, source: str) -> dict[bytes, str]:
    """Key -> whose it is. Raises `FormatError`, which names the line."""
    keys: dict[bytes, str] = {}
    for number, line in enumerate(text.split("\n"), 1):
        words = line.partition("#")[0].split()
        if not words:
            continue
        if len(words) != 2:
            raise FormatError(f"{source}:{number}: {len(words)} words, where a line is NAME KEY")
        name, key = words
        if len(name) > MAX_NAME_LENGTH or not name.isprintable():
            raise FormatError(f"{source}:{number}: a name has {MAX_NAME_LENGTH} printable characters at most")
        if _KEY.fullmatch(key) is None:
            raise FormatError(
                f"{source}:{number}: the key of {name} is not {MIN_KEY_LENGTH} to {MAX_KEY_LENGTH} letters, digits, "
                "'-' or '_'",
                hint='make one with: python3 -c "import secrets; print(secrets.token_urlsafe(24))"',
            )
        if key.encode() in keys:
            raise FormatError(f"{source}:{number}: this key is {keys[key.encode()]}'s already")
        keys[key.encode()] = name
    return keys


class PasskeyFile:
    """The keys of a file, kept as the file is: `keys` is one mapping, changed in place when the file changes."""

    def __init__(self, path: Path, *, complain: Callable[[str], None] = lambda line: None) -> None:
        """Raises `NotFoundError`, `FileError`, `FormatError`; `complain` is told of such trouble later on."""
        self.path = path
        self._complain = complain
        self._stamp = self._look()
        self.keys = self._read()

    def refresh(self) -> None:
        """Read the file anew if it changed; if it cannot be used, say so once and keep the keys that were."""
        stamp = self._look()
        if stamp == self._stamp:
            return
        self._stamp = stamp
        try:
            keys = self._read()
        except ShoalError as error:
            self._complain(f"{error.message}; the passkeys stay as they were")
            return
        for key in self.keys.keys() - keys.keys():
            del self.keys[key]
        self.keys.update(keys)

    def _look(self) -> tuple[int, int, int] | None:
        try:
            stat = self.path.stat()
        except OSError:
            return None  # reading tells why
        return stat.st_ino, stat.st_size, stat.st_mtime_ns

    def _read(self) -> dict[bytes, str]:
        try:
            with self.path.open("rb") as file:
                data = file.read(MAX_FILE_LENGTH + 1)
        except FileNotFoundError:
            raise NotFoundError(f"{self.path}: no such file") from None
        except OSError as error:
            raise file_fault(error, self.path, "reading") from error
        if len(data) > MAX_FILE_LENGTH:
            raise FormatError(f"{self.path}: longer than {MAX_FILE_LENGTH} bytes: no file of passkeys")
        try:
            return parse_passkeys(data.decode("utf-8-sig"), str(self.path))
        except UnicodeDecodeError as error:
            line = data.count(b"\n", 0, error.start) + 1
            raise FormatError(f"{self.path}:{line}: not text in UTF-8") from None
