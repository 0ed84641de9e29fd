"""What a simulated network tells of: the hook on which traces, pictures and digests are built.

`Network.recorder` is None unless somebody listens, and then nothing is spent on it. Times are seconds of virtual time.
Nothing that a recorder does may change the story.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from shoal.protocol.peer.messages import Message
    from shoal.testing.simulation.host import Host


class Recorder:
    """Hears everything and keeps nothing: override what is of interest."""

    def on_block(
        self, now: float, sender: Host, receiver: Host, piece: int, begin: int, length: int, is_wanted: bool
    ) -> None:
        """A block has arrived; unless `is_wanted`, in vain."""

    def on_piece(self, now: float, host: Host, piece: int, is_good: bool) -> None:
        """`host` has hashed a piece."""

    def on_complete(self, now: float, host: Host) -> None:
        """`host` has everything now, and had not when it joined."""

    def on_event(self, now: float, host: Host, text: str) -> None:
        """Something else became of `host` ("left", "banned liar 1"), or it did it ("unchokes leecher 4")."""

    def on_message(self, now: float, sender: Host, receiver: Host, message: Message) -> None:
        """`sender` has put a message that is not a block on its way."""
