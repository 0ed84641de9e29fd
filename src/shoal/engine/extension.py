"""What else the members of a swarm say to each other, by the extension protocol (BEP 10)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from shoal.engine.neighbour import Neighbour


class Extension(Protocol):
    """One extension of one torrent. All of it is called on the loop.

    A torrent with extensions has only neighbours that speak one of them. What is said with `neighbour.say` goes
    out in order with everything else. Of a neighbour, `on_joining` comes first and `on_parted` last, each once.
    """

    @property
    def name(self) -> str:
        """What it is called in the hello of both sides."""

    def on_joining(self, neighbour: Neighbour) -> None:
        """Both hellos are read, and it speaks this extension. What is said now is heard before our bitfield."""

    def on_message(self, neighbour: Neighbour, payload: bytes) -> None:
        """It said this. `PeerError` and `FormatError` close it as a fault."""

    def on_has(self, neighbour: Neighbour, bits: int) -> None:
        """These pieces of it became known now; they are in `neighbour.peer.has`. May raise likewise."""

    def before_have(self, piece: int) -> None:
        """The piece has become ours. What is said now is heard before its `have`."""

    def on_parted(self, neighbour: Neighbour, reason: str) -> None:
        """Its connection has ended."""

    def tick(self, now: float) -> None:
        """Twice a second."""
