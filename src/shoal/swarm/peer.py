"""What one neighbour and we know of each other: a plain record that the deciders of this floor share.

`am_` is us towards them, `peer_` is them towards us (BEP 3). `outbox` holds what we decided to say, in order; the
shell (or the simulator) empties it. Nothing here decides.
"""

from __future__ import annotations

from collections.abc import Callable

from shoal.protocol.peer.messages import Message
from shoal.swarm.given import Given
from shoal.swarm.pieces import PeerKey
from shoal.swarm.rate import RateMeter
from shoal.swarm.upload_queue import UploadQueue


class Peer:
    __slots__ = (
        "allowed_to_them", "allowed_to_us", "am_choking", "am_interested", "asked_since", "cancel_count",
        "changed_mind_at", "close_reason", "depth", "given", "has", "has_fast", "held_back_at",
        "is_snubbed", "is_upload_only", "joined_at", "key", "last_block_at", "looked_at", "name", "outbox",
        "owed", "owed_count", "peer_choking", "peer_interested", "received", "received_since_refill",
        "refilled_at", "refused", "refused_at", "request_limit", "round_trip", "sent", "sign_of_life_at",
        "suggested", "unchoked_at", "uploads", "wake", "wasted",
    )  # fmt: skip

    def __init__(
        self,
        key: PeerKey,
        now: float,
        *,
        has_fast: bool = False,
        name: str = "",
        wake: Callable[[Peer], None] = lambda _: None,
    ) -> None:
        self.key = key
        self.wake = wake  # called when the outbox is no longer empty
        self.name = name  # for people: who it says it is
        self.joined_at = now
        self.has_fast = has_fast  # both sides speak BEP 6
        self.has = 0  # its pieces
        self.am_choking = True
        self.am_interested = False
        self.peer_choking = True
        self.peer_interested = False
        self.changed_mind_at = float("-inf")  # when its interest changed and was acted upon
        self.is_upload_only = False  # BEP 21: it wants nothing more
        self.close_reason = ""  # not empty: nothing more is to be had from this connection
        self.outbox: list[Message] = []

        # Download: what we asked of it.
        self.owed: dict[int, int] = {}  # piece -> blocks it owes us
        self.owed_count = 0
        self.depth = 0  # blocks we want it to owe us at a time; `requests.py` sets it
        self.request_limit = 250  # BEP 10 `reqq`; what most clients allow when they do not say
        self.asked_since = now  # since when it owes us something without a break
        self.last_block_at = now
        self.sign_of_life_at = now  # when a part of a block last came, or waited for our own limit
        self.held_back_at = float("-inf")  # when our own limit last stood between us
        self.refilled_at = now
        self.looked_at = float("-inf")  # when it was last seen whether it could take over from others
        self.received_since_refill = 0
        self.round_trip: float | None = None  # seconds from a first request to its answer, at best
        self.is_snubbed = False  # it owes us blocks and has sent none for long
        self.refused = 0  # pieces of which it has lately rejected what nothing kept it from sending
        self.refused_at = now  # the first of them
        self.allowed_to_us = 0  # pieces we may ask for while choked (BEP 6)
        self.suggested = 0
        self.received = RateMeter(now)  # payload bytes, them to us
        self.wasted = 0  # bytes that came without being wanted any more

        # Upload: what it asked of us.
        self.uploads = UploadQueue()
        self.cancel_count = 0  # cancels less requests: what it took back and never asked for
        self.allowed_to_them = 0
        self.unchoked_at: float | None = None  # when its latest turn began, over or not
        self.given = Given(now)
        self.sent = RateMeter(now)  # payload bytes, us to them

    def say(self, message: Message) -> None:
        if not self.outbox:
            self.wake(self)
        self.outbox.append(message)
