"""Decide which pieces of a pool this machine fetches from the origin.

Always true: what is here is not ours to fetch; what a member is believed to be fetching, or has and passes on, is not
either, except at the very end, or while two claims cross. Nothing stays unclaimed while a fetcher of ours is idle and
somebody wants it. Pure: told the time, it sends nothing.

Told by the swarm: who is there, what they have and claim, who is silent. Asked with what the fetchers could do with
(`Demand`), it answers with the runs to offer to the plan and to withhold from it; `my_runs` is what to tell
others. At the beginning everything is withheld from the plan. docs/pooling.md, section Claims, has the rules and
their reasons.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import NamedTuple

from shoal.fetch.claims import Demand
from shoal.fetch.pool.finding import Finding
from shoal.fetch.pool.lagging import Lagging
from shoal.fetch.pool.member import (
    CROSSING,
    FEW_RUNS,
    LONGEST_LATE,
    MOST_RUNS,
    MOST_VAIN,
    Member,
    checked_runs,
    most_claimed,
    runs_to_tell,
)
from shoal.fetch.pool.others import Others
from shoal.fetch.pool.passing import Passing
from shoal.fetch.pool.portions import Portions
from shoal.fetch.pool.runs import PieceRun, Places, run_from, runs_of
from shoal.fetch.pool.stock import Stock
from shoal.formats.bitfield import all_bits, run_mask, without
from shoal.units import MIB

ALONE_AFTER = 0.4  # seconds without anybody: a local discovery takes half; who comes later gets its part
EARLY = 2 * MIB  # bytes fetched for who asked and has not come yet; a second of a good line
COMES_WITHIN = 3.0  # seconds; whoever asked for help has dialled by then, or has gone
STAGGER = 0.05  # seconds that each idle member leaves those that are faster: a look, and a message
LEAST_TAIL = 0.5  # seconds; what ends sooner is left to whoever fetches it ...
MOST_PATIENT = 4  # ... times the requesters, up to so many: each of them would double it for itself
SLACK = 0.3  # seconds that the end may wait for us before a piece is left to others
GAIN = 2.0  # times sooner has a piece to come that is fetched twice
LONGEST_DECLINE = 2.0  # seconds that we leave to others what they do not begin
UNKNOWN_PIECE = 1.0  # seconds; of a piece, for who has not fetched any
BEST_MEMORY = 5.0  # seconds; links that change do so within that, mostly


class Decision(NamedTuple):
    """What to offer to the plan, and then to withhold from it."""

    take: tuple[PieceRun, ...] = ()
    drop: tuple[PieceRun, ...] = ()


class Board:
    def __init__(
        self, piece_count: int, piece_length: int, length: int, me: bytes, *,
        have: int, is_helper: bool, now: float, salt: bytes,
    ) -> None:  # fmt: skip
        """`me` and members are key and program, `have` the pieces that are here; `salt` is the same for all."""
        self.have = have
        self.my_runs: tuple[PieceRun, ...] = ()
        self._piece_count = piece_count
        self._piece_length = piece_length
        self._portions = Portions(piece_length)
        self._length = length
        self._everything = all_bits(piece_count)
        self._me = me
        self.is_helper = is_helper
        self.rests = False  # nothing more is taken: it only passes on, or waits for a helper
        self.allowance = piece_count  # more are not taken to be fetched
        self._places = Places(piece_count, salt)
        self._finding = Finding(self._places, me)
        self._members = Others(now)
        self.laggards: set[bytes] = set()  # members that held us up, for people
        self._vain = 0.0  # seconds that members were waited for that left without having brought anything
        self._mine = 0  # ours to fetch, and not here
        self._taken: list[tuple[float, int]] = []  # when we took which of them
        self._lost_to: int = 0  # of ours: to be dropped, for they are somebody else's
        self.forced = 0  # ours alone to fetch, whatever others have
        self._brought = 0  # by us, from the origin
        self._passing = Passing(piece_length, now)
        self._rate = 0.0  # ours, when we last had one
        self._best_rate = 0.0  # of late: who is idle knows no better, and what it doubles shows it
        self._decided_at = now
        self._alone_since: float | None = now
        self._began_at = now
        self._was_wanted = False  # a requester was here
        self._has_all = False  # all that was unclaimed was taken, for nobody else is there
        self._declined_at: float | None = None  # what is unclaimed was left to faster members
        self._idle_since: float | None = None  # there is nothing unclaimed
        self._lagging = Lagging(piece_length, now)
        self._stock = Stock(piece_length, now)
        self._despite = 0  # ours to fetch though a member has it, which is slow to pass it on

    # -- what happened -------------------------------------------------------------------------------

    def join(self, member: bytes, now: float, *, is_helper: bool, has: int = 0) -> None:
        self._members[member] = Member(member, now, is_helper, has, is_doubted=self._vain > MOST_VAIN)
        self._alone_since = None
        self._was_wanted |= not is_helper
        self._members.heard_at = now

    def leave(self, member: bytes, now: float) -> None:
        gone = self._members.pop(member, None)
        self._vain += gone.vain(now) if gone is not None else 0.0

    def on_heard(self, member: bytes, now: float) -> None:
        """Anything came from it."""
        self._members[member].heard_at = now
        self._members.heard_at = max(self._members.heard_at, now)

    def on_have(self, member: bytes, bits: int, now: float) -> None:
        self.on_heard(member, now)
        self._stock.on_fetched(self._members[member].on_have(bits, self._piece_length, now))
        if not self._members[member].is_helper:
            self._passing.on_taken(bits, self.have, now)
            self._stock.on_taken(bits, now)
            self._despite = without(self._despite, bits)  # it is passed on after all

    def on_lost(self, bits: int, member: bytes | None = None) -> None:
        """What it, or anybody, told of these does not count any more."""
        for other in self._members.values() if member is None else (self._members[member],):
            other.has = without(other.has, bits)

    def on_claims(self, member: bytes, runs: Iterable[tuple[int, int]], rate: float, now: float) -> None:
        """All that it fetches now. Raises `PeerError` for what no honest member says."""
        self.on_heard(member, now)
        other = self._members[member]
        pieces = checked_runs(tuple(PieceRun(*run) for run in runs), self._piece_count)
        crossing = other.on_claims(pieces, rate, self._piece_length, now) & self._mine
        is_first = self._places.rank(member) > self._places.rank(self._me)
        for taken_at, bits in self._taken:
            if is_first or now - max(taken_at, other.joined_at) > CROSSING:
                self._lost_to |= crossing & bits

    def on_owing(self, member: bytes, is_owing: bool, now: float) -> None:
        """Whether we wait for blocks of it."""
        self._members[member].on_owing(is_owing, now)

    def on_piece(self, piece: int, now: float) -> None:
        """It is here now, from the origin or from a neighbour."""
        bit = 1 << piece
        if self._mine & bit:
            self._mine ^= bit
            self._brought |= bit
            self._members.heard_at = now
        else:
            self._lagging.on_piece(now)
            self._stock.on_taken(0 if self.is_helper else bit, now)
        self.have |= bit
        self.forced = without(self.forced, bit)

    def lose(self, bits: int, *, must_fetch: bool = False) -> None:
        """These are not here after all; `must_fetch`: they have to come from the origin, by ourselves."""
        self.have = without(self.have, bits)
        self._mine = without(self._mine, bits)
        self._brought = without(self._brought, bits)
        if must_fetch:
            self.forced |= bits

    def is_counted_on(self, member: bytes) -> bool:
        """Whether we wait for something that it fetches, or that nobody else has."""
        return bool(self._members.needed_of(member, self.have))

    def has_told(self, member: bytes) -> bool:
        """Whether it is here, and said what it has."""
        return member in self._members and bool(self._members[member].has)

    @property
    def is_held_up(self) -> bool:
        """What neighbours have comes slowly."""
        return self._lagging.is_doubted or self._stock.is_slow

    def left_to_fetch(self, now: float) -> int:
        """The pieces that nobody here has who passes them on."""
        return without(self._everything, self.have | self._members.offered(now))

    @property
    def was_wanted(self) -> bool:
        """Of a helper: it has fetched for somebody already, or could have."""
        return self.is_helper and self._was_wanted

    @property
    def rate(self) -> float:
        """Bytes a second that we bring to whoever wants them; 0 if nothing is known yet."""
        return self._passing.rate if self.is_helper else self._rate

    # -- what to do ----------------------------------------------------------------------------------

    def decide(self, demand: Demand, now: float) -> Decision:
        """What to take and to drop. Ask after whatever happened, and some times a second."""
        before = self._mine
        self._rate = demand.rate or self._rate
        self._best_rate = max(self._rate, self._best_rate * math.exp(-(now - self._decided_at) / BEST_MEMORY))
        self._passing.look(self.have, self._rate, now)
        self._decided_at = now
        for member in self._members.values():
            member.age(now)
            if member.void_if_late(self._piece_length, now) or self._members.is_silent(member, now):
                self.laggards.add(member.name)
        here = self.have | (self._members.wanted_by_none if self.is_helper else 0)
        self._stock.look(self._members, here, self.rate, now)
        self._drop(demand, now)
        runs = list(runs_of(without(self.forced, before)))
        if not (self.is_helper and self.rests):
            self._mine |= self.forced
        if self._is_wanted(now):
            runs += self._take(demand, now)
        take, drop = without(self._mine, before), without(before, self._mine)
        if take:
            self._taken.append((now, take))
        if take or drop:
            self._taken = [(at, bits & self._mine) for at, bits in self._taken if bits & self._mine]
        if take or drop or not self._mine:
            self.my_runs = runs_to_tell(self._mine, self._piece_length)
        return Decision(tuple(runs), tuple(runs_of(drop)))

    def unclaimed(self, now: float) -> int:
        """The pieces that nobody has who passes them on, nor is believed to be fetching."""
        return without(self.left_to_fetch(now), self._mine | self._members.fetched(now))

    def _surest(self, free: int) -> int:
        """Of these, what nobody has or claims at all, while there is any: who is silent or late may speak again."""
        return without(free, self._members.told) or free

    def _is_wanted(self, now: float) -> bool:
        """Whether anybody wants what we would fetch, and takes it off us."""
        if self.rests or not self.is_helper:
            return not self.rests
        early = 0 if self._was_wanted else (self._brought | self._mine).bit_count() * self._piece_length
        if early >= EARLY or self._is_deserted(now):
            return False
        return not self._passing.is_enough

    def _is_deserted(self, now: float) -> bool:
        """Nobody is here who wants it; at first, whoever asked for help is on its way."""
        if self._members.has_requester:
            return False
        return self._was_wanted or now - self._began_at > COMES_WITHIN

    def _drop(self, demand: Demand, now: float) -> None:
        """What others have, or have the better right to, or what is too much for our rate now."""
        begun = demand.begun_bits
        theirs = self._members.offered(now)
        young = 0
        for taken_at, bits in self._taken:
            young |= bits if now - taken_at <= CROSSING else 0
        self._mine = without(self._mine, without(self._lost_to, without(begun, young)))
        self._mine = without(self._mine, without(theirs, begun | self.forced | self._despite))
        self._lost_to = 0
        if self.is_helper and (self.rests or self._is_deserted(now)):
            self._mine = 0
        elif self._members and self._has_all:
            self._has_all = False
            self._keep_close_to(demand)
        elif self._members and self._claims_too_much(demand):
            self._mine &= demand.asked_bits | self.forced
            if self._claims_too_much(demand):
                self._keep_close_to(demand)

    @property
    def claimed(self) -> int:
        """Pieces that are ours to fetch, and not here."""
        return self._mine.bit_count()

    @property
    def _allowed(self) -> int:
        return self.allowance - self.claimed

    def _claims_too_much(self, demand: Demand, more: int = 0) -> bool:
        """Now, or with so many pieces `more`: what would be dropped at the next look is not taken."""
        return self._portions.is_too_much(min(demand.rate, self.rate), self._claimed + more)

    @property
    def _claimed(self) -> int:
        """Pieces that we have taken and others cannot have yet; a requester takes for itself."""
        return self._mine.bit_count() + (self._passing.waiting if self.is_helper else 0)

    def _keep_close_to(self, demand: Demand) -> None:
        """Of what is ours a run from each piece that is being fetched, and what is ours alone."""
        kept = 0
        count = self._portions.run_length(self.rate, max(1, demand.fetchers))
        for first, _ in list(runs_of(demand.begun_bits & self._mine))[:FEW_RUNS]:
            kept |= run_mask(first, min(count, run_from(self._mine, first)))
        self._finding.behind = kept.bit_length()
        self._mine &= kept | self.forced

    # -- taking --------------------------------------------------------------------------------------

    def _take(self, demand: Demand, now: float) -> list[PieceRun]:
        free = self._surest(self.unclaimed(now))
        most_runs = FEW_RUNS if free else MOST_RUNS
        free = free or self._stock.beside(self._mine | self._members.fetched(now))
        if not self._members and (self._alone_since is None or now - self._alone_since >= ALONE_AFTER):
            self._mine |= free
            self._has_all = True
            return list(runs_of(free))
        fetchers, others = max(1, demand.fetchers), self._members.told_rates
        count = self._portions.run_near_the_end(self.rate, others, fetchers, free.bit_count())
        wanted = demand.idle * count * self._piece_length - demand.waiting
        runs: list[PieceRun] = []
        wanted = 0 if self._is_too_slow(demand, free, now) else wanted
        while 2 * wanted > count * self._piece_length and free and self._has_room(count, most_runs):
            is_first_of_two = wanted > count * self._piece_length
            length = max(1, count // 2) if is_first_of_two else count
            spare = self._portions.spare_length(self.rate, self._claimed)
            run = self._finding.run(free, min(length, spare), self._allowed)
            if self._claims_too_much(demand, run.count):
                break
            runs.append(run)
            self._mine |= run_mask(*run)
            self._despite |= run_mask(*run) & self._stock.bits
            self._finding.behind = run.first + run.count
            free = without(free, run_mask(*run))
            wanted -= run.count * self._piece_length
            self._idle_since = None
        if free or not demand.idle or demand.waiting:
            self._idle_since = None
        elif self._idle_since is None:
            self._idle_since = now
        elif now - self._idle_since >= STAGGER * self._members.faster_idle(self._rate, self._me):
            runs += self._double(demand, now)
        return runs

    def _is_too_slow(self, demand: Demand, free: int, now: float) -> bool:
        """Whether others would bring all the rest before we a single piece; if they do not begin, we do."""
        left = free
        rates = self.rate
        for member in self._members.values():
            left |= member.live
            rates += member.rate(now)
        a_piece = demand.latency + demand.fetchers * self._piece_length / self._rate if self._rate else 0.0
        a_piece += self._passing.seconds
        if not free or a_piece <= left.bit_count() * self._piece_length / (rates or 1.0) + SLACK:
            self._declined_at = None
            return False
        self._declined_at = self._declined_at or now
        return now - self._declined_at < min(a_piece, LONGEST_DECLINE)

    def _has_room(self, count: int, most_runs: int) -> bool:
        """Whether a run more may be taken."""
        is_room = self._mine.bit_count() + count <= most_claimed(self._piece_length)
        return is_room and self._allowed > 0 and sum(1 for _ in runs_of(self._mine)) < most_runs

    # -- the very end --------------------------------------------------------------------------------

    def _double(self, demand: Demand, now: float) -> list[PieceRun]:
        """Take the back of what would end last, if we bring it sooner: as much as lets both end together."""
        seconds, bits = max(self._slow_ones(now), default=(0.0, 0))
        count = bits.bit_count()
        requesters = (not self.is_helper) + self._members.requester_count
        if not count or seconds < LEAST_TAIL * min(requesters, MOST_PATIENT):
            return []
        a_piece = self._piece_length / self._best_rate if self._best_rate else UNKNOWN_PIECE
        share = int((seconds - demand.latency) / (a_piece + seconds / count))
        if not share and (demand.latency + a_piece) * GAIN < seconds:
            share = 1
        if share <= 0:
            return []
        run = max(runs_of(bits), key=lambda run: run.count)
        share = min(share, max(1, run.count - 1), self._portions.run_length(self._rate, 1), self._allowed)
        if share <= 0 or self._claims_too_much(demand, share):
            return []
        doubled = PieceRun(run.first + run.count - share, share)
        self._mine |= run_mask(*doubled)
        if seconds > LONGEST_LATE:
            self.laggards.update(one.name for one in self._members.values() if one.has & run_mask(*doubled))
        self._despite = (self._despite | run_mask(*doubled)) & self._mine
        self._idle_since = now
        return [doubled]

    def _slow_ones(self, now: float) -> list[tuple[float, int]]:
        """What is on its way from others, in how many seconds: what they fetch, and what they have and pass on."""
        offered = self._members.offered(now)
        once, twice = 0, self.have | self._mine | without(offered, self._stock.beside(0))
        for member in self._members.values():
            twice |= once & member.live
            once |= member.live
        found = [
            (member.seconds_left(self._piece_length, now), without(member.settled(now), twice))
            for member in self._members.values()
        ]
        lagging = without(offered, self.have | self._mine | self._stock.bits)
        if self.is_helper or not lagging:
            self._lagging.rest(now)
        elif (seconds := self._seconds_lagging(lagging, now)) is not None:
            found.append((seconds, lagging))
        return [(seconds, bits) for seconds, bits in found if bits]

    def _seconds_lagging(self, lagging: int, now: float) -> float | None:
        is_rest = not without(self._mine, self._despite) and not self._members.live
        return self._lagging.seconds(lagging.bit_count(), self._best_rate, now, is_rest=is_rest)
