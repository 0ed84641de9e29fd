"""What our uplink can carry, and what follows from it: how many peers to serve at once, and how long a round lasts.

More slots than a link can fill make every piece late, and a late piece is one that nobody passes on; fewer leave
links idle that wait for us. Rounds of ten seconds suit slow links; on quick ones a whole file is over in one, and whom
the first draw left out had nothing. Pure: rates are bytes a second, times seconds of the caller's clock.
"""

from __future__ import annotations

from shoal.swarm.choker import RECHOKE_INTERVAL
from shoal.swarm.tactics import Tactics
from shoal.units import KIB

SMALL_SWARM = 8  # so many are all served: parsimony among few only leaves links idle
STANDARD_SLOTS = 5  # what most clients give, the optimistic one among them
MAX_SLOTS = 64  # past it, the source's bytes are spread over too many unfinished pieces
LIMITED_RATE_PER_SLOT = 2 * KIB  # of a limit: a block within 8 s, or a peer waits so long that it gives us up
FEWEST_SLOTS = 2  # whatever the limit: one for who gives most, one to go round
SECONDS_A_PIECE = 0.5  # a peer should have one in this time, or it takes too long to become shareable
PIECES_A_ROUND = 4  # enough to see what a peer does with a slot
LEAST_ROUND = 2.0  # seconds; less is not seen by a peer a continent away before it is over
FULL = 0.9  # of the most that was seen
MEMORY = 30.0  # seconds in which what the link once carried is half forgotten


class Capacity:
    """`max_upload_rate` is the limit that we are kept below, if there is one."""

    def __init__(
        self, piece_length: int, tactics: Tactics, now: float, max_upload_rate: int | None = None
    ) -> None:
        self._piece_length = piece_length
        self._tactics = tactics
        self._most_slots = MAX_SLOTS
        if max_upload_rate is not None:
            self._most_slots = min(MAX_SLOTS, max(FEWEST_SLOTS, max_upload_rate // LIMITED_RATE_PER_SLOT))
        self._most = 0.0
        self._seen_at = now
        self.is_full = False  # about as much goes out as ever did

    def note(self, rate: float, now: float) -> None:
        """This is what goes out at present."""
        kept = self._most * 0.5 ** ((now - self._seen_at) / MEMORY)
        self._most = max(rate, kept)
        self._seen_at = now
        self.is_full = rate >= FULL * self._most

    def slots(self, interested_count: int) -> int:
        """How many to serve at once."""
        if not self._tactics.slots_follow_capacity:
            return min(STANDARD_SLOTS, self._most_slots)
        affordable = min(int(self._most * SECONDS_A_PIECE / self._piece_length), MAX_SLOTS)
        return min(max(SMALL_SWARM, min(affordable, interested_count)), self._most_slots)

    def round_seconds(self, slots: int) -> float:
        """How long those who were chosen keep their slots."""
        if not self._tactics.rounds_follow_pieces:
            return RECHOKE_INTERVAL
        if not self._most:
            return LEAST_ROUND
        seconds = PIECES_A_ROUND * self._piece_length * slots / self._most
        return min(max(seconds, LEAST_ROUND), RECHOKE_INTERVAL)
