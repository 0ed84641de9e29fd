"""Which source gave which bytes, and what of them is written. Pure.

Always true: a byte has one giver, the last whose byte was written there; what came in an earlier try has none.
"""

from __future__ import annotations

from shoal.fetch.gaps import Gaps


class Provenance:
    """`missing`: what is not on disk yet."""

    def __init__(self, missing: Gaps) -> None:
        self.missing = missing
        self._given: dict[str, Gaps] = {}  # by the source's URL

    def on_given(self, begin: int, end: int, url: str) -> None:
        """These bytes came from there, and are about to be written."""
        for rows in self._given.values():
            rows.remove(begin, end)
        self._given.setdefault(url, Gaps()).add(begin, end)

    def on_written(self, begin: int, end: int) -> None:
        self.missing.remove(begin, end)

    def on_lost(self, begin: int, end: int) -> None:
        """They are wrong, and come again."""
        self.missing.add(begin, end)

    def givers(self, begin: int, end: int) -> set[str]:
        """The URLs that gave any of these bytes."""
        return {url for url, rows in self._given.items() if rows.overlap(begin, end)}
