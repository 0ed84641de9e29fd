"""What one process of ours holds in memory with many peers connected: once as seed, once as leecher."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.harness import ROOT, ProcessFailed, peak_memory_of, wait_process
from bench.peers.ends import HERE, Program, Scene, environment, running_seed, stop, told_address
from shoal.units import MIB

MOST_MEMORY = 256 * MIB  # resident, with 200 peers
SEEDING = 10.0  # seconds of random requests by all of them


def measure_memory(shoal: Program, scene: Scene, peer_count: int) -> int:
    """Print both peaks; an exit code."""
    peaks = {"seed": _of_a_seed(shoal, scene, peer_count), "leecher": _of_a_leecher(shoal, scene, peer_count)}
    for end, peak in peaks.items():
        verdict = "yes" if peak <= MOST_MEMORY else "NO "
        wanted = f"no more than {MOST_MEMORY // MIB}"
        print(f"{verdict}  {end} with {peer_count} peers: {peak / MIB:.0f} MiB resident at most; {wanted}")
    return 0


def _of_a_seed(shoal: Program, scene: Scene, peer_count: int) -> int:
    with running_seed(shoal, scene) as seed, _crowd("leechers", seed.address, scene, peer_count):
        time.sleep(SEEDING)
        return peak_memory_of(seed.pid)


def _of_a_leecher(shoal: Program, scene: Scene, peer_count: int) -> int:
    folder = scene.folder / "download"
    nobody = "127.0.0.1:1"  # a port where nobody listens: all peers of this one come to it
    command = [part for part in shoal.get(scene, folder, nobody) if part != "--quiet"]
    started_at = time.perf_counter()
    leecher = subprocess.Popen(
        command,
        cwd=ROOT,
        env=environment(scene.folder / "leecher-state"),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    try:
        with _crowd("seeds", told_address(leecher), scene, peer_count):
            return wait_process(leecher, started_at).peak_memory
    finally:
        stop(leecher)


@contextmanager
def _crowd(verb: str, address: str, scene: Scene, count: int) -> Iterator[None]:
    """All of the crowd connected, for the length of the block. Raises `ProcessFailed`."""
    command: list[str | Path] = [HERE / "crowd.py", verb, address, scene.torrent, scene.payload, str(count)]
    crowd = subprocess.Popen(
        [sys.executable, "-P", *command],
        env=environment(scene.folder / "crowd-state"),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert crowd.stdin is not None and crowd.stdout is not None
    try:
        if crowd.stdout.readline() != b"connected\n" and verb == "leechers":
            raise ProcessFailed(f"the crowd of {count} could not connect")
        yield
    finally:
        crowd.stdin.close()
        stop(crowd)
