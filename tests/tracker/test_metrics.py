"""`/metrics` and `/healthz`."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

from shoal.disk.accounts import Traffic
from shoal.protocol.tracker.messages import AnnounceRequest
from shoal.tracker.metrics import COUNTERS, HealthPage, MetricsPage
from shoal.tracker.report import Report
from shoal.tracker.store import StoreCounts

from .browsing import Open, opened


async def samples(here: Open) -> dict[str, float]:
    answer = await here.ask("GET", "/metrics")
    assert answer.status == 200
    assert answer.headers["content-type"].startswith("text/plain; version=")
    return {
        sample.name + "".join(f",{value}" for value in sample.labels.values()): sample.value
        for family in text_string_to_metric_families(answer.body.decode())
        for sample in family.samples
    }


def test_what_happened_is_counted(tmp_path: Path) -> None:
    async def story() -> None:
        async with opened(tmp_path, has_metrics=True) as here:
            request = AnnounceRequest(bytes(20), b"p" * 20, 1001, left=0)
            here.tracker.announce(request, bytes([9, 9, 9, 9]), b"", here.tracker.clock())
            await here.ask("GET", "/scrape")
            found = await samples(here)
            assert found["shoal_tracker_announces_total"] == 1
            assert found["shoal_tracker_scrapes_total"] == found["shoal_tracker_refusals_total"] == 1
            assert (found["shoal_tracker_swarms"], found["shoal_tracker_seeds"]) == (1, 1)
            assert found["shoal_tracker_http_connections_accepted_total"] == 2
            assert found["shoal_tracker_store_up"] == 1
            assert {f"{name}_total" for name, _ in COUNTERS.values()} <= found.keys()

    asyncio.run(story())


def test_owners_have_counters_of_their_own_whatever_they_are_called(tmp_path: Path) -> None:
    report = Report(started_at=0, made_at=1, traffic={'a"b\\c\n': Traffic(5, 7)}, counts=StoreCounts(0, 0, 0))

    async def story() -> None:
        async with opened(tmp_path, has_metrics=True) as here:
            here.annex.gather = lambda: report
            found = await samples(here)
            assert found['shoal_tracker_owner_uploaded_bytes_total,a"b\\c\n'] == 5
            assert found['shoal_tracker_owner_downloaded_bytes_total,a"b\\c\n'] == 7

    asyncio.run(story())


def test_without_metrics_there_are_none_and_their_library_is_not_loaded(tmp_path: Path) -> None:
    async def story() -> None:
        async with opened(tmp_path) as here:
            assert (await here.ask("GET", "/metrics")).status == 404

    asyncio.run(story())
    code = "import sys, shoal.cli.tracker; sys.exit('prometheus_client' in sys.modules)"
    assert subprocess.run([sys.executable, "-P", "-c", code], timeout=60).returncode == 0


def test_health_is_ok_or_a_reason(tmp_path: Path) -> None:
    away = Report(started_at=0, made_at=1)

    async def story() -> None:
        async with opened(tmp_path) as here:
            well = await here.ask("GET", "/healthz")
            assert (well.status, well.body) == (200, b"ok\n")
            here.annex.gather = lambda: away
            ill = await here.ask("GET", "/healthz")
            assert (ill.status, ill.body) == (503, b"the store is away\n")

    asyncio.run(story())


def test_pages_take_no_bodies() -> None:
    for page in (HealthPage(lambda: Report(started_at=0, made_at=0)), MetricsPage(dict)):  # type: ignore[arg-type]
        assert page.methods == ()
        assert page.body_limit(b"PUT", b"/", {}) == 0
