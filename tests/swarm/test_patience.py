"""Low rates: what is slow is not silent, and what our own limit delays is nobody's fault."""

from __future__ import annotations

import pytest

from shoal.formats.layout import BLOCK_LENGTH, Layout
from shoal.swarm.pipeline import (
    BLOCK_PATIENCE,
    FIRST_DEPTH,
    LATE_BLOCKS,
    LEAST_LIMITED_DEPTH,
    SILENCE_BEFORE_SNUB,
)
from shoal.units import KIB

from .test_requests import BLOCKS, endgame, join, make_swarm, send, silence, take_requests


def test_a_peer_that_sends_a_block_bit_by_bit_is_not_silent_for_a_minute() -> None:
    swarm = make_swarm(most_in_flight=4)
    peer = join(swarm, 1)
    take_requests(peer)
    now = 0.0
    while now < BLOCK_PATIENCE - 1:
        now = silence(swarm, now, 1.0)
        swarm.on_part_of_block(peer, now)
        assert not peer.is_snubbed
    now = silence(swarm, now, 1.0)
    swarm.on_part_of_block(peer, now)
    swarm.tick(now)
    assert peer.is_snubbed


def test_a_peer_that_our_own_limit_holds_back_is_never_silent() -> None:
    swarm = make_swarm(most_in_flight=4)
    peer = join(swarm, 1)
    take_requests(peer)
    now = 0.0
    while now < 5 * BLOCK_PATIENCE:
        swarm.on_held_back(peer, now)
        now = silence(swarm, now, 0.5)
    assert not peer.is_snubbed
    silence(swarm, now, SILENCE_BEFORE_SNUB)
    assert peer.is_snubbed


def test_a_peer_whose_blocks_come_seldom_is_not_silent_between_them() -> None:
    swarm = make_swarm(most_in_flight=4)
    peer = join(swarm, 1)
    owed = take_requests(peer)
    now = silence(swarm, 0.0, SILENCE_BEFORE_SNUB - 1)
    for request in owed[:5]:
        assert send(swarm, peer, request, now)
        now = silence(swarm, now, 2 * SILENCE_BEFORE_SNUB)
        assert not peer.is_snubbed
    silence(swarm, now, (LATE_BLOCKS - 1) * 2 * SILENCE_BEFORE_SNUB)
    assert peer.is_snubbed


@pytest.mark.parametrize(
    ("limit", "first"),
    [(5 * KIB, LEAST_LIMITED_DEPTH), (200 * KIB, 4), (50_000 * KIB, FIRST_DEPTH), (None, FIRST_DEPTH)],
)
def test_below_a_low_limit_a_peer_owes_us_only_what_may_come_soon(limit: int | None, first: int) -> None:
    layout = Layout(BLOCKS * BLOCK_LENGTH, [100 * BLOCKS * BLOCK_LENGTH])
    swarm = make_swarm(layout=layout, limit=limit)
    peer = join(swarm, 1)
    assert len(take_requests(peer)) == first


def test_nobody_else_is_asked_for_what_our_own_limit_delays() -> None:
    _, _, quick = endgame(slow_rate=2, is_held_back=True)
    assert take_requests(quick) == []


def test_a_block_that_has_been_coming_for_long_is_asked_of_a_quick_one_too() -> None:
    swarm, slow, quick = endgame(slow_rate=100)
    assert take_requests(quick) == []
    now = 1.0
    while now < 2 * SILENCE_BEFORE_SNUB:
        now = silence(swarm, now, 1.0)
        swarm.on_part_of_block(slow, now)
    assert not slow.is_snubbed
    assert take_requests(quick) != []
