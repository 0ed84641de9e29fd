"""What a worker found out about one whole piece."""

from __future__ import annotations

from dataclasses import dataclass

from shoal.errors import ShoalError
from shoal.swarm.pieces import PieceProgress


@dataclass(frozen=True, slots=True)
class Checked:
    """`progress` says which: the piece may have come another way meanwhile, and have been begun anew.

    `digests` are one a block, if the piece is bad or was under suspicion (`swarm/blame.py`).
    """

    progress: PieceProgress
    is_good: bool
    digests: tuple[bytes, ...] = ()
    error: ShoalError | None = None  # it could not be written or read
