"""The datagram campaign, as short as every run of the tests has time for, and what it would see."""

from __future__ import annotations

import asyncio

import pytest

from shoal.tracker.connection_ids import ConnectionIds
from shoal.tracker.door_udp import UdpDoor

from .datagrams import InvariantError, feed


def test_datagrams_of_no_use_get_nothing_and_leave_nothing() -> None:
    assert asyncio.run(feed(200_000, seed=1)).startswith("seed 1: 200000 datagrams")


def test_the_campaign_sees_a_door_that_takes_any_id(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ConnectionIds, "is_valid", lambda *_: True)
    with pytest.raises(InvariantError, match="an answer to noise"):
        asyncio.run(feed(20_000, seed=1))


def test_the_campaign_sees_a_door_that_remembers_who_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    remembered: list[bytes] = []
    answer = UdpDoor._answer
    monkeypatch.setattr(UdpDoor, "_answer", lambda *asked: (remembered.append(bytes(500)), answer(*asked))[1])
    with pytest.raises(InvariantError, match="memory grew"):
        asyncio.run(feed(100_000, seed=1))
