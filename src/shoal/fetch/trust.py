"""Which sources a further try may ask, after one whose file turned out wrong. Pure.

A digest decides; without one the URL asked for does. Who alone gave a wrong file is out. Where several gave it nobody
can tell who it was: then each is asked alone, in order. A file is thrown away `MOST_WRONG` times at most.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

MOST_WRONG = 3  # whole downloads; a digest with a typing error would cost one for each mirror


class Trust:
    def __init__(self, urls: Sequence[str]) -> None:
        self._urls = list(urls)  # the one asked for is the first
        self._out: set[str] = set()
        self._aside: set[str] = set()  # they have another file than the first, and perhaps the right one
        self._is_alone = False
        self._wrong = 0

    @property
    def is_alone(self) -> bool:
        """One source is asked, and no other may be added."""
        return self._is_alone

    @property
    def usable(self) -> list[str]:
        """Whom the next try asks."""
        left = [url for url in self._urls if url not in self._out]
        agreed = [url for url in left if url not in self._aside] or left
        return agreed[:1] if self._is_alone else agreed

    def on_disagreed(self, answered: set[str]) -> None:
        """The first has another file than these."""
        self._aside |= answered

    def on_wrong(self, gave: set[str], given_up: Collection[str] = ()) -> bool:
        """Its digest is wrong, and these gave it, none if nobody knows; whether there is another try.

        `given_up` are those that are of no use: not there, another file.
        """
        self._wrong += 1
        self._out.update(given_up)
        if not gave or gave == set(self._urls[:1]) == set(self._urls):
            return False
        if len(gave) == 1:
            self._out |= gave
        if len(gave) > 1 or not gave.issubset(self._urls):
            self._is_alone = True  # also without mirrors that were found on the way
        return self._wrong < MOST_WRONG and not self._out.issuperset(self._urls)
