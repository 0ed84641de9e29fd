"""Trackers that a torrent names, and trackers that a person names."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from shoal.engine import announcer
from shoal.engine.engine import Engine

from .scene import HOST, Record, Scene

METADATA = ("http://169.254.169.254/announce", "udp://169.254.169.254:6969/announce", "udp://[fe80::1]:6969")


def messages(tmp_path: Path, *, by_hand: bool) -> list[str]:
    """What is said of these trackers when a torrent, or a person, names them."""
    scene = Scene(tmp_path)
    tiers = tuple((url,) for url in METADATA)

    async def story() -> list[str]:
        record = Record()
        async with Engine(bind=HOST, port=0) as engine:
            metainfo = replace(scene.metainfo, trackers=tiers)
            how = {"trackers": tiers} if by_hand else {}
            await engine.add(metainfo, tmp_path / "here", report=record, **how)
            async with asyncio.timeout(60):
                while len(record.of("tracker")) < len(METADATA):  # noqa: ASYNC110 - trackers are asked in their own time
                    await asyncio.sleep(0.01)
        return [fields["message"] for fields in record.of("tracker")]

    return asyncio.run(story())


def test_link_local_trackers_and_metadata_that_a_torrent_names_are_refused(tmp_path: Path) -> None:
    said = messages(tmp_path, by_hand=False)
    assert sum("leads to a machine's own metadata" in text for text in said) == 2
    assert any("leads to" in text or "no such host" in text for text in said if "fe80" in text)


def test_those_that_a_person_names_are_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(announcer, "ANNOUNCE_TIMEOUT", 1.0)  # there are networks that answer none of it
    assert not any("leads to" in text for text in messages(tmp_path, by_hand=True))
