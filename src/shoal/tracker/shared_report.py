"""What several workers that are one tracker tell of themselves together, over their mesh."""

from __future__ import annotations

import asyncio

from msgspec import msgpack

from shoal.tracker.mesh import Mesh
from shoal.tracker.report import Report, Reporter, merged
from shoal.tracker.soon import Soon, later, then

REPORT = "report"

_encode = msgpack.Encoder().encode
_report_in = msgpack.Decoder(Report).decode


class SharedReport:
    """One worker's way to the whole; it tells its own part to the others."""

    def __init__(self, own: Reporter, mesh: Mesh) -> None:
        self._own = own
        self._mesh = mesh
        mesh.handlers[REPORT] = lambda body: _encode(own.without_counts())

    def gather(self) -> Soon[Report]:
        """All parts; those of workers that are away are left out."""
        return then(self._own.report(), self._with_others)

    def _with_others(self, own: Report) -> Soon[Report]:
        def all_told(answers: list[bytes | None]) -> Report:
            return merged([own, *(_report_in(answer) for answer in answers if answer is not None)])

        asked = [self._mesh.ask(other, REPORT) for other in self._mesh.others]
        return later(asyncio.gather(*asked), all_told)
