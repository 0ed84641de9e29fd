"""Keep the one true state of every piece.

Always true: each piece is in exactly one of MISSING, IN_FLIGHT, HAVE, UNWANTED, SUSPENDED, and only this module moves
it. SUSPENDED is wanted and not here, like MISSING, but nobody is asked for it: somebody else may bring it. So whoever
chooses what to ask for looks at `missing` and nothing else. `suspend` holds for a piece in whatever state it is, until
`resume`: one that is here already becomes SUSPENDED when it is lost.
A piece in flight has a `PieceProgress`: which of its blocks arrived and from whom, and which are asked for.
It knows peers by their key only, and nothing of bytes.
"""

from __future__ import annotations

from shoal.formats.bitfield import all_bits, without
from shoal.formats.layout import Layout

PeerKey = tuple[str, int]  # the address of its connection, which outlives it


class PieceProgress:
    """One piece in flight. Block sets are integers: bit i is block i."""

    __slots__ = ("all_blocks", "asked", "exclusive_to", "piece", "received", "senders")

    def __init__(self, piece: int, block_count: int, exclusive_to: PeerKey | None = None) -> None:
        self.piece = piece
        self.all_blocks = all_bits(block_count)
        self.received = 0
        self.asked = 0  # blocks that somebody who answers owes us; never overlaps `received`
        self.senders: dict[PeerKey, int] = {}
        self.exclusive_to = (
            exclusive_to  # after a bad hash: only this peer is asked, so that a lie has one author
        )

    @property
    def unasked(self) -> int:
        return self.all_blocks & ~(self.asked | self.received)

    @property
    def missing(self) -> int:
        return self.all_blocks & ~self.received

    @property
    def is_whole(self) -> bool:
        return self.received == self.all_blocks


class Pieces:
    """The pieces of one torrent, as five disjoint sets."""

    def __init__(self, layout: Layout, *, have: int = 0, wanted: int | None = None) -> None:
        self.layout = layout
        self.count = layout.piece_count
        self.all = all_bits(self.count)
        wanted = self.all if wanted is None else wanted
        self._wanted = wanted
        self.have = have
        self.missing = wanted & ~have
        self.unwanted = self.all & ~wanted & ~have
        self.in_flight: dict[int, PieceProgress] = {}
        self.needed = self.missing  # MISSING, IN_FLIGHT and SUSPENDED: what makes a peer interesting
        self._never_asked = 0  # what was suspended, whatever its state

    @property
    def is_complete(self) -> bool:
        """Everything wanted is here."""
        return not self.needed

    @property
    def has_all(self) -> bool:
        """The whole torrent is here, wanted or not."""
        return self.have == self.all

    @property
    def suspended(self) -> int:
        """Wanted and not here, and nobody is asked for it."""
        return without(self.needed & self._never_asked, sum(1 << piece for piece in self.in_flight))

    def begin(self, piece: int, exclusive_to: PeerKey | None = None) -> PieceProgress:
        """MISSING -> IN_FLIGHT."""
        bit = 1 << piece
        if not self.missing & bit:
            raise ValueError(f"piece {piece} is not missing")
        self.missing ^= bit
        progress = PieceProgress(piece, self.layout.block_count(piece), exclusive_to)
        self.in_flight[piece] = progress
        return progress

    def complete(self, piece: int) -> None:
        """IN_FLIGHT -> HAVE, after its hash was found right."""
        del self.in_flight[piece]
        self.have |= 1 << piece
        self.needed &= ~(1 << piece)

    def give_up(self, piece: int) -> None:
        """IN_FLIGHT -> MISSING: a bad hash, or nobody left to finish it and its buffer is needed."""
        del self.in_flight[piece]
        self.missing |= without(1 << piece, self._never_asked)

    def take_in(self, piece: int) -> None:
        """Any state -> HAVE: it came another way than from peers."""
        self.in_flight.pop(piece, None)
        bit = 1 << piece
        self.have |= bit
        self.missing &= ~bit
        self.needed &= ~bit
        self.unwanted &= ~bit

    def suspend(self, bits: int) -> None:
        """MISSING -> SUSPENDED. What is in flight stays so until it is given up."""
        self._never_asked |= bits & self.all
        self.missing = without(self.missing, bits)

    def resume(self, bits: int) -> None:
        """SUSPENDED -> MISSING."""
        self.missing |= self.suspended & bits
        self._never_asked = without(self._never_asked, bits)

    def lose(self, bits: int) -> None:
        """HAVE -> MISSING, SUSPENDED, or UNWANTED if nobody wants it: what was there is not there after all."""
        lost = self.have & bits
        self.have ^= lost
        self.missing |= without(lost & self._wanted, self._never_asked)
        self.needed |= lost & self._wanted
        self.unwanted |= lost & ~self._wanted

    def bytes_in(self, bits: int) -> int:
        """The length of a set of pieces, the short last one counted right."""
        total = bits.bit_count() * self.layout.piece_length
        last = self.count - 1
        if bits and bits >> last & 1:
            total -= self.layout.piece_length - self.layout.piece_size(last)
        return total
