"""How many neighbours have each piece, as one binary number a piece, written across a few sets.

`Tally._planes[k]` is the set of pieces whose count has bit k. So a whole bitfield is added with one addition that
carries from plane to plane, and the rarest pieces are found from the highest plane down: both take as many set
operations as the number of neighbours has digits, however many pieces there are. Neighbours that have everything are
only counted.
"""

from __future__ import annotations

import random

from shoal.formats.bitfield import all_bits, lowest_bit, random_bit, without


class Tally:
    """A count for each member of a set that may grow as it likes."""

    def __init__(self) -> None:
        self._planes: list[int] = []
        self._counted: int | None = 0  # the union of the planes; None: not known since something was removed

    def add(self, bits: int) -> None:
        """One more of each of these."""
        if self._counted is not None:
            self._counted |= bits
        planes = self._planes
        for k, plane in enumerate(planes):
            if not bits:
                return
            planes[k] = plane ^ bits
            bits &= plane  # the carry
        if bits:
            planes.append(bits)

    def remove(self, bits: int) -> None:
        """One less of each of these. Raises `ValueError` for what was not there."""
        if not bits:
            return
        self._counted = None
        planes = self._planes
        for k, plane in enumerate(planes):
            if not bits:
                break
            planes[k] = plane ^ bits
            bits = without(bits, plane)  # the borrow
        if bits:
            raise ValueError("a piece was taken away from a neighbour that did not have it")
        while planes and not planes[-1]:
            planes.pop()

    def count(self, member: int) -> int:
        return sum((plane >> member & 1) << k for k, plane in enumerate(self._planes))

    def counted(self) -> int:
        """Those that are counted at least once."""
        if self._counted is None:
            self._counted = 0
            for plane in self._planes:
                self._counted |= plane
        return self._counted

    def counted_twice(self) -> int:
        """Those that are counted twice at least."""
        together = 0
        for plane in self._planes[1:]:
            together |= plane
        return together

    def least_of(self, candidates: int) -> int:
        """Those of the candidates with the lowest count, be it 0."""
        for plane in reversed(self._planes):
            candidates = without(candidates, plane) or candidates
        return candidates


class Availability:
    def __init__(self, piece_count: int) -> None:
        self._all = all_bits(piece_count)
        self._leechers = Tally()
        self._seeds = 0

    def add(self, bits: int) -> None:
        """A neighbour has these pieces."""
        if bits == self._all:
            self._seeds += 1
        else:
            self._leechers.add(bits)

    def remove(self, bits: int) -> None:
        """A neighbour that had (exactly) these pieces has left."""
        if bits == self._all and self._seeds:
            self._seeds -= 1
        else:
            self._leechers.remove(bits)

    def add_piece(self, piece: int, before: int) -> None:
        """A neighbour that had the pieces `before` now also has `piece`."""
        bit = 1 << piece
        if before | bit == self._all:
            self._leechers.remove(before)
            self._seeds += 1
        else:
            self._leechers.add(bit)

    def count(self, piece: int) -> int:
        """How many neighbours have `piece`."""
        return self._seeds + self._leechers.count(piece)

    def leechers_with(self, piece: int) -> int:
        """How many of them are no seeds."""
        return self._leechers.count(piece)

    def rarest_of(self, candidates: int) -> int:
        """Those of the candidates that the fewest neighbours have, be it nobody."""
        return self._leechers.least_of(candidates)

    def rarest(self, candidates: int, rng: random.Random) -> int | None:
        """One of the rarest candidates, any of them."""
        return random_bit(self.rarest_of(candidates), rng) if candidates else None

    def spread(self) -> int:
        """What a neighbour has that is not a seed: it has got around, or begins to."""
        return self._leechers.counted()

    def shared(self) -> int:
        """What two such neighbours have."""
        return self._leechers.counted_twice()

    def least(self) -> int:
        """The copies of the rarest piece among the neighbours."""
        return self.count(lowest_bit(self.rarest_of(self._all))) if self._all else 0
