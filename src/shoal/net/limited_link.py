"""A link that moves bytes only when it is its turn, in the directions that have a limit.

Reading is limited by not reading: what waits in the socket makes TCP slow the sender down. Sending goes block by
block: the owner is asked for more only when the last portion has left, so what was cancelled is not sent, and at a
low rate one peer gets a whole block before the next peer gets one. Drips to all of them would complete nobody's block
sooner, most of them later, and would hold back every request of ours behind some half-sent block.

All bytes of the socket count, those of messages too; the headers of TCP and IP do not.
"""

from __future__ import annotations

import contextlib

from shoal.net.link import MOST_BUFFERS, LinkOwner, PeerLink
from shoal.net.throttle import Throttle
from shoal.net.turns import Rank, Share
from shoal.net.wire import Buffer, Wire


class LimitedLink(PeerLink):
    """`incoming` and `outgoing` are shared with all other links; None where there is no limit."""

    def __init__(
        self,
        sock: Wire,
        buffer: memoryview,
        owner: LinkOwner,
        *,
        incoming: Throttle | None,
        outgoing: Throttle | None,
    ) -> None:
        super().__init__(sock, buffer, owner)
        self._incoming = incoming
        self._outgoing = outgoing
        self._reading = Share(self._read_turn)
        self._sending = Share(self._send_turn)
        self._talk_ends_at = 0  # what was queued when the last message was

    @property
    def is_held_back(self) -> bool:
        """Bytes wait for our own limit: the peer's in the socket, or what we have to tell it."""
        if self._incoming is not None and self._incoming.is_waiting(self._reading):
            return True
        return (
            self._outgoing is not None
            and self._outgoing.is_waiting(self._sending)
            and self.sent < self._talk_ends_at
        )

    def queue(self, data: Buffer) -> None:
        super().queue(data)
        self._talk_ends_at = self.queued

    # Reading

    def _on_readable(self) -> None:
        if self._incoming is None:
            super()._on_readable()
            return
        self._loop.remove_reader(self._fd)
        self._incoming.ask(self._reading)

    def _read_turn(self, most: int) -> int:
        assert self._incoming is not None, "only its turns bring us here"
        count = self._receive(self._buffer[:most])
        if self._is_closed:
            return count
        if count == most:
            self._incoming.ask(self._reading)  # there may be more
        else:
            self._loop.add_reader(self._fd, self._on_readable)
        return count

    # Sending

    def _write(self) -> None:
        if self._outgoing is None:
            super()._write()
            return
        self._stop_writing()
        self._ask_to_send(self._outgoing)

    def _ask_to_send(self, outgoing: Throttle) -> None:
        rank = Rank.MIDWAY if self._out else Rank.FRESH
        outgoing.ask(self._sending, Rank.TALKING if self.sent < self._talk_ends_at else rank)

    def _send_turn(self, most: int) -> int:
        assert self._outgoing is not None, "only its turns bring us here"
        if not self._out:
            self._owner.on_room(self._outgoing.portion)
        if self._is_closed or not self._out:
            return 0
        count = self._hand_over(first_bytes(self._out, most))
        if count:
            self._ask_to_send(self._outgoing)
        return count

    # The end

    def _send_last(self) -> None:
        if self._outgoing is None:
            super()._send_last()
        elif most := self._outgoing.spend_now(self.pending):
            with contextlib.suppress(OSError):
                self._sock.sendmsg(first_bytes(self._out, most))

    def _shut(self) -> None:
        for throttle, share in ((self._incoming, self._reading), (self._outgoing, self._sending)):
            if throttle is not None:
                throttle.leave(share)
        super()._shut()


def first_bytes(buffers: list[Buffer], most: int) -> list[Buffer]:
    """The first `most` bytes of `buffers`, by reference, for one vector."""
    chosen: list[Buffer] = []
    for data in buffers[:MOST_BUFFERS]:
        if len(data) >= most:
            chosen.append(memoryview(data)[:most])
            break
        chosen.append(data)
        most -= len(data)
    return chosen
