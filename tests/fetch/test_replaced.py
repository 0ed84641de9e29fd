"""A file that is replaced at a random moment, a thousand times: what arrives is one version or the other."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from pathlib import Path

import pytest

from shoal.errors import NetworkError
from shoal.fetch import patience
from shoal.fetch.download import download
from shoal.fetch.progress import Downloaded, Wanted
from shoal.testing.hostile_origin import HostileOrigin, Page
from shoal.units import KIB

TRIALS = 1000
AT_ONCE = 50


class Trial:
    """One file at one path: its two versions, of one length mostly, and how its connections end."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.path = f"/{seed}.bin"
        self.rng = random.Random(seed)
        length = self.rng.randrange(64 * KIB, 400 * KIB)
        self.old = self.rng.randbytes(length)
        self.new = self.rng.randbytes(length if self.rng.random() < 0.8 else length + 1)
        self.has_etag = self.rng.random() < 0.7
        self.current = self._page(self.old, "old")
        self.is_replaced = False
        self.replaced_after = self.rng.randrange(length * 2)  # bytes sent; often after the end

    def answer(self, number: int) -> Page:
        return self.current

    def replace(self) -> None:
        self.current = self._page(self.new, "new")
        self.is_replaced = True

    def _page(self, body: bytes, version: str) -> Page:
        has_etag = self.has_etag if self.rng.random() < 0.95 else not self.has_etag
        modified = {"old": "Tue, 02 Jan 2024 03:04:05 GMT", "new": "Tue, 02 Jan 2024 03:04:06 GMT"}[version]
        return Page(
            body,
            etag=f'"{version}"' if has_etag else None,
            modified=None if has_etag else modified,
            headers=(("Date", "Wed, 03 Jan 2024 00:00:00 GMT"),),
            closes_after=self.rng.choice([None, None, 100_000]),
            rate=self.rng.choice([None, 400 * KIB, 1000 * KIB]),
            takes_ranges=self.rng.random() < 0.9,
        )


async def run(trial: Trial, origin: HostileOrigin, folder: Path) -> str:
    """What came of it."""
    origin.pages[trial.path] = trial.answer
    origin.on_body[trial.path] = lambda sent: sent >= trial.replaced_after and trial.replace()
    wanted = Wanted((origin.url(trial.path),), folder, first_fetchers=4)
    try:
        async with asyncio.timeout(60):
            done = await download(wanted)
    except NetworkError:
        assert not (folder / trial.path[1:]).exists()
        return "an error"
    assert isinstance(done, Downloaded)
    body = done.path.read_bytes()
    assert body in (trial.old, trial.new), f"mixed: seed {trial.seed}"
    return "the old one" if body == trial.old else "the new one"


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_what_arrives_is_never_put_together_from_two_versions(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(patience, "FIRST_WAIT", 0.05)  # streams that are cut off are given up in seconds

    async def story(origin: HostileOrigin) -> Counter[str]:
        turns = asyncio.Semaphore(AT_ONCE)

        async def in_turn(seed: int) -> str:
            async with turns:
                return await run(Trial(seed), origin, tmp_path)

        return Counter(await asyncio.gather(*map(in_turn, range(TRIALS))))

    with HostileOrigin() as origin:
        came = asyncio.run(story(origin))
    assert sum(came.values()) == TRIALS
    assert min(came["the old one"], came["the new one"]) > TRIALS // 10  # both do happen
