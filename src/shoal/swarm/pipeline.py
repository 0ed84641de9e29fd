"""How well a peer answers: how many blocks it should owe us at a time, and whether it is worth asking now.

The depth of a peer's pipeline is what its rate brings in a few round trips and a third of a second more. A shorter
one leaves the link idle between answers; a longer one only delays what we might rather ask of somebody else. Pure
functions over the record of a peer; who owes which block is the business of `requests.py`.
"""

from __future__ import annotations

from dataclasses import dataclass

from shoal.formats.layout import BLOCK_LENGTH
from shoal.swarm.peer import Peer
from shoal.units import KIB

FIRST_DEPTH = 16  # blocks; 256 KiB fill 100 Mbit/s at 20 ms, and the depth doubles with each refill
FIXED_DEPTH = 64  # blocks; where the depth does not follow the rate (`tactics.py`)
LEAST_DEPTH = 4  # fewer, and a slow link idles for a round trip between blocks
LEAST_LIMITED_DEPTH = 2  # below a low limit of ours: one on its way while one is read
MOST_DEPTH = 512  # blocks; 8 MiB fill 1 Gbit/s at 60 ms, and more only grows the buffers
PIPELINE_SECONDS = 0.35  # worth of a peer's rate to keep asked for, beside its round trip: short to redirect
PIPELINE_ROUND_TRIPS = 4  # and so many of them: half must last for one, and leave room to grow
LONGEST_ROUND_TRIP = 2.0  # seconds; more is a queue in the way and not distance
ROUND_TRIP_OF_STRANGERS = 0.1  # seconds; across a continent
RATE_OF_STRANGERS = 512 * KIB  # bytes a second that a peer which has sent nothing yet is trusted to have

SILENCE_BEFORE_SNUB = 4.0  # seconds without a byte of a block from a peer that owes some ...
LATE_BLOCKS = (
    3  # ... or so many times as long as its blocks take: it may serve others in turns, below a limit
)
BLOCK_PATIENCE = 60.0  # seconds for a whole block; less than 273 bytes a second hold up a piece for nothing
HELD_BACK_FOR = (
    1.0  # seconds after which a limit of ours no longer counts as being in the way; two looks at it
)
SECOND_CHANCE = 30.0  # seconds more until a silent peer is asked anew: a block takes less at 1 KiB/s
MOST_REFUSALS = (
    8  # pieces rejected without a block in between: then nothing is asked of it until the pause is over
)
REFUSAL_PAUSE = 2.0  # seconds until rejected pieces are asked for anew; at once would be an endless exchange


@dataclass(frozen=True, slots=True)
class Depths:
    """Where the depth of a pipeline begins, and where it ends, in blocks."""

    first: int = FIRST_DEPTH
    least: int = LEAST_DEPTH


def depths_for(max_download_rate: int | None) -> Depths:
    """Below a low limit of ours (bytes a second) a long pipeline is only a long wait in the peer's socket."""
    if max_download_rate is None:
        return Depths()
    useful = int(max_download_rate * PIPELINE_SECONDS / BLOCK_LENGTH)
    least = min(max(useful, LEAST_LIMITED_DEPTH), LEAST_DEPTH)
    return Depths(first=min(max(useful, least), FIRST_DEPTH), least=least)


