"""What a tracker has beside its answers: passkeys and accounts, the catalogue, the page, metrics; as settings want it.

A tracker is built with its `Membership`, the annex with the tracker, and `open` wants the tracker's open doors.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from shoal.protocol.tracker.messages import AnnounceRequest
from shoal.tracker.accounting import Accountant, accounts_path
from shoal.tracker.catalogue import Catalogue
from shoal.tracker.catalogue_page import CataloguePage
from shoal.tracker.metrics import HealthPage, MetricsPage
from shoal.tracker.page import FrontPage
from shoal.tracker.passkeys import PasskeyFile
from shoal.tracker.report import Report, Reporter
from shoal.tracker.server import HOUSEKEEPING_SECONDS, Repeating, Serving
from shoal.tracker.site import Page
from shoal.tracker.soon import Soon
from shoal.tracker.tracker import OnAnnounce, Tracker

Complain = Callable[[str], None]  # told a line of trouble that is not the end of the tracker


class Membership:
    """Who may use a private tracker, and what they moved."""

    def __init__(self, file: PasskeyFile, lifetime: float, complain: Complain) -> None:
        """`lifetime` is how long a peer may be silent. Raises what is wrong with the accounts beside the file."""
        self.file = file
        self.accountant = Accountant(accounts_path(file.path), lifetime, complain=complain)

    def hear(self, others: OnAnnounce | None) -> OnAnnounce:
        """What a tracker is to call for each announce, for us and for others."""
        ours = self.accountant.on_announce
        if others is None:
            return ours

        def both(request: AnnounceRequest, host: bytes, owner: str) -> None:
            ours(request, host, owner)
            others(request, host, owner)

        return both


class Annex:
    def __init__(
        self,
        tracker: Tracker,
        *,
        membership: Membership | None = None,
        catalogue: Path | None = None,
        publish_token: str = "",
        has_metrics: bool = False,
    ) -> None:
        """Raises `FileError` if the catalogue's folder cannot be made or read."""
        self._membership = membership
        self.reporter = (
            Reporter(tracker)
            if membership is None
            else Reporter(tracker, traffic=lambda: membership.accountant.traffic)
        )
        self.gather: Callable[[], Soon[Report]] = self.reporter.report  # what pages show; may be replaced
        self._catalogue = (
            None if catalogue is None else CataloguePage(Catalogue(catalogue), tracker, publish_token or None)
        )
        listed = None if self._catalogue is None else self._catalogue.listed
        self._front = FrontPage(self._report, listed, is_private=tracker.policy.passkeys is not None)
        self.pages: dict[str, Page] = {"": self._front, "healthz": HealthPage(self._report)}
        if self._catalogue is not None:
            self.pages["catalogue"] = self._catalogue
        if has_metrics:
            self.pages["metrics"] = MetricsPage(self._report)

    @contextmanager
    def open(self, serving: Serving) -> Iterator[None]:
        """Keep house while the tracker's doors are open; what is left to write is written at the end."""
        self.reporter.serving = serving
        self._front.base_url, self._front.has_udp = serving.url, bool(serving.udp)
        repeating = Repeating(asyncio.get_running_loop(), HOUSEKEEPING_SECONDS, self.keep_house)
        try:
            yield
        finally:
            repeating.cancel()
            if self._catalogue is not None:
                self._catalogue.close()
            if self._membership is not None:
                self._membership.accountant.close()

    def keep_house(self) -> None:
        self.reporter.keep_house()
        if self._catalogue is not None:
            self._catalogue.keep_house()
        if self._membership is not None:
            self._membership.file.refresh()
            self._membership.accountant.keep_house()

    def _report(self) -> Soon[Report]:
        return self.gather()
