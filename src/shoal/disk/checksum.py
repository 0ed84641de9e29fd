"""Digests of whole files: as people write them, and checked while the file is still growing.

A `Checker` follows the front of a file in a thread of its own, so that at the end there is little left to read. It
knows an offset up to which all bytes are here and a way to read them; nothing of URLs or connections.

Always true: every byte is hashed once, in order, and only after its owner said that it is here.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path

from shoal.disk.parallel import TICK, OnProgress, ShouldStop
from shoal.errors import ChecksumError, UsageError
from shoal.formats.digests import DIGEST_LENGTHS, digest_name, new_hash
from shoal.units import MIB

Read = Callable[[int, memoryview], None]  # (offset, buffer): fill it or raise a `ShoalError`

_CHUNK_LENGTH = 1 * MIB  # as fast as 64 KiB to 1 MiB all are, and the fewest calls
_TEXT = re.compile(r"\s*([A-Za-z0-9-]+)\s*:\s*([0-9A-Fa-f]*)\s*")


@dataclass(frozen=True, slots=True)
class Checksum:
    """What a file's digest must be. A person's is made by `parse_checksum`; those of headers are parsed there."""

    name: str  # as in `formats/digests.py`: sha-256
    digest: bytes

    @property
    def algorithm(self) -> str:
        """As people write it: sha256."""
        return self.name.replace("-", "")

    def __str__(self) -> str:
        return f"{self.algorithm}:{self.digest.hex()}"


def parse_checksum(text: str) -> Checksum:
    """`"sha256:HEX"` (or sha512, sha1, md5, ...; `sha-256` is the same). Raises `UsageError`."""
    form = _TEXT.fullmatch(text)
    if form is None:
        raise UsageError(f"'{text}' is not a checksum", hint=_hint_for(text))
    name = digest_name(form[1])
    if name is None:
        known = ", ".join(one.replace("-", "") for one in DIGEST_LENGTHS)
        raise UsageError(f"'{text}': '{form[1]}' is none of {known}", hint=_hint_for(text))
    digits = 2 * DIGEST_LENGTHS[name]
    if len(form[2]) != digits:
        raise UsageError(
            f"'{text}': {len(form[2])} hexadecimal digits, where {form[1]} has {digits}",
            hint="was it cut off, or is it of another algorithm?",
        )
    return Checksum(name, bytes.fromhex(form[2]))


@dataclass(frozen=True, slots=True)
class Said:
    """Who said what a digest must be, for messages."""

    words: str = "{} was expected"
    hint: str = "the source has another file than the one the checksum was made of, or sent it damaged"


class Checker:
    """Hashes one growing file for the checksums that are expected of it."""

    def __init__(
        self, read: Read, checksums: Collection[Checksum], path: Path, said: Said | None = None
    ) -> None:
        """`path` and `said` are for messages. A file that is begun anew needs a new `Checker`."""
        self._said = said or Said()
        self._read = read
        self._path = path
        self._expected = tuple(checksums)
        self._hashes = {checksum.name: new_hash(checksum.name) for checksum in checksums}
        self._changed = threading.Condition()
        self._end = 0  # all bytes before it are here
        self._hashed = 0
        self._is_closed = False
        self._error: Exception | None = None
        self._thread = threading.Thread(target=self._follow, name="shoal-checker", daemon=True)
        self._thread.start()

    @property
    def hashed(self) -> int:
        """Bytes so far."""
        return self._hashed

    def advance(self, end: int) -> None:
        """The bytes up to `end` are here and will not change. Never waits for the disk."""
        with self._changed:
            self._end = max(self._end, end)
            self._changed.notify_all()

    def finish(
        self, length: int, *, on_progress: OnProgress | None = None, should_stop: ShouldStop | None = None
    ) -> bool:
        """Hash the rest of all `length` bytes and compare; False if stopped. `on_progress` gets bytes so far.

        Raises `ChecksumError` naming both digests, or what reading raised.
        """
        self.advance(length)
        while not self._wait(lambda: self._error is not None or self._hashed >= length):
            if on_progress is not None:
                on_progress(self._hashed)
            if should_stop is not None and should_stop():
                return False
        if self._error is not None:
            raise self._error
        if self._hashed != length:
            raise ValueError(f"{self._hashed} bytes were said to be here, of {length}")
        if on_progress is not None:
            on_progress(length)
        for checksum in self._expected:
            found = Checksum(checksum.name, self._hashes[checksum.name].digest())
            if found != checksum:
                told = self._said.words.format(checksum)
                raise ChecksumError(
                    f"{self._path}: its digest is {found}, where {told}", hint=self._said.hint
                )
        return True

    def close(self) -> None:
        """End the thread, after the chunk it is at."""
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()
        self._thread.join()

    def _wait(self, is_so: Callable[[], bool]) -> bool:
        with self._changed:
            return self._changed.wait_for(is_so, TICK)

    def _follow(self) -> None:
        buffer = memoryview(bytearray(_CHUNK_LENGTH))
        while (view := buffer[: self._next_length()]) and not self._is_closed:
            try:
                self._read(self._hashed, view)
            except Exception as error:  # noqa: BLE001  `finish` raises it
                with self._changed:
                    self._error = error
                    self._changed.notify_all()
                return
            for one in self._hashes.values():
                one.update(view)
            with self._changed:
                self._hashed += len(view)
                self._changed.notify_all()

    def _next_length(self) -> int:
        """Waits until there is something to hash; 0 when closed."""
        with self._changed:
            self._changed.wait_for(lambda: self._is_closed or self._hashed < self._end)
            return min(_CHUNK_LENGTH, self._end - self._hashed)


def _hint_for(text: str) -> str:
    digits = text.strip()
    for name, length in DIGEST_LENGTHS.items():
        if re.fullmatch(f"[0-9A-Fa-f]{{{2 * length}}}", digits):
            return f"write {Checksum(name, bytes.fromhex(digits))}"
    return "write it like sha256:HEX, with sha512, sha256, sha1 or md5"
