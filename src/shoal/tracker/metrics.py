"""`/metrics` for Prometheus, and `/healthz` for whoever restarts what is ill."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from http import HTTPStatus
from typing import TYPE_CHECKING

from shoal.tracker.door_http import Question
from shoal.tracker.replies import Reply
from shoal.tracker.report import Report
from shoal.tracker.soon import Soon, then

if TYPE_CHECKING:
    from prometheus_client import Metric

COUNTERS = {  # field of the report -> name and what it counts
    "announces": ("shoal_tracker_announces", "Announces, refused ones among them."),
    "scrapes": ("shoal_tracker_scrapes", "Scrapes, refused ones among them."),
    "refusals": ("shoal_tracker_refusals", "Questions that got a failure reason."),
    "store_errors": ("shoal_tracker_store_errors", "Questions that the store could not answer."),
    "accepted": ("shoal_tracker_http_connections_accepted", "HTTP connections that were accepted."),
    "udp_connects": ("shoal_tracker_udp_connects", "Connects over UDP."),
    "udp_answers": ("shoal_tracker_udp_answers", "Datagrams sent as answers."),
    "udp_drops": ("shoal_tracker_udp_drops", "Datagrams that got no answer."),
}
GAUGES = {
    "swarms": ("shoal_tracker_swarms", "Swarms with a peer in them."),
    "seeds": ("shoal_tracker_seeds", "Peers that have everything."),
    "leechers": ("shoal_tracker_leechers", "Peers that want something."),
}
UPLOADED = ("shoal_tracker_owner_uploaded_bytes", "What the peers of a passkey's owner say they uploaded.")
DOWNLOADED = ("shoal_tracker_owner_downloaded_bytes", "What they say they downloaded.")


class MetricsPage:
    methods: tuple[bytes, ...] = ()

    def __init__(self, report: Callable[[], Soon[Report]]) -> None:
        self._report = report

    def answer(self, question: Question) -> Soon[Reply] | None:
        if question.path != b"/metrics":
            return None
        return then(self._report(), _metrics_reply)

    def body_limit(self, method: bytes, path: bytes, headers: dict[bytes, bytes]) -> int:
        return 0


class HealthPage:
    """200 while the tracker can answer, 503 and the reason while it cannot."""

    methods: tuple[bytes, ...] = ()

    def __init__(self, report: Callable[[], Soon[Report]]) -> None:
        self._report = report

    def answer(self, question: Question) -> Soon[Reply] | None:
        return then(self._report(), _health_reply) if question.path == b"/healthz" else None

    def body_limit(self, method: bytes, path: bytes, headers: dict[bytes, bytes]) -> int:
        return 0


def _health_reply(report: Report) -> Reply:
    if report.counts is None:
        return Reply(b"the store is away\n", status=HTTPStatus.SERVICE_UNAVAILABLE)
    return Reply(b"ok\n")


def _metrics_reply(report: Report) -> Reply:
    from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest

    registry = CollectorRegistry()
    registry.register(_Collector(report))
    return Reply(generate_latest(registry), CONTENT_TYPE_LATEST)


class _Collector:
    """One report, as Prometheus' library wants to be told it."""

    def __init__(self, report: Report) -> None:
        self._report = report

    def collect(self) -> Iterator[Metric]:
        from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily

        report = self._report
        for field, (name, meaning) in COUNTERS.items():
            yield CounterMetricFamily(name, meaning, value=getattr(report, field))
        yield GaugeMetricFamily(
            "shoal_tracker_http_connections", "HTTP connections that are open.", value=report.connections
        )
        yield GaugeMetricFamily(
            "shoal_tracker_store_up", "Whether the store answers.", value=report.counts is not None
        )
        yield GaugeMetricFamily(
            "shoal_tracker_start_time_seconds", "When it started, Unix time.", value=report.started_at
        )
        if report.counts is not None:
            for field, (name, meaning) in GAUGES.items():
                yield GaugeMetricFamily(name, meaning, value=getattr(report.counts, field))
        if report.traffic:
            for direction, (name, meaning) in (("uploaded", UPLOADED), ("downloaded", DOWNLOADED)):
                family = CounterMetricFamily(name, meaning, labels=["owner"])
                for owner, traffic in sorted(report.traffic.items()):
                    family.add_metric([owner], getattr(traffic, direction))
                yield family
