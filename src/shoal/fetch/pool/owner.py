"""What a pool asks of the download, or of the helper's work, that it belongs to."""

from __future__ import annotations

from typing import Protocol

from shoal.fetch.pool.audits import Audit


class Owner(Protocol):
    """Whose download it is: a requester's session, or a helper's work."""

    def wake(self) -> None:
        """There may be something to do: call `beat` soon."""

    def on_lost(self) -> None:
        """Pieces that were here are wrong, and are fetched again."""

    def on_failure(self, error: BaseException) -> None:
        """The disk does not take or give, or we have a bug."""

    def note(self, text: str) -> None:
        """A line for people."""

    @property
    def is_on_mirrors(self) -> bool:
        """The origin gives nothing more, and others do: what those give is for this machine alone."""

    def is_of_origin(self, piece: int) -> bool:
        """Whether all of a piece that our sources gave came from the origin itself."""

    def on_wrong(self, piece: int) -> None:
        """Our sources gave it, and it is known to be another."""

    def can_audit(self) -> bool:
        """Whether there is room for one audit more."""

    def audit(self, audit: Audit) -> None:
        """Fetch these bytes from the origin, and tell `on_audited`."""
