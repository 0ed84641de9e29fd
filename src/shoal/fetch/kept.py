"""What of a file is kept from one try to the next: a part file to go on with, or a whole one that is not right.

Always true: bytes are gone on with only if they are of the same URL, length and version. Where only the digest that a
person gave is wrong, all of it is kept, for the digest may be what was mistyped; whoever finds it is told so.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable

from shoal.disk.part_file import PartFile
from shoal.errors import ChecksumError, DiskFullError, NetworkError, ShoalError
from shoal.fetch.facts import Facts
from shoal.fetch.pieces import piece_length_for
from shoal.fetch.progress import Wanted
from shoal.fetch.verification import Verification


def add_hint(error: ShoalError, part: PartFile | None) -> None:
    """What to do next depends on whether anything is kept in `part`, if there is one yet."""
    is_kept = part is not None and part.is_resumable and bool(part.have_bits)
    if isinstance(error, DiskFullError) and not is_kept:
        error.hint = "make room, then run the same command again"
        if part is not None:
            error.hint += ": it begins anew, for nothing of it could be kept"
    elif isinstance(error, NetworkError) and not error.hint:
        kept = "what is here is kept: the same command goes on from there"
        error.hint = kept if is_kept else "the same command tries it again, now or later"


class Kept:
    """Of one file: what `first_url` is known to name."""

    def __init__(self, wanted: Wanted, first_url: str, facts: Facts, verification: Verification) -> None:
        self._wanted = wanted
        self._first_url = first_url
        self._facts = facts
        self._verification = verification

    def open(self, name: str, *, is_split: bool, is_anew: bool, should_stop: Callable[[], bool]) -> PartFile:
        """For a worker thread. `is_anew`: what is here is thrown away."""
        identity = self._identity(self._verification.version) if is_split else None
        length, piece_length = self._facts.length, piece_length_for(self._facts.length or 0)
        part = PartFile.open(
            self._wanted.folder, name, identity, length,
            piece_length=piece_length, overwrite=self._wanted.overwrite, should_stop=should_stop,
            whole_identity=self._identity_if_whole if self._verification.is_given else None, mark=self._mark,
        )  # fmt: skip
        if is_anew and part.have_bits:
            part.start_anew(identity, length, piece_length=piece_length)
        return part

    def why_anew(self, part: PartFile) -> str:
        """What was here and had to be thrown away; `""` if nothing was."""
        name = part.part_path.name
        if part.replaced is None:
            return ""
        if part.replaced not in (b"", self._mark):
            return f"{name} was of another URL"
        if not part.is_resumable:
            return f"{name} cannot be gone on with"  # why is said when its stream begins
        return f"{name} was of another version" if part.replaced else f"{name} was of another URL or version"

    async def keep(self, part: PartFile, error: ChecksumError) -> ChecksumError | None:
        """All of it came and is not what it was to be. The error to raise if it is kept, else None."""
        if not (part.is_whole and self._verification.is_given):
            return None
        try:
            await asyncio.to_thread(part.keep_whole, self._identity_if_whole)
        except ShoalError:
            return None
        again = "run it again with the right --checksum, or with --overwrite to fetch it anew"
        return ChecksumError(error.message, hint=f"it is kept in {part.part_path.name}: {again}")

    @property
    def _mark(self) -> bytes:
        """Of the URL; it cannot be read back."""
        return hashlib.sha256(self._first_url.encode()).hexdigest()[:16].encode()

    @property
    def _identity_if_whole(self) -> bytes:
        return self._identity("whole")

    def _identity(self, version: str) -> bytes:
        """`version` is what tells it apart where no validator does."""
        validator = self._facts.validator
        return f"{self._first_url} {version if validator is None else validator.text}".encode()
