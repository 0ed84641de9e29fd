"""Answer requests: which are accepted, in which order they are served, and when they are dropped.

Always true: `peer.uploads` holds only requests for pieces we have, of a peer that is unchoked (or for pieces it was
allowed while choked), in the order they came. With BEP 6 every request ends in a block or a reject.
"""

from __future__ import annotations

from collections.abc import Callable

from shoal.errors import PeerError
from shoal.formats.bitfield import iter_bits
from shoal.protocol.peer.allowed_fast import ALLOWED_FAST_COUNT, allowed_fast_set
from shoal.protocol.peer.messages import AllowedFast, Cancel, Choke, Reject, Request, Requests, Unchoke
from shoal.swarm.peer import Peer
from shoal.swarm.pieces import Pieces

REQUEST_QUEUE = 2000  # requests a peer may have waiting with us (our `reqq`): 32 MiB, as libtorrent allows


def allow_fast(peer: Peer, pieces: int, info_hash: bytes, piece_count: int) -> None:
    """A peer with next to nothing may ask for a few of `pieces` though it is choked, so that it has some to give."""
    if not peer.has_fast or peer.allowed_to_them or peer.has.bit_count() >= ALLOWED_FAST_COUNT:
        return
    allowed = sum(1 << piece for piece in allowed_fast_set(peer.key[0], info_hash, piece_count))
    peer.allowed_to_them = allowed & pieces & ~peer.has
    for piece in iter_bits(peer.allowed_to_them):
        peer.say(AllowedFast(piece))


def accept_requests(peer: Peer, pieces: Pieces, requests: Requests) -> None:
    """Queue what may be served; refuse the rest, aloud if the peer can hear it (BEP 6)."""
    peer.cancel_count -= len(requests.items)
    have, layout = pieces.have, pieces.layout
    servable = have if not peer.am_choking else have & peer.allowed_to_them
    for request in requests.items:
        piece, begin, length = request
        if begin + length > layout.piece_size(piece):
            raise PeerError(
                f"a request for bytes {begin} to {begin + length} of piece {piece}, which is shorter"
            )
        if servable >> piece & 1 and len(peer.uploads) < REQUEST_QUEUE:
            peer.uploads.append(request)
        elif peer.has_fast:
            peer.say(Reject(piece, begin, length))


def cancel_request(peer: Peer, cancel: Cancel) -> None:
    peer.cancel_count += 1
    if peer.cancel_count > REQUEST_QUEUE:
        raise PeerError("more cancels than requests")  # each costs us a look through its queue
    request = (cancel.piece, cancel.begin, cancel.length)
    if peer.uploads.remove(request) and peer.has_fast:
        peer.say(Reject(*request))


def choke(peer: Peer) -> None:
    """Serve it no more, but for what BEP 6 allows the choked."""
    peer.am_choking = True
    peer.say(Choke())
    _drop_requests(peer, lambda request: not peer.allowed_to_them >> request[0] & 1)


def unchoke(peer: Peer, now: float) -> None:
    peer.am_choking = False
    peer.unchoked_at = now
    peer.say(Unchoke())


def refuse_pieces(peer: Peer, bits: int) -> None:
    """These pieces are not here any more: requests for them are rejected."""
    _drop_requests(peer, lambda request: bool(bits >> request[0] & 1))


def _drop_requests(peer: Peer, is_dropped: Callable[[Request], bool]) -> None:
    """Take these out of the queue; the peer is told so if it can hear it (BEP 6)."""
    for request in peer.uploads.drop(is_dropped):
        if peer.has_fast:
            peer.say(Reject(*request))
