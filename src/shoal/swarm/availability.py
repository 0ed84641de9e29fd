"""How many neighbours have each piece, kept as one set of pieces per count.

`with_count[n]` is the set of pieces that exactly n neighbours have; the sets are disjoint and together hold every
piece. Rarest first is then "the first set that meets the candidates", and a whole bitfield is added with a few
set operations per count instead of one step per piece. Neighbours that have everything are only counted.
"""

from __future__ import annotations

import random
from collections.abc import Iterator

from shoal.formats.bitfield import all_bits, random_bit


class Availability:
    def __init__(self, piece_count: int) -> None:
        self._all = all_bits(piece_count)
        self._with_count = [self._all]
        self._seeds = 0

    def add(self, bits: int) -> None:
        """A neighbour has these pieces."""
        if bits == self._all:
            self._seeds += 1
        else:
            self._raise(bits)

    def remove(self, bits: int) -> None:
        """A neighbour that had (exactly) these pieces has left."""
        if bits == self._all and self._seeds:
            self._seeds -= 1
        else:
            self._lower(bits)

    def add_piece(self, piece: int, before: int) -> None:
        """A neighbour that had the pieces `before` now also has `piece`."""
        bit = 1 << piece
        if before | bit == self._all:
            self._lower(before)
            self._seeds += 1
        else:
            self._raise(bit)

    def count(self, piece: int) -> int:
        """How many neighbours have `piece`."""
        for count, bits in enumerate(self._with_count):
            if bits >> piece & 1:
                return count + self._seeds
        raise IndexError(piece)

    def rarest_first(self, candidates: int) -> Iterator[int]:
        """The candidates in groups of equal count, fewest first; pieces that nobody has are a group too."""
        for bits in self._with_count:
            found = bits & candidates
            if found:
                yield found

    def rarest(self, candidates: int, rng: random.Random) -> int | None:
        """One of the rarest candidates, any of them."""
        for found in self.rarest_first(candidates):
            return random_bit(found, rng)
        return None

    def least(self) -> int:
        """The copies of the rarest piece among the neighbours."""
        return self._seeds + next((n for n, bits in enumerate(self._with_count) if bits), 0)

    def _raise(self, bits: int) -> None:
        sets = self._with_count
        for count in range(len(sets) - 1, -1, -1):
            moving = sets[count] & bits
            if moving:
                sets[count] ^= moving
                if count + 1 == len(sets):
                    sets.append(0)
                sets[count + 1] |= moving

    def _lower(self, bits: int) -> None:
        sets = self._with_count
        for count in range(1, len(sets)):
            moving = sets[count] & bits
            if moving:
                sets[count] ^= moving
                sets[count - 1] |= moving
        while len(sets) > 1 and not sets[-1]:
            sets.pop()
