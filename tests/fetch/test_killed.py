"""A download that is killed, or runs out of disk, goes on: nothing wrong is believed, and little is fetched again."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from shoal.disk.part_file import PartFile
from shoal.errors import DiskFullError
from shoal.fetch.download import download
from shoal.fetch.progress import Downloaded, Progress, Wanted
from shoal.testing.hostile_origin import HostileOrigin, Page
from shoal.units import KIB, MIB

ROOT = Path(__file__).resolve().parents[2]
BODY = random.Random(3).randbytes(6 * MIB + 1)
SCRIPT = """
import asyncio, sys
from pathlib import Path
import shoal.fetch.remembering as remembering
from shoal.disk.part_file import PartFile
from shoal.fetch.download import download
from shoal.fetch.progress import Wanted
remembering.REMEMBERED_EVERY = 0.05
remembering.REMEMBERED_FIRST = remembering.NEARLY_OVER = 0.0
remember = PartFile.remember
def tell(part):
    remember(part)
    print(part._saved.have_bits.bit_count(), flush=True)
PartFile.remember = tell
asyncio.run(download(Wanted((sys.argv[1],), Path(sys.argv[2]), most_fetchers=4)))
"""


def fetch(url: str, folder: Path, **wanted: Any) -> Downloaded:
    async def story() -> Downloaded:
        async with asyncio.timeout(60):
            done = await download(Wanted((url,), folder, **wanted))
        assert isinstance(done, Downloaded)
        return done

    return asyncio.run(story())


@pytest.mark.parametrize("seed", range(3))
def test_after_kill_9_it_goes_on_from_what_was_remembered(seed: int, tmp_path: Path) -> None:
    killed_after = random.Random(seed).randrange(2 * MIB, 5 * MIB)
    is_killed = threading.Event()
    with HostileOrigin() as origin:
        origin.pages["/file.bin"] = Page(BODY, rate=4 * MIB)
        origin.on_body["/file.bin"] = lambda sent: sent < killed_after or is_killed.wait(60)
        process = subprocess.Popen(
            [sys.executable, "-P", "-c", SCRIPT, origin.url("/file.bin"), tmp_path],
            env={**os.environ, "PYTHONPATH": str(ROOT / "src")},
            stdout=subprocess.PIPE,
            text=True,
        )
        assert process.stdout is not None
        with process.stdout as remembered:
            assert any(int(pieces) for pieces in remembered)
            process.send_signal(signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL
        is_killed.set()
        done = fetch(origin.url("/file.bin"), tmp_path, most_fetchers=1)
        assert done.path.read_bytes() == BODY
        assert 0 < done.resumed < killed_after + 1 * MIB
        assert done.received < len(BODY) - done.resumed + 1 * MIB
    assert [path.name for path in tmp_path.iterdir()] == ["file.bin"]


def test_a_full_disk_ends_it_and_leaves_what_is_here_for_the_next_try(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = PartFile.write_all

    def write_all(part: PartFile, offset: int, chunks: list[bytes]) -> None:
        if offset >= 4 * MIB:
            raise DiskFullError("disk full: no room here")
        whole(part, offset, chunks)  # type: ignore[arg-type]

    with HostileOrigin() as origin:
        origin.pages["/file.bin"] = Page(BODY, rate=16 * MIB)
        with monkeypatch.context() as full:
            full.setattr(PartFile, "write_all", write_all)
            with pytest.raises(DiskFullError):
                fetch(origin.url("/file.bin"), tmp_path, most_fetchers=1)  # from the first byte on
        assert sorted(path.name for path in tmp_path.iterdir()) == ["file.bin.part", "file.bin.part.shoal"]
        done = fetch(origin.url("/file.bin"), tmp_path)
        assert done.path.read_bytes() == BODY
        assert done.resumed > 3 * MIB


def test_a_second_download_of_the_same_file_is_refused(tmp_path: Path) -> None:
    is_begun, refused = asyncio.Event(), threading.Event()

    def look(progress: Progress) -> None:
        if progress.here:
            is_begun.set()

    async def story(url: str) -> None:
        one = asyncio.ensure_future(download(Wanted((url,), tmp_path), on_progress=look))
        async with asyncio.timeout(60):
            await is_begun.wait()
        with pytest.raises(Exception, match="another"):
            await download(Wanted((url,), tmp_path))
        refused.set()
        done = await one
        assert isinstance(done, Downloaded) and done.path.read_bytes() == BODY

    with HostileOrigin() as origin:
        origin.pages["/file.bin"] = Page(BODY, rate=lambda: 64 * MIB if refused.is_set() else 64 * KIB)
        asyncio.run(story(origin.url("/file.bin")))
