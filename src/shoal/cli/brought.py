"""For the log of a download together: which bytes of the file which member brought, told once each."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from shoal.fetch.progress import MemberProgress, Progress
from shoal.formats.bitfield import lowest_bit, without


class Brought:
    def __init__(self) -> None:
        self._told: dict[str, int] = {}  # the pieces of each member

    def news(self, now: Progress) -> Iterator[dict[str, Any]]:
        """The fields of an event for each row of pieces that are new."""
        for member in now.members:
            told = self._told.get(member.name, 0)
            self._told[member.name] = member.piece_bits
            for first, count in rows(without(member.piece_bits, told)):
                yield self._fields(member, now, first, count)

    def _fields(self, member: MemberProgress, now: Progress, first: int, count: int) -> dict[str, Any]:
        end = (first + count) * now.piece_length
        return {
            "member": member.name,
            "is_us": member.is_us,
            "begin": first * now.piece_length,
            "end": end if now.length is None else min(end, now.length),
        }


def rows(bits: int) -> Iterator[tuple[int, int]]:
    """`(first, count)` of each row of set bits, from the lowest on."""
    begin = 0
    while bits:
        skipped = lowest_bit(bits)
        bits >>= skipped
        count = lowest_bit(~bits)
        yield begin + skipped, count
        bits >>= count
        begin += skipped + count
