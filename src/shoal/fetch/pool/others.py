"""All other members of a pool together: what they have and fetch, as far as it is believed. Pure: told the time.

Always true: who is silent though it owes us something is counted on for nothing, as long as others speak.
"""

from __future__ import annotations

from shoal.fetch.pool.member import Member
from shoal.formats.bitfield import without


class Others(dict[bytes, Member]):
    """By key and program."""

    def __init__(self, now: float) -> None:
        super().__init__()
        self.heard_at = now  # when anybody last said something, or brought it

    @property
    def has_requester(self) -> bool:
        return any(not member.is_helper for member in self.values())

    @property
    def requester_count(self) -> int:
        return sum(not member.is_helper for member in self.values())

    @property
    def live(self) -> int:
        """The pieces that any is believed to be fetching, silent or not."""
        bits = 0
        for member in self.values():
            bits |= member.live
        return bits

    @property
    def told(self) -> int:
        """The pieces that any has or claims, believed or not."""
        bits = 0
        for member in self.values():
            bits |= member.has | member.claims
        return bits

    def offered(self, now: float) -> int:
        """The pieces that members have and pass on."""
        bits = 0
        for member in self.values():
            bits |= 0 if self.is_silent(member, now) else member.has
        return bits

    def fetched(self, now: float) -> int:
        """The pieces that members are believed to be fetching, and will pass on."""
        bits = 0
        for member in self.values():
            bits |= 0 if self.is_silent(member, now) else member.live
        return bits

    @property
    def told_rates(self) -> list[float]:
        """Bytes a second that each brings from the origin; 0 if it never did."""
        return [member.told_rate for member in self.values()]

    @property
    def stock(self) -> int:
        """The pieces that members keep, and that nobody else has got."""
        kept = got = 0
        for member in self.values():
            kept |= member.has & member.kept
            got |= without(member.has, member.kept)
        return without(kept, got)

    @property
    def wanted_by_none(self) -> int:
        """The pieces that every requester among them has."""
        bits = -1  # all
        for member in self.values():
            bits &= -1 if member.is_helper else member.has
        return bits

    @property
    def fetched_for_themselves(self) -> int:
        """The pieces that requesters are believed to be fetching."""
        bits = 0
        for member in self.values():
            bits |= 0 if member.is_helper else member.live
        return bits

    def is_silent(self, member: Member, now: float) -> bool:
        return member.is_silent(now, self.heard_at)

    def needed_of(self, name: bytes, have: int) -> int:
        """The pieces that are not here, and that only this one fetches or has."""
        one = self[name]
        needed = without(one.live | one.has, have)
        for other in self.values():
            needed = without(needed, 0 if other is one else other.has)
        return needed

    def faster_idle(self, rate: float, name: bytes) -> int:
        """So many claim nothing, and are faster than who is called so."""
        return sum(
            not member.claims and (member.told_rate, member.name) > (rate, name) for member in self.values()
        )
