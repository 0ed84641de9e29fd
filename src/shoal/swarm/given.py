"""What one peer was offered and given of our pieces: a plain record of `steering.py`, whose words these are.

Sets of pieces are integers: bit i is piece i.
"""

from __future__ import annotations


class Given:
    __slots__ = (
        "begun", "begun_count", "first_copies", "first_copies_before", "handed", "ignores_suggestions",
        "is_keeper", "offered", "offered_at", "sent", "shown",
    )  # fmt: skip

    def __init__(self, now: float) -> None:
        self.shown: int | None = None  # the pieces that the peer was told of, if not all we have (BEP 16)
        self.handed = 0  # those it has or will have from us and did not say that it has
        self.offered = 0  # those of them that it has not asked for
        self.offered_at = now  # the latest of them
        self.ignores_suggestions = False
        self.sent = 0  # all of which we ever sent it some
        self.begun: dict[int, int] = {}  # those of them that it does not have yet -> which in order they were
        self.begun_count = 0
        self.first_copies = 0  # those it was offered when nobody had them, since they were last looked at ...
        self.first_copies_before = 0  # ... and before that, if still nobody else has them
        self.is_keeper = False  # they do not get on from it
