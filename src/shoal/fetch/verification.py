"""What the bytes of one file are compared with, and the thread that does it.

In this order: what the person gave (or the Metalink that was asked for), what a Metalink says that the origin named,
what the origin's headers say. Always true: a byte that comes again is hashed again.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence

from shoal.disk.checksum import Checker, Checksum
from shoal.disk.parallel import ShouldStop
from shoal.disk.part_file import PartFile
from shoal.disk.piece_digests import PieceChecker, PieceDigests
from shoal.errors import ChecksumError
from shoal.formats.digests import strongest
from shoal.formats.metalink import MetalinkFile


class Verification:
    def __init__(self, given: Sequence[Checksum], described: MetalinkFile | None) -> None:
        self._given = list(given)
        self._described = described
        self._said: Mapping[str, bytes] = {}
        self._is_said_in_private = False
        self._part: PartFile | None = None
        self._checker: Checker | None = None
        self._hashed_to = 0

    # ---- what is known

    @property
    def checksums(self) -> list[Checksum]:
        described = self._described.digests if self._described is not None else {}
        return self._given or _best(described) or _best(self._said)

    @property
    def is_known(self) -> bool:
        return bool(self.checksums) or self._has_pieces

    @property
    def _has_pieces(self) -> bool:
        return self._described is not None and bool(self._described.piece_digests)

    @property
    def checked_by(self) -> str:
        """For people: "sha256", "sha256 pieces"; "" if nothing is known."""
        if self.checksums:
            return self.checksums[0].algorithm
        if self._has_pieces:
            assert self._described is not None
            return f"{self._described.piece_digest_name.replace('-', '')} pieces"
        return ""

    @property
    def sha256(self) -> bytes | None:
        """That of the whole file, of what it is compared with; a header counts if nobody could change it on its way."""
        described = self._described.digests if self._described is not None else {}
        given = {one.name: one.digest for one in self._given}
        known = given or described or (self._said if self._is_said_in_private else {})
        return known.get("sha-256")

    @property
    def version(self) -> str:
        """Which bytes are meant, where no validator tells."""
        pieces = self._described.piece_digests if self._described is not None else ()
        return f"{' '.join(map(str, self.checksums))} {hashlib.sha256(b''.join(pieces)).hexdigest()}"

    def pieces(self, length: int) -> PieceDigests | None:
        """For a file of so many bytes. Raises `FormatError` if they do not fit it."""
        one = self._described
        if one is None or not one.piece_digests:
            return None
        return PieceDigests.of(one.piece_digest_name, one.piece_length, length, one.piece_digests)

    def on_said(self, digests: Mapping[str, bytes], url: str) -> None:
        """By the headers of the first response, which came from `url`."""
        self._said = digests
        self._is_said_in_private = url.startswith("https:")

    def on_described(self, file: MetalinkFile) -> bool:
        """A Metalink that the origin named says this; False if its origin's headers contradict it."""
        if any(file.digests.get(name, digest) != digest for name, digest in self._said.items()):
            return False
        if self._described is None:
            before, self._described = self.checksums, file
            if self.checksums != before:
                self.restart()
        return True

    # ---- the work

    def begin(self, part: PartFile) -> None:
        """The file's bytes come from its beginning, or from what is here of it."""
        self._part = part
        self.restart()

    def advance(self, end: int) -> None:
        """The bytes up to `end` are here. Fewer than before: some of them were wrong."""
        if end < self._hashed_to:
            self.restart()
        self._hashed_to = end
        if self._checker is not None:
            self._checker.advance(end)

    def finish_all(self, length: int, should_stop: ShouldStop) -> None:
        """Also what was not checked on its way. Raises `ChecksumError`."""
        self.finish_pieces(length, should_stop)
        self.finish(length, should_stop)

    def finish(self, length: int, should_stop: ShouldStop) -> None:
        """All `length` bytes are here. Raises `ChecksumError`."""
        if self._checker is not None:
            self._checker.finish(length, should_stop=should_stop)

    def finish_pieces(self, length: int, should_stop: ShouldStop) -> None:
        """Raises `ChecksumError`."""
        expected = self.pieces(length)
        if expected is None or self._part is None:
            return
        checker = PieceChecker(self._part.read_into, expected)
        try:
            for piece in range(expected.layout.piece_count):
                checker.judge(piece)
            checker.wait(should_stop)
            wrong = checker.take_wrong()
        finally:
            checker.close()
        if wrong:
            what = f"piece {wrong[0] + 1} of {expected.layout.piece_count} is wrong ({expected.name})"
            raise ChecksumError(
                f"{self._part.path}: {what}",
                hint="the source has another file than the one that the Metalink was made of",
            )

    def close(self) -> None:
        if self._checker is not None:
            self._checker.close()
            self._checker = None

    def restart(self) -> None:
        """Some of what was here comes again."""
        self.close()
        self._hashed_to = 0
        if self._part is not None and self.checksums:
            self._checker = Checker(self._part.read_into, self.checksums, self._part.path)


def _best(digests: Mapping[str, bytes]) -> list[Checksum]:
    best = strongest(digests)
    return [] if best is None else [Checksum(best, digests[best])]
