"""The trace of a story: one line an event, and a digest of the lines, so that two runs can be compared by one word.

    12.345678 leecher 3: block 17+32768 from seed

Seconds since the beginning, who, what became of it. `have` and requests are left out: the one follows from the pieces,
and the other from the blocks. The digest is SHA-256 of the lines as they are written, so `sha256sum` of a trace file
says the same.
"""

from __future__ import annotations

import hashlib
import re
from array import array
from collections.abc import Callable
from dataclasses import fields

from shoal.protocol.peer import messages as m
from shoal.testing.simulation import Host, Recorder

IN_VAIN, FIRST_COPY, COPY = range(3)  # what a block was: unwanted, never on its way before, or one more
LEFT_OUT = (m.Have, m.Requests, m.Choke, m.Unchoke)  # the latter two are told as events


class Trace(Recorder):
    """Hands each line to `write`, and remembers what a picture needs: blocks and pieces, as columns."""

    def __init__(self, write: Callable[[str], object] | None = None, *, began_at: float = 1.0) -> None:
        self._write = write
        self._began_at = began_at
        self._digest = hashlib.sha256()
        self.line_count = 0
        self.numbers: dict[str, int] = {}  # host -> its row in the columns below
        self.block_times = array("d")
        self.block_senders = array("H")
        self.block_receivers = array("H")
        self.block_lengths = array("H")
        self.block_kinds = array("B")
        self._travelled: set[tuple[int, int]] = set()  # (piece, begin) of blocks that somebody has got
        self.piece_times = array("d")
        self.piece_hosts = array("H")
        self.pieces = array("L")

    @property
    def digest(self) -> str:
        return self._digest.hexdigest()

    def on_block(
        self, now: float, sender: Host, receiver: Host, piece: int, begin: int, length: int, is_wanted: bool
    ) -> None:
        self.block_times.append(now - self._began_at)
        self.block_senders.append(self._number(sender))
        self.block_receivers.append(self._number(receiver))
        self.block_lengths.append(length)
        self.block_kinds.append(self._kind(piece, begin, is_wanted))
        in_vain = "" if is_wanted else ", in vain"
        self._tell(now, receiver, f"block {piece}+{begin} from {sender.name}{in_vain}")

    def on_piece(self, now: float, host: Host, piece: int, is_good: bool) -> None:
        if is_good:
            self.piece_times.append(now - self._began_at)
            self.piece_hosts.append(self._number(host))
            self.pieces.append(piece)
        self._tell(now, host, f"piece {piece} is {'right' if is_good else 'WRONG'}")

    def on_complete(self, now: float, host: Host) -> None:
        self._tell(now, host, "has everything")

    def on_event(self, now: float, host: Host, text: str) -> None:
        self._number(host)
        self._tell(now, host, text)

    def on_message(self, now: float, sender: Host, receiver: Host, message: m.Message) -> None:
        if not isinstance(message, LEFT_OUT):
            self._tell(now, sender, f"says {_in_words(message)} to {receiver.name}")

    def _kind(self, piece: int, begin: int, is_wanted: bool) -> int:
        if not is_wanted:
            return IN_VAIN
        if (piece, begin) in self._travelled:
            return COPY
        self._travelled.add((piece, begin))
        return FIRST_COPY

    def _number(self, host: Host) -> int:
        number = self.numbers.get(host.name)
        if number is None:
            number = self.numbers[host.name] = len(self.numbers)
        return number

    def _tell(self, now: float, host: Host, text: str) -> None:
        line = f"{now - self._began_at:.6f} {host.name}: {text}\n"
        self._digest.update(line.encode())
        self.line_count += 1
        if self._write is not None:
            self._write(line)


def _in_words(message: m.Message) -> str:
    """`not interested`, `cancel 17 0 16384`; of a bitfield, which may be long, how many there are."""
    words = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", type(message).__name__).lower()
    if isinstance(message, m.Bitfield):
        return f"{words} of {message.bits.bit_count()}"
    return " ".join([words, *(str(getattr(message, one.name)) for one in fields(message))])
