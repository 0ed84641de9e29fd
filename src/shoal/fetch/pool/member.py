"""What is known of one other member of a pool, and how far its claims are believed.

Always true: a claim counts as long as its pieces come in time; once one was late, no claim of that member counts until
it has brought a piece of what it claims. Pure; `fetch/pool/board.py` tells it what happened.
"""

from __future__ import annotations

from collections import deque

from shoal.errors import PeerError
from shoal.fetch.pool.runs import PieceRun, bits_of, runs_of
from shoal.formats.bitfield import without
from shoal.swarm.rate import RateMeter
from shoal.units import MIB

FEW_RUNS = 4  # at a time; a member is at one place, or at a few while it changes ...
MOST_RUNS = 16  # ... and in a message, one of each connection, where what is left lies scattered
MOST_CLAIMED = 64 * MIB  # in a message; as much as four of the longest runs
LEAST_LATE = 1.0  # seconds; less is a hiccup of a line
LATE_FACTOR = 4.0  # times what was expected
LONGEST_LATE = 8.0  # seconds, whatever was expected
USUAL_WAIT = 0.25  # seconds for a piece, from a member of which no rate is known
SILENT_AFTER = 1.0  # seconds in which it owed us something, and others spoke
BELIEVED_AFTER = 1.0  # seconds in which its rate was seen; until then, what it says of itself counts
CROSSING = 0.3  # seconds; two who claim the same within it knew nothing of each other: a message, and a look
SETTLED_AFTER = 2 * CROSSING  # whoever claims it now does so on purpose, and is known to
MOST_IDLE_TALK = 64  # messages of claims since it last brought a piece of one
KEPT_AFTER = 3.0  # seconds since it fetched it; by then requesters have what they can take of it
TALK_RATE = 40.0  # messages a second; twice as many as there are looks
TALK_BURST = 100.0  # messages
MOST_VAIN = 16.0  # seconds that all who left without having brought anything may have been waited for


