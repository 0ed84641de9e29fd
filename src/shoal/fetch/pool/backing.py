"""Which pieces somebody answers for.

Always true: a piece that members have, and that nobody answers for, is asked of none of them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from shoal.engine.torrent import Torrent


class Backing:
    """`torrent` is set when it runs."""

    def __init__(self) -> None:
        self.torrent: Torrent | None = None
        self._backed = 0  # of which it is known what they must hash to
        self._unbacked = 0  # not to be asked for

    def take(self, piece: int) -> None:
        """Somebody answers for it: it may be asked for."""
        bit = 1 << piece
        self._backed |= bit
        if self._unbacked & bit:
            self._unbacked ^= bit
            if self.torrent is not None:
                self.torrent.resume(bit)

    def drop(self, bits: int) -> None:
        """Nobody answers for these, or two differ."""
        self._backed &= ~bits
        self._unbacked |= bits
        if self.torrent is not None:
            self.torrent.suspend(bits)

    def lacking(self, bits: int) -> int:
        """Those for which nobody answers."""
        return bits & ~self._backed