def adapt_depth(peer: Peer, now: float, depths: Depths) -> None:
    """Follow the rate since the last refill; the first time, a guess."""
    elapsed = now - peer.refilled_at
    if not peer.depth:
        peer.depth = min(depths.first, peer.request_limit)
    elif elapsed > 0 and peer.received_since_refill:
        seconds = PIPELINE_SECONDS + PIPELINE_ROUND_TRIPS * round_trip(peer)
        useful = int(peer.received_since_refill / elapsed * seconds)
        grown = min(useful, peer.depth * 2)
        peer.depth = min(max(grown, peer.depth * 3 // 4, depths.least), MOST_DEPTH, peer.request_limit)
    peer.refilled_at = now
    peer.received_since_refill = 0


def fix_depth(peer: Peer, now: float, depths: Depths) -> None:
    """The same depth for all, whatever the limit."""
    peer.depth = min(FIXED_DEPTH, peer.request_limit)
    peer.refilled_at = now
    peer.received_since_refill = 0


def note_round_trip(peer: Peer, now: float) -> None:
    """The first answer after a time when it owed nothing: nothing stood in the way of it."""
    seconds = min(now - peer.asked_since, LONGEST_ROUND_TRIP)
    peer.round_trip = seconds if peer.round_trip is None else min(seconds, peer.round_trip)


def round_trip(peer: Peer) -> float:
    return ROUND_TRIP_OF_STRANGERS if peer.round_trip is None else peer.round_trip


def note_refusal(peer: Peer, piece: int, now: float) -> None:
    """It rejected what nothing kept it from sending."""
    if not peer.refused:
        peer.refused_at = now
    peer.refused |= 1 << piece
    peer.depth = LEAST_DEPTH


def note_sign_of_life(peer: Peer, now: float) -> None:
    """Something of a block came: at a low rate, a block takes longer than a silence."""
    peer.sign_of_life_at = now


def note_held_back(peer: Peer, now: float) -> None:
    """A limit of ours is in the way: that it seems silent is our doing."""
    peer.sign_of_life_at = peer.held_back_at = now


def is_held_back(peer: Peer, now: float) -> bool:
    return now - peer.held_back_at < HELD_BACK_FOR


def silent_for(peer: Peer, now: float) -> float:
    """Seconds without a byte of an answer, for a peer that owes us one."""
    return now - max(peer.last_block_at, peer.asked_since, peer.sign_of_life_at)


def blockless_for(peer: Peer, now: float) -> float:
    """Seconds without a whole block, for a peer that owes us one and that no limit of ours holds back."""
    return now - max(peer.last_block_at, peer.asked_since, peer.held_back_at)


def is_silent(peer: Peer, now: float) -> bool:
    """Whether a peer that owes us blocks is no longer to be relied upon."""
    return silent_for(peer, now) >= patience_with(peer) or blockless_for(peer, now) >= BLOCK_PATIENCE


def has_second_chance(peer: Peer, now: float) -> bool:
    """Whether a peer that fell silent has been left alone for long enough."""
    return silent_for(peer, now) >= patience_with(peer) + SECOND_CHANCE


def patience_with(peer: Peer) -> float:
    """Seconds that its blocks may be apart."""
    return max(SILENCE_BEFORE_SNUB, LATE_BLOCKS * seconds_a_block(peer))


def is_willing(peer: Peer) -> bool:
    """Whether it has answered lately, as far as we asked, and with more than rejects."""
    if peer.is_snubbed or peer.close_reason:
        return False
    return peer.refused.bit_count() < MOST_REFUSALS or peer.last_block_at > peer.refused_at


def askable(peer: Peer) -> int:
    """The pieces that it has, would send us as things stand, and has not just rejected."""
    has = peer.has if not peer.peer_choking else peer.has & peer.allowed_to_us
    return has & ~peer.refused if peer.refused else has


def would_send(peer: Peer, piece: int) -> bool:
    return bool(askable(peer) >> piece & 1) and is_willing(peer)


def seconds_a_block(peer: Peer) -> float:
    """How long it takes for one, at the rate it had when it last sent."""
    rate = peer.received.rate(max(peer.last_block_at, peer.refilled_at))
    return BLOCK_LENGTH / (rate or RATE_OF_STRANGERS)


def seconds_a_block_of_debtor(peer: Peer, now: float) -> float:
    """The same for a peer that owes us some: no less than what it has taken already, when that is long."""
    waited = blockless_for(peer, now)
    return max(seconds_a_block(peer), waited if waited >= SILENCE_BEFORE_SNUB else 0.0)
