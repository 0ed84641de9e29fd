"""What a tracker tells of itself, and how workers' reports become one."""

from __future__ import annotations

import asyncio
import random
from functools import partial

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from shoal.disk.accounts import Traffic
from shoal.protocol.tracker.messages import AnnounceRequest
from shoal.tracker.report import SLOT_SECONDS, SLOTS, SUMMED, Report, Reporter, merged
from shoal.tracker.store import StoreCounts, Trouble
from shoal.tracker.tracker import Tracker

numbers = st.integers(0, 10**9)
reports = st.builds(
    Report,
    started_at=st.floats(0, 10**9),
    made_at=st.floats(0, 10**9),
    counts=st.just(StoreCounts(5, 6, 7)),
    announces_by_slot=st.dictionaries(st.integers(0, 50), numbers),
    traffic=st.dictionaries(st.sampled_from("abc"), st.builds(Traffic, numbers, numbers)),
    **dict.fromkeys(SUMMED, numbers),
)


@given(st.lists(reports, min_size=1, max_size=5))
def test_workers_reports_are_added_and_the_store_is_counted_once(parts: list[Report]) -> None:
    whole = merged(parts)
    for name in SUMMED:
        assert getattr(whole, name) == sum(getattr(part, name) for part in parts)
    assert whole.counts == StoreCounts(5, 6, 7)
    assert (whole.started_at, whole.made_at) == (
        min(part.started_at for part in parts),
        max(part.made_at for part in parts),
    )
    for slot in range(51):
        assert whole.announces_by_slot.get(slot, 0) == sum(p.announces_by_slot.get(slot, 0) for p in parts)
    for owner in "abc":
        one = whole.traffic.get(owner, Traffic())
        assert one.uploaded == sum(part.traffic.get(owner, Traffic()).uploaded for part in parts)
    assert merged([whole]) == whole


@given(reports)
def test_a_report_travels_between_processes(report: Report) -> None:
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(report), type=Report) == report


def test_every_number_of_a_report_is_merged() -> None:
    others = {"started_at", "made_at", "counts", "announces_by_slot", "traffic"}
    assert set(Report.__struct_fields__) == {*SUMMED, *others}


def test_a_store_that_one_worker_reaches_is_known_to_all() -> None:
    away = Report(started_at=0, made_at=1)
    there = Report(started_at=0, made_at=1, counts=StoreCounts(1, 2, 3))
    assert merged([away, there]).counts == StoreCounts(1, 2, 3)
    assert merged([away, away]).counts is None


def test_announces_are_counted_by_the_time_they_came() -> None:
    now = 1_000_000.0
    tracker = Tracker(rng=random.Random(0), clock=lambda: 0.0)
    reporter = Reporter(tracker, clock=lambda: now)
    announce = partial(
        tracker.announce, AnnounceRequest(bytes(20), b"p" * 20, 1), bytes([9, 9, 9, 9]), b"", 0.0
    )
    for count in (3, 0, 5):
        for _ in range(count):
            announce()
        reporter.keep_house()
        now += SLOT_SECONDS
    report = reporter.report()
    assert isinstance(report, Report)
    assert report.rates() == [3 / SLOT_SECONDS, 0, 5 / SLOT_SECONDS]
    assert (report.announces, report.counts) == (8, StoreCounts(1, 1, 0))
    assert report.uptime == 3 * SLOT_SECONDS
    now += 2 * SLOTS * SLOT_SECONDS
    reporter.keep_house()
    report = reporter.report()
    assert isinstance(report, Report)
    assert len(report.announces_by_slot) == 1
    assert report.rates() == [0.0] * SLOTS


def test_a_store_that_answers_later_or_not_at_all_is_reported_so() -> None:
    class Slow:
        def count(self, now: float) -> asyncio.Future[StoreCounts | Trouble]:
            future: asyncio.Future[StoreCounts | Trouble] = asyncio.get_running_loop().create_future()
            asyncio.get_running_loop().call_soon(future.set_result, Trouble.AWAY)
            return future

    async def story() -> None:
        tracker = Tracker()
        tracker.store = Slow()  # type: ignore[assignment]
        report = Reporter(tracker).report()
        assert isinstance(report, asyncio.Future)
        assert (await report).counts is None

    asyncio.run(story())
