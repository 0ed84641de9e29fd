"""The ideas by which a swarm of ours is fast, each with a switch, so that a simulation can tell what each is worth.

All of them are within the protocol as it is. The product runs with all on; docs/spreading.md has the figures. Switched
off, an idea leaves what most clients do.
"""

from __future__ import annotations

from dataclasses import dataclass, fields


@dataclass(frozen=True, slots=True)
class Tactics:
    answers_rarest_first: bool = True  # off: in the order in which it was asked
    suggests: bool = True  # off: each takes from a seed what it likes (BEP 6)
    super_seeds: bool = True  # off: everybody is told at once of all we have (BEP 16)
    heeds_suggestions: bool = True  # off: they are read and forgotten
    tells_at_once: bool = True  # off: `have` waits for the next tick, with others
    slots_follow_capacity: bool = True  # off: four slots and an optimistic one
    rounds_follow_pieces: bool = True  # off: slots are given out anew every ten seconds
    allows_fast: bool = True  # off: who is choked gets nothing (BEP 6)
    pipeline_follows_rate: bool = True  # off: a fixed number of requests
    has_endgame: bool = True  # off: no block is asked of two
    parts_when_pointless: bool = True  # off: who wants nothing stays connected with who wants nothing

    @classmethod
    def standard(cls) -> Tactics:
        """What the standard client does: four slots and an optimistic one, rounds of ten seconds, answers in order."""
        return cls(
            answers_rarest_first=False,
            suggests=False,
            super_seeds=False,
            heeds_suggestions=False,
            slots_follow_capacity=False,
            rounds_follow_pieces=False,
        )

    @classmethod
    def pool(cls) -> Tactics:
        """Where members have more to say to each other than pieces: all are told of all, and nobody leaves for want."""
        return cls(super_seeds=False, parts_when_pointless=False)

    @classmethod
    def names(cls) -> tuple[str, ...]:
        return tuple(field.name for field in fields(cls))
