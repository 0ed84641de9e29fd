"""Who is in a pool with us, for people: what each brought and fetches now. Nothing is decided by it.

A member is known by its key, and called by the address it was met at; who has gone is remembered for what it brought
in this run.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING

from shoal.fetch.group.signing import short_name
from shoal.fetch.pool.runs import PieceRun, span_of
from shoal.fetch.progress import MemberProgress
from shoal.formats.layout import Layout
from shoal.net.sockets import format_address
from shoal.protocol.group.messages import Claims
from shoal.swarm.rate import RateMeter

if TYPE_CHECKING:
    from shoal.engine.neighbour import Neighbour

OURSELVES = "this machine"
NOTHING = Claims()


@dataclass(slots=True)
class _Known:
    name: str
    is_helper: bool
    meter: RateMeter  # of what it brought that is here now
    claims: Claims = NOTHING
    bits: int = 0  # the pieces here that it brought ...
    had: int = 0  # ... and those of them that were with it when we met


class Company:
    def __init__(self, layout: Layout, me: bytes) -> None:
        self._layout = layout
        self._me = me
        self._known = {me: _Known(OURSELVES, False, RateMeter(0.0))}

    @property
    def other_count(self) -> int:
        """Members that are or were here, without us."""
        return len(self._known) - 1

    def name_of(self, member: bytes) -> str:
        known = self._known.get(member)
        return known.name if known is not None and known.name else f"member {short_name(member)}"

    def culprit(self, member: bytes) -> str:
        """With its address, if that is known, and its key: for those who may have to look it up."""
        name, key = self.name_of(member), f"member {short_name(member)}"
        return key if name == key else f"{name} ({key})"

    def on_joined(self, neighbour: Neighbour, now: float, *, is_helper: bool) -> None:
        if neighbour.member == self._me:
            return  # another program of this machine: what it signs is ours
        known = self._known.setdefault(neighbour.member, _Known("", is_helper, RateMeter(now)))
        known.name = format_address(neighbour.listens_at or neighbour.address)
        known.is_helper = is_helper

    def on_claims(self, member: bytes, claims: Claims) -> None:
        if member != self._me and member in self._known:
            self._known[member].claims = claims

    def on_parted(self, member: bytes) -> None:
        self.on_claims(member, Claims())

    def on_piece(self, piece: int, member: bytes, now: float, *, had: bool = False) -> None:
        """It is here, by this member, which `had` it when we met or fetched it since. Who is named first counts."""
        if any(known.bits >> piece & 1 for known in self._known.values()):
            return
        known = self._known.setdefault(member, _Known("", False, RateMeter(now)))
        known.bits |= 1 << piece
        known.had |= had << piece
        known.meter.add(self._layout.piece_size(piece), now)

    def fetchers(self, members: Collection[bytes]) -> dict[bytes, int]:
        """Of these, others who give nothing but what they fetch: how many bytes each brought."""
        return {
            member: bytes_in(self._layout, known.bits)
            for member, known in self._known.items()
            if member in members and member != self._me and not known.had
        }

    def on_lost(self, bits: int) -> None:
        for known in self._known.values():
            known.bits &= ~bits
            known.had &= ~bits

    def progress(self, claims: Claims, rate: float, now: float) -> tuple[MemberProgress, ...]:
        """Ourselves first, with these claims and this rate; none if nobody else was ever here."""
        if len(self._known) == 1:
            return ()
        ours = self._known[self._me]
        ours.claims = claims
        found = [self._one(self._me, ours, rate)]
        for member, known in self._known.items():
            if member != self._me:
                found.append(self._one(member, known, known.meter.rate(now)))
        return tuple(found)

    def _one(self, member: bytes, known: _Known, rate: float) -> MemberProgress:
        return MemberProgress(
            name=self.name_of(member),
            is_helper=known.is_helper,
            is_us=member == self._me,
            brought=bytes_in(self._layout, known.bits),
            had=bytes_in(self._layout, known.had),
            rate=rate,
            runs=tuple(span_of(PieceRun(*run), self._layout) for run in known.claims.runs),
            piece_bits=known.bits,
        )


def bytes_in(layout: Layout, bits: int) -> int:
    """The length of a set of pieces, the short last one counted right."""
    total = bits.bit_count() * layout.piece_length
    last = layout.piece_count - 1
    return total - (layout.piece_length - layout.piece_size(last) if bits >> last & 1 else 0)
