"""What people are told of members that end a connection."""

from __future__ import annotations

from shoal.engine.admission import TWICE
from shoal.fetch.pool.company import Company
from shoal.fetch.pool.telling import Telling
from shoal.formats.layout import Layout

ME, OTHER = b"m" * 32, b"o" * 32


def test_who_was_connected_twice_is_here_still_and_nobody_is_told() -> None:
    notes: list[str] = []
    telling = Telling(Company(Layout(16, [16]), ME), notes.append)
    telling.gone(OTHER, TWICE)
    assert not notes
    telling.gone(OTHER, "Connection reset by peer")
    assert len(notes) == 1
    assert "is gone: Connection reset by peer" in notes[0]
