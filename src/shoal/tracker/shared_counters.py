"""What the workers of one tracker have counted together."""

from __future__ import annotations

import asyncio
from dataclasses import fields

from msgspec import msgpack

from shoal.tracker.mesh import Mesh
from shoal.tracker.tracker import Counters

COUNTERS = "counters"

_encode = msgpack.Encoder().encode
_counters_in = msgpack.Decoder(Counters).decode


class SharedCounters:
    """One worker's way to the sums; it tells its own to the others."""

    def __init__(self, own: Counters, mesh: Mesh) -> None:
        self._own = own
        self._mesh = mesh
        mesh.handlers[COUNTERS] = lambda body: _encode(own)

    async def total(self) -> Counters:
        """Since each of them started; those that are away are left out."""
        answers = await asyncio.gather(*(self._mesh.ask(other, COUNTERS) for other in self._mesh.others))
        parts = [self._own, *(_counters_in(answer) for answer in answers if answer is not None)]
        return Counters(*(sum(getattr(part, field.name) for part in parts) for field in fields(Counters)))
