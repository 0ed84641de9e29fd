"""How a host treats others. All of it may be changed in the middle of a story."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class Manners:
    """The plain one is honest and awake."""

    is_stalled: bool = False  # takes requests and sends nothing
    is_free_rider: bool = False  # chokes everybody for ever, and allows nobody anything
    rejects: bool = False  # rejects every request
    corrupt_share: float = 0.0  # of its blocks
    lies_about: int = 0  # pieces it says it has; requests for them are forgotten
