"""Workers that tell of themselves as one tracker."""

from __future__ import annotations

import asyncio
from pathlib import Path

from shoal.protocol.tracker.messages import AnnounceRequest
from shoal.tracker.mesh import Mesh
from shoal.tracker.report import Report, Reporter
from shoal.tracker.shared_report import SharedReport
from shoal.tracker.soon import known
from shoal.tracker.store import StoreCounts
from shoal.tracker.tracker import Tracker


def test_whoever_is_asked_tells_of_all_who_are_there(tmp_path: Path) -> None:
    async def story() -> None:
        meshes = [Mesh(number, 2, tmp_path) for number in range(2)]
        trackers = [Tracker(clock=lambda: 0.0), Tracker(clock=lambda: 0.0)]
        shared = [
            SharedReport(Reporter(tracker), mesh) for tracker, mesh in zip(trackers, meshes, strict=True)
        ]
        for port in (1, 2, 3):
            request = AnnounceRequest(bytes(20), b"p" * 20, port)
            await known(trackers[port % 2].announce(request, bytes([9, 9, 9, 9]), b"", 0.0))
        async with meshes[0].open():
            async with meshes[1].open():
                for number, one in enumerate(shared):
                    report = await known(one.gather())
                    assert isinstance(report, Report)
                    assert report.announces == 3
                    assert report.counts == StoreCounts(1, 1 + (number == 1), 0)  # its own store's word
            alone = await known(shared[0].gather())
            assert isinstance(alone, Report)
            assert alone.announces == 1

    asyncio.run(story())
