"""How many neighbours have each piece, as one binary number a piece, written across a few sets.

`_planes[k]` is the set of pieces whose count has bit k. So a whole bitfield is added with one addition that carries
from plane to plane, and the rarest pieces are found from the highest plane down: both take as many set operations as
the number of neighbours has digits, however many pieces there are. Neighbours that have everything are only counted.
"""

from __future__ import annotations

import random

from shoal.formats.bitfield import all_bits, lowest_bit, random_bit


class Availability:
    def __init__(self, piece_count: int) -> None:
        self._all = all_bits(piece_count)
        self._planes: list[int] = []
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
        return self._seeds + sum((plane >> piece & 1) << k for k, plane in enumerate(self._planes))

    def rarest_of(self, candidates: int) -> int:
        """Those of the candidates that the fewest neighbours have, be it nobody."""
        for plane in reversed(self._planes):
            candidates = candidates & ~plane or candidates
        return candidates

    def rarest(self, candidates: int, rng: random.Random) -> int | None:
        """One of the rarest candidates, any of them."""
        return random_bit(self.rarest_of(candidates), rng) if candidates else None

    def least(self) -> int:
        """The copies of the rarest piece among the neighbours."""
        return self.count(lowest_bit(self.rarest_of(self._all))) if self._all else 0

    def _raise(self, bits: int) -> None:
        """Add one to the count of each of these pieces."""
        planes = self._planes
        for k, plane in enumerate(planes):
            if not bits:
                return
            planes[k] = plane ^ bits
            bits &= plane  # the carry
        if bits:
            planes.append(bits)

    def _lower(self, bits: int) -> None:
        """Take one from the count of each of these pieces."""
        planes = self._planes
        for k, plane in enumerate(planes):
            if not bits:
                break
            planes[k] = plane ^ bits
            bits &= ~plane  # the borrow
        if bits:
            raise ValueError("a piece was taken away from a neighbour that did not have it")
        while planes and not planes[-1]:
            planes.pop()
