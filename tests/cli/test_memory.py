"""A `get` of a GiB stays small, as does who seeds it."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

import pytest

from shoal.formats import bencode
from shoal.units import GIB, MIB

from .running import LOCAL, Running, peer, start

MOST_MEMORY = 160 * MIB  # 32 MiB of buffers, 16 MiB of cache, and the interpreter with all that is loaded


def peak_memory(running: Running) -> int:
    status = Path(f"/proc/{running.process.pid}/status").read_text()
    found = re.search(r"VmHWM:\s+(\d+) kB", status)
    assert found is not None
    return int(found[1]) * 1024


@pytest.mark.slow
@pytest.mark.parametrize("piece_length", [1 * MIB, 32 * MIB])
def test_a_gib_comes_and_goes_in_bounded_memory(tmp_path: Path, piece_length: int) -> None:
    piece_hash = hashlib.sha1(bytes(piece_length)).digest()
    info: dict[bytes, bencode.Value] = {
        b"name": b"zeros",
        b"length": GIB,
        b"piece length": piece_length,
        b"pieces": piece_hash * (GIB // piece_length),
    }
    (tmp_path / "t.torrent").write_bytes(bencode.encode({b"info": info}))
    (tmp_path / "seed").mkdir()
    with (tmp_path / "seed/zeros").open("wb") as file:
        file.truncate(GIB)
    with start(tmp_path, "seed", "t.torrent", "--dir", "seed", *LOCAL) as seed:
        command = ["get", "t.torrent", "--dir", "get", *LOCAL, *peer(seed.address()), "--seed-time", "60"]
        with start(tmp_path, *command) as get:
            get.wait_line("^got ")
            assert {"seed": peak_memory(seed), "get": peak_memory(get)}["get"] < MOST_MEMORY
            assert peak_memory(seed) < MOST_MEMORY
            assert get.stop() == 0
        assert seed.stop() == 0
    (tmp_path / "get/zeros").unlink()
