"""Who is done waits for those who want what it alone has, and for those who are about to say so."""

from __future__ import annotations

from types import SimpleNamespace
from typing import cast

import pytest

from shoal.fetch.pool.pool import Pool

PIECES = 0b11


def is_needed(*, has: int, took: int = 0, is_interested: bool = False, is_soon: bool = False) -> bool:
    """Whether we are by a neighbour that has these pieces, took so many bytes of us, and may say that it wants some."""
    peer = SimpleNamespace(has=has, sent=SimpleNamespace(total=took), peer_interested=is_interested)
    pool = SimpleNamespace(
        _neighbours=[SimpleNamespace(peer=peer)], holdings=SimpleNamespace(told_bits=PIECES)
    )
    return Pool.is_needed(cast(Pool, pool), is_soon=is_soon)


@pytest.mark.parametrize("is_soon", [True, False])
def test_who_wants_the_last_piece_is_waited_for(is_soon: bool) -> None:
    assert is_needed(has=0b01, is_interested=True, is_soon=is_soon)


def test_who_took_others_of_us_may_not_have_asked_for_the_last_one_yet() -> None:
    assert is_needed(has=0b01, took=1, is_soon=True)
    assert not is_needed(has=0b01, took=1)


def test_who_takes_nothing_is_not_waited_for() -> None:
    assert not is_needed(has=0b01, is_soon=True)


@pytest.mark.parametrize("is_soon", [True, False])
def test_who_has_everything_is_not_waited_for(is_soon: bool) -> None:
    assert not is_needed(has=PIECES, took=1, is_interested=True, is_soon=is_soon)
