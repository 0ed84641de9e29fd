"""Two who listen to a simulated network, and a story in which everything that can happen does."""

from __future__ import annotations

import hashlib

from shoal.formats.bitfield import all_bits
from shoal.formats.layout import Layout
from shoal.protocol.peer.messages import Message
from shoal.testing.simulation import Host, Manners, Network, Recorder, freeze_for, kill_at_random
from shoal.units import KIB, MIB


class Notes(Recorder):
    """Every block that arrived, and every event, in order."""

    def __init__(self) -> None:
        self.blocks: list[tuple[float, str, str, int, bool]] = []
        self.pieces: list[tuple[str, int, bool]] = []
        self.events: list[tuple[str, str]] = []
        self.completed: list[tuple[float, str]] = []

    def on_block(
        self, now: float, sender: Host, receiver: Host, piece: int, begin: int, length: int, is_wanted: bool
    ) -> None:
        self.blocks.append((now, sender.name, receiver.name, length, is_wanted))

    def on_piece(self, now: float, host: Host, piece: int, is_good: bool) -> None:
        self.pieces.append((host.name, piece, is_good))

    def on_complete(self, now: float, host: Host) -> None:
        self.completed.append((now, host.name))

    def on_event(self, now: float, host: Host, text: str) -> None:
        self.events.append((host.name, text))


class Digest(Recorder):
    """Every event counts, with its time to the last bit."""

    def __init__(self) -> None:
        self._hash = hashlib.sha256()

    def hexdigest(self) -> str:
        return self._hash.hexdigest()

    def _note(self, *facts: object) -> None:
        self._hash.update(repr(facts).encode())

    def on_block(
        self, now: float, sender: Host, receiver: Host, piece: int, begin: int, length: int, is_wanted: bool
    ) -> None:
        self._note(now, sender.name, receiver.name, piece, begin, length, is_wanted)

    def on_piece(self, now: float, host: Host, piece: int, is_good: bool) -> None:
        self._note(now, host.name, piece, is_good)

    def on_complete(self, now: float, host: Host) -> None:
        self._note(now, host.name)

    def on_event(self, now: float, host: Host, text: str) -> None:
        self._note(now, host.name, text)

    def on_message(self, now: float, sender: Host, receiver: Host, message: Message) -> None:
        self._note(now, sender.name, receiver.name, message)


def troubled_story(seed: int) -> str:
    """The digest of a swarm with liars, corrupters, losses, freezes, deaths and late-comers."""
    layout = Layout(64 * KIB, [64 * 64 * KIB - 5000])
    everything = all_bits(layout.piece_count)
    net = Network(seed, layout)
    net.recorder = digest = Digest()
    net.add("seed", have=everything, up=1 * MIB, jitter=0.01, loss=0.005)
    net.add("corrupter", have=everything, manners=Manners(corrupt_share=0.05))
    net.add("liar", have=1, manners=Manners(lies_about=everything & ~0xFF))
    net.add("rejecter", have=everything, manners=Manners(rejects=True))
    leechers = [
        net.add(f"leecher {n}", up=(n + 1) * 200 * KIB, jitter=0.02, has_fast=bool(n % 4)) for n in range(12)
    ]
    net.meet(net.hosts, neighbours=8)
    kill_at_random(net, leechers[:4], share_a_minute=0.9)
    net.clock.call_later(2.0, freeze_for, net, leechers[5], 3.0)
    late = net.add("late", up=100 * KIB)
    net.clock.call_later(4.0, net.join, late)
    net.finish([*leechers, late])
    return digest.hexdigest()