class Member:
    """One other member. `has`: the pieces it told of, `kept`: those that it had before we met, or has fetched and kept
    for a while; `claims`: those that it fetches."""

    def __init__(
        self, name: bytes, now: float, is_helper: bool, has: int, *, is_doubted: bool = False
    ) -> None:
        """`is_doubted`: it is to bring a piece first."""
        self.name = name
        self.is_helper = is_helper
        self.joined_at = self.heard_at = now
        self.has = self.kept = has
        self.claims = 0
        self.told_rate = 0.0
        self.is_owing = False
        self._owing_since = now
        self._void = 0
        self._young, self._young_at = 0, now  # what it claimed last
        self._is_doubted = is_doubted
        self._run_count = 1
        self._waits_since = now  # for the next piece of its claims ...
        self._waited = 0.0  # ... and before, for claims it took back
        self._has_brought = False
        self._seen_since = now  # claims have been there without a break
        self._meter = RateMeter(now)
        self._brought: deque[tuple[float, int]] = deque()  # of late
        self._idle_talk = 0
        self._talk = TALK_BURST
        self._talked_at = now

    @property
    def live(self) -> int:
        """The pieces that it is believed to be fetching."""
        return 0 if self._is_doubted else without(without(self.claims, self.has), self._void)

    def vain(self, now: float) -> float:
        """Seconds that it was waited for, if it never brought anything."""
        return 0.0 if self._has_brought else self._waited + (now - self._waits_since if self.live else 0.0)

    def settled(self, now: float) -> int:
        """What it is believed to be fetching, and claimed so long ago that everybody knows."""
        return self.live if now - self._young_at > SETTLED_AFTER else without(self.live, self._young)

    def on_claims(self, runs: tuple[PieceRun, ...], rate: float, piece_length: int, now: float) -> int:
        """All that it fetches now. -> The pieces it did not claim before. Raises `PeerError` for a flood."""
        self._check(runs, piece_length, now)
        claims = bits_of(runs)
        fresh = without(claims, self.claims)
        before = self.live
        self.claims = claims
        self.told_rate = rate
        self._run_count = max(1, len(runs))
        self._void &= claims
        if fresh:
            self._young = fresh | (self._young if now - self._young_at <= SETTLED_AFTER else 0)
            self._young_at = now
        if self.live and not before:
            self._waits_since = self._seen_since = now
        elif before and not self.live:
            self._waited += now - self._waits_since
        return fresh

    def on_have(self, bits: int, piece_length: int, now: float) -> int:
        """It has these, whatever else. -> those of them that it claimed, and brings."""
        fresh = without(bits, self.has)
        brought = self.claims & fresh
        if self.is_helper or not self.has:  # a helper gets nothing of others but what it is to keep
            self.kept |= without(fresh, brought)
        self.has |= bits
        if brought:
            self._brought.append((now, brought))
            self._meter.add(brought.bit_count() * piece_length, now)
            self._waits_since = now
            self._waited = 0.0
            self._is_doubted = False
            self._has_brought = True
            self._void = 0
            self._idle_talk = 0
        return brought

    def age(self, now: float) -> None:
        """Look whether it keeps what it has brought."""
        while self._brought and now - self._brought[0][0] > KEPT_AFTER:
            _, bits = self._brought.popleft()
            self.kept |= bits if self.is_helper else 0

    def on_owing(self, is_owing: bool, now: float) -> None:
        if is_owing and not self.is_owing:
            self._owing_since = now
        self.is_owing = is_owing

    def void_if_late(self, piece_length: int, now: float) -> bool:
        """Look whether the next piece of its claims is overdue; if so they are void."""
        live = self.live
        if not live:
            return False
        rate = self.rate(now, seen=False)
        expected = self._run_count * piece_length / rate if rate else USUAL_WAIT
        allowed = min(expected + max(LEAST_LATE, LATE_FACTOR * expected), LONGEST_LATE)
        waited = self._waited + now - self._waits_since
        if waited <= allowed:
            return False
        self._waited = waited
        self._void |= live
        self._is_doubted = True
        return True

    def is_silent(self, now: float, heard_at: float) -> bool:
        """It owes us something and says nothing; `heard_at`: when anybody last said something."""
        since = max(self.heard_at, self._owing_since)
        return self.is_owing and now - since > SILENT_AFTER and heard_at - since > SILENT_AFTER / 2

    def rate(self, now: float, *, seen: bool = True) -> float:
        """Bytes a second that it brings: as it was seen to, else as it says."""
        if seen and now - self._seen_since > BELIEVED_AFTER:
            return self._meter.rate(now)
        return self.told_rate

    def seconds_left(self, piece_length: int, now: float) -> float:
        """Until it has brought all that it is believed to be fetching; who is silent is thought to stay so as long."""
        rate = self.rate(now) or piece_length / LONGEST_LATE
        return max(self.live.bit_count() * piece_length / rate, now - self._waits_since)

    def _check(self, runs: tuple[PieceRun, ...], piece_length: int, now: float) -> None:
        self._talk = min(TALK_BURST, self._talk + (now - self._talked_at) * TALK_RATE) - 1
        self._talked_at = now
        self._idle_talk += 1
        claimed = sum(count for _, count in runs)
        most = most_claimed(piece_length)
        if len(runs) > MOST_RUNS or claimed > most:
            raise PeerError(
                f"claims of {len(runs)} runs and {claimed} pieces, where {MOST_RUNS} and {most} may be"
            )
        if self._talk < 0:
            raise PeerError(f"claims more than {TALK_RATE:.0f} times a second")
        if self._idle_talk > MOST_IDLE_TALK:
            raise PeerError(f"{self._idle_talk} claims in a row, of which it brought nothing")


def checked_runs(runs: tuple[PieceRun, ...], piece_count: int) -> tuple[PieceRun, ...]:
    """Raises `PeerError` for pieces that are not of the file."""
    for first, count in runs:
        if first < 0 or count < 1 or first + count > piece_count:
            raise PeerError(f"claims pieces {first} to {first + count}, where {piece_count} are")
    return runs


def most_claimed(piece_length: int) -> int:
    """Pieces in a message."""
    return max(MOST_CLAIMED // piece_length, MOST_RUNS)


def runs_to_tell(bits: int, piece_length: int) -> tuple[PieceRun, ...]:
    """As many as a message may hold; the rest is said later."""
    most = most_claimed(piece_length)
    told = []
    for first, count in sorted(runs_of(bits), key=lambda run: -run.count)[:MOST_RUNS]:
        told.append(PieceRun(first, min(count, most)))
        most -= told[-1].count
    return tuple(sorted(run for run in told if run.count > 0))
