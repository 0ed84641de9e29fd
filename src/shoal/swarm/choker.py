"""Decide which peers may download from us.

While we want pieces ourselves, slots go to those who give us most (tit for tat), and one slot goes round as
the *optimistic* one, so that a stranger can show what it gives. While we seed, half of the slots stay with
the peers that take fastest, and the other half goes round by who was served longest ago, so that nobody
starves.

Always true: no more peers are unchoked than there are slots; a peer that has everything gets none; a peer
that is not interested takes no slot from one that is. It is unchoked in a slot that would lie idle, because
then its first request comes a round trip earlier. This module sends nothing and knows no clock.
"""

from __future__ import annotations

import random
from collections.abc import Collection, Hashable, Iterable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)

RECHOKE_INTERVAL = 10.0  # seconds, a round of BEP 3: long enough for a TCP connection to reach its rate
ROUNDS_A_TURN = 3  # BEP 3: a stranger has three rounds to answer in kind; likewise with a seed
NEW_PEER_TIME = 60.0  # a peer counts as new for two optimistic rounds ...
NEW_PEER_WEIGHT = 3  # ... and is as likely as three others, because it has nothing yet to give in return

NEVER = float("-inf")


@dataclass(frozen=True, slots=True)
class Candidate(Generic[K]):
    """What is known of one connected peer when slots are given out. Rates are bytes a second."""

    key: K
    is_interested: bool
    upload_rate: float  # from us to the peer
    download_rate: float  # from the peer to us
    is_unchoked: bool
    unchoked_at: float | None  # when its latest turn began, over or not; None: it never had one
    is_snubbed: bool  # it owes us blocks and has sent none for long
    joined_at: float
    has_everything: bool


@dataclass(frozen=True, slots=True)
class Decision(Generic[K]):
    """All the peers to be unchoked now (every other one is to be choked), and which one is optimistic."""

    unchoked: frozenset[K]
    optimistic: K | None = None


class Choker(Generic[K]):
    """The rounds of one torrent. Ask `decide` at `next_deadline()`, and whenever interest or peers change."""

    def __init__(self, now: float) -> None:
        self._rechoke_at = now
        self._optimistic_at = now
        self._optimistic: K | None = None

    def next_deadline(self) -> float:
        return self._rechoke_at

    def decide(
        self,
        candidates: Sequence[Candidate[K]],
        *,
        slots: int,
        is_seeding: bool,
        now: float,
        rng: random.Random,
        round_seconds: float = RECHOKE_INTERVAL,
    ) -> Decision[K]:
        """Begin a round if one is due; between rounds nobody loses a slot, and free slots are filled."""
        is_round = now >= self._rechoke_at
        if is_round:
            self._rechoke_at = now + round_seconds
        if is_round and now >= self._optimistic_at:
            self._optimistic_at = now + ROUNDS_A_TURN * round_seconds
            self._optimistic = None
        decision = choose_unchoked(
            candidates,
            slots=slots,
            is_seeding=is_seeding,
            optimistic=self._optimistic,
            keep=() if is_round else {peer.key for peer in candidates if peer.is_unchoked},
            now=now,
            rng=rng,
            turn=ROUNDS_A_TURN * round_seconds,
        )
        self._optimistic = decision.optimistic
        return decision


def choose_unchoked(
    candidates: Sequence[Candidate[K]],
    *,
    slots: int,
    is_seeding: bool,
    optimistic: K | None,
    keep: Collection[K] = (),
    now: float,
    rng: random.Random,
    turn: float = ROUNDS_A_TURN * RECHOKE_INTERVAL,
) -> Decision[K]:
    """Give out `slots`; with a seed a peer keeps one for a `turn` of seconds.

    `optimistic` is the present one, or None to have a new one chosen.
    The peers in `keep` do not lose their slots to better ones, only to there being fewer slots.
    """
    shuffled = rng.sample(candidates, len(candidates))  # so that equals share alike
    wanting = [peer for peer in shuffled if peer.is_interested and not peer.has_everything]
    if len(wanting) <= slots:
        idle = [peer for peer in shuffled if not peer.is_interested and not peer.has_everything]
        idle = sorted(_by_merit(idle), key=lambda peer: not peer.is_unchoked)  # no flapping
        return Decision(_keys([*wanting, *idle[: slots - len(wanting)]]))
    kept = [peer for peer in wanting if peer.key in keep]
    waiting = [peer for peer in wanting if peer.key not in keep]
    if is_seeding:
        return Decision(
            _keys([*_by_turns(kept, slots, turn, now), *_by_turns(waiting, slots, turn, now)][:slots])
        )
    return _choose_while_leeching(kept, waiting, slots, optimistic, now, rng)


def _choose_while_leeching(
    kept: list[Candidate[K]],
    waiting: list[Candidate[K]],
    slots: int,
    optimistic: K | None,
    now: float,
    rng: random.Random,
) -> Decision[K]:
    """Slots by merit, all but one; the last one is the optimistic peer's (of a single slot, merit has it)."""
    ranked = [*_by_merit(kept), *_by_merit(waiting)]
    if slots <= 1:
        return Decision(_keys(ranked[:slots]))
    if any(peer.key == optimistic for peer in kept):
        ranked.sort(key=lambda peer: peer.key == optimistic)  # it keeps the slot it has
    earned, others = ranked[: slots - 1], ranked[slots - 1 :]
    chosen = next((peer for peer in others if peer.key == optimistic), None)
    if chosen is None:
        chosen = _draw_optimistic([peer for peer in others if peer in kept] or others, now, rng)
    return Decision(_keys([*earned, chosen]), chosen.key)


def _by_merit(peers: Iterable[Candidate[K]]) -> list[Candidate[K]]:
    return sorted(peers, key=_merit)


def _merit(peer: Candidate[K]) -> tuple[bool, float, float, float]:
    return (
        peer.is_snubbed,  # it takes and does not give
        -peer.download_rate,  # tit for tat
        -peer.upload_rate,  # it takes fast, so it can pass on fast
        _served_at(peer),  # among strangers, who has waited longest
    )


def _by_turns(peers: Iterable[Candidate[K]], slots: int, turn: float, now: float) -> list[Candidate[K]]:
    """The order of a seed: as many as half of the slots to the fastest takers, then whose turn it is."""
    in_turns = sorted(peers, key=lambda peer: _turn(peer, turn, now))
    taking = [peer for peer in in_turns if peer.is_unchoked and peer.upload_rate > 0]
    fastest = sorted(taking, key=lambda peer: -peer.upload_rate)
    staying = _keys(fastest[: slots // 2])
    return sorted(in_turns, key=lambda peer: peer.key not in staying)


def _turn(peer: Candidate[K], turn: float, now: float) -> tuple[bool, float, float]:
    is_in_turn = peer.is_unchoked and now - _served_at(peer) < turn
    return (
        not is_in_turn,  # a turn that has begun is not cut short
        _served_at(peer),  # served longest ago, or never
        -peer.upload_rate,
    )


def _served_at(peer: Candidate[K]) -> float:
    return NEVER if peer.unchoked_at is None else peer.unchoked_at


def _draw_optimistic(peers: Sequence[Candidate[K]], now: float, rng: random.Random) -> Candidate[K]:
    weights = [NEW_PEER_WEIGHT if now - peer.joined_at < NEW_PEER_TIME else 1 for peer in peers]
    return rng.choices(peers, weights)[0]


def _keys(peers: Iterable[Candidate[K]]) -> frozenset[K]:
    return frozenset(peer.key for peer in peers)
