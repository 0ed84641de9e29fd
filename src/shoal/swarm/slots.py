"""Who is served: the slots of one torrent given out, when somebody comes, goes or changes its mind, and in rounds.

How many there are is `capacity.py`'s business, and who gets them `choker.py`'s; here it is said and done.
"""

from __future__ import annotations

import random
from collections.abc import Mapping

from shoal.swarm import uploads
from shoal.swarm.capacity import Capacity
from shoal.swarm.choker import Candidate, Choker
from shoal.swarm.peer import Peer
from shoal.swarm.pieces import PeerKey, Pieces
from shoal.swarm.steering import Steering

MIND_PAUSE = 1.0  # seconds between two changes of a peer's interest that are acted upon at once


class Slots:
    def __init__(
        self,
        pieces: Pieces,
        peers: Mapping[PeerKey, Peer],
        steering: Steering,
        capacity: Capacity,
        now: float,
        rng: random.Random,
    ) -> None:
        self._pieces = pieces
        self._peers = peers
        self._steering = steering
        self._capacity = capacity
        self._rng = rng
        self._choker: Choker[PeerKey] = Choker(now)
        self._is_choice_stale = False  # somebody's interest changed and slots were not chosen anew

    def on_interest(self, peer: Peer, is_interested: bool, now: float) -> None:
        if peer.peer_interested == is_interested:
            return
        peer.peer_interested = is_interested
        if now - peer.changed_mind_at < MIND_PAUSE:  # a flood of these must cost no more than reading it
            self._is_choice_stale = True
            return
        peer.changed_mind_at = now
        if self._has_slot_to_move(peer):
            self.rechoke(now)

    def _has_slot_to_move(self, peer: Peer) -> bool:
        """Between rounds nobody loses a slot: a change of mind matters if it frees one or may take a free one."""
        if not peer.am_choking:
            return not peer.peer_interested
        return peer.peer_interested and self._has_free_slot()

    def _has_free_slot(self) -> bool:
        wanting = [peer for peer in self._peers.values() if peer.peer_interested and not peer.close_reason]
        served = sum(not peer.am_choking for peer in wanting)
        return served < self._capacity.slots(len(wanting))

    def tick(self, now: float) -> bool:
        """Whether a round has begun."""
        is_round = now >= self._choker.next_deadline()
        if is_round or self._is_choice_stale:
            self.rechoke(now)
        return is_round

    def rechoke(self, now: float) -> None:
        self._is_choice_stale = False
        candidates = [
            Candidate(
                key=peer.key,
                is_interested=peer.peer_interested,
                upload_rate=peer.sent.rate(now),
                download_rate=peer.received.rate(now),
                is_unchoked=not peer.am_choking,
                unchoked_at=peer.unchoked_at,
                is_snubbed=peer.is_snubbed,
                joined_at=peer.joined_at,
                has_everything=peer.has == self._pieces.all
                and not peer.peer_interested,  # it may have lost some
            )
            for peer in self._peers.values()
            if not peer.close_reason
        ]
        slots = self._capacity.slots(sum(candidate.is_interested for candidate in candidates))
        decision = self._choker.decide(
            candidates,
            slots=slots,
            round_seconds=self._capacity.round_seconds(slots),
            is_seeding=self._pieces.is_complete,
            now=now,
            rng=self._rng,
        )
        for peer in self._peers.values():
            is_chosen = peer.key in decision.unchoked
            if is_chosen and peer.am_choking:
                uploads.unchoke(peer, now)
                self._steering.offer(peer, now)
            elif not is_chosen and not peer.am_choking:
                uploads.choke(peer)
                self._steering.on_choked(peer)
