"""What a worker found out about one whole piece."""

from __future__ import annotations

from dataclasses import dataclass

from shoal.errors import ShoalError


@dataclass(frozen=True, slots=True)
class Checked:
    """`digests` are one a block, if the piece is bad or was under suspicion (`swarm/blame.py`)."""

    piece: int
    is_good: bool
    digests: tuple[bytes, ...] = ()
    error: ShoalError | None = None  # it could not be written or read
