"""A download as a display is told of it, made of what its parts say of themselves."""

from __future__ import annotations

from typing import TYPE_CHECKING

from shoal.fetch.facts import Facts
from shoal.fetch.opening import Opening
from shoal.fetch.pieces import piece_length_for
from shoal.fetch.progress import Phase, Progress
from shoal.fetch.ranged import Ranged
from shoal.fetch.sources import Sources
from shoal.fetch.stream import Stream

if TYPE_CHECKING:
    from shoal.fetch.pool.pooled import Pooled


def progress_of(
    work: Opening | Ranged | Stream | None,
    sources: Sources,
    pooled: Pooled | None,
    *,
    phase: Phase,
    name: str,
    facts: Facts,
    began_at: float,
    now: float,
) -> Progress:
    fetching = () if work is None or isinstance(work, Opening) else work.fetching(now)
    here = have_bits = 0
    if isinstance(work, Ranged):
        here, have_bits = work.bytes_here, work.plan.have_bits
    elif isinstance(work, Stream):
        here = work.position
    deadline = sources.next_deadline()
    is_waiting = work is not None and work.is_waiting
    return Progress(
        phase=Phase.WAITING if is_waiting else phase,
        name=name,
        length=facts.length,
        here=here,
        rate=sum(one.rate for one in fetching) + (pooled.rate if pooled is not None else 0.0),
        fetching=fetching,
        have_bits=have_bits,
        piece_length=piece_length_for(facts.length or 0),
        members=() if pooled is None else pooled.members(now),
        seconds=now - began_at,
        waits_for=max(0.0, deadline - now) if is_waiting and deadline is not None else 0.0,
        trouble=work.trouble if work is not None else "",
        sources=sources.given(),
    )
