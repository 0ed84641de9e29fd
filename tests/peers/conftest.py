"""Torrents by us and by libtorrent, made once; and a pen for processes, empty again after each test."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from .payloads import PIECE_LENGTH, Offer, write_folder, write_single
from .processes import ROOT, Pen
from .programs import LIBTORRENT

MakeOffer = Callable[..., Offer]

OFFERS = {  # of the the matrix, by name: (maker, format, is it a folder?)
    "our v1 file": ("shoal", "v1", False),
    "our v1 folder": ("shoal", "v1", True),
    "our hybrid file": ("shoal", "hybrid", False),
    "our hybrid folder": ("shoal", "hybrid", True),
    "libtorrent's v1 folder": ("libtorrent", "v1", True),
    "libtorrent's hybrid file": ("libtorrent", "hybrid", False),
    "libtorrent's hybrid folder": ("libtorrent", "hybrid", True),
}


@pytest.fixture
def pen(tmp_path: Path) -> Iterator[Pen]:
    pen = Pen(tmp_path)
    yield pen
    pen.close()


@pytest.fixture(scope="session")
def payload_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the single file and the folder that most torrents are made of. Nobody writes to it."""
    root = tmp_path_factory.mktemp("payload")
    write_single(root)
    write_folder(root)
    return root


@pytest.fixture(scope="session")
def make_offer(tmp_path_factory: pytest.TempPathFactory) -> MakeOffer:
    """`make_offer(path)`: a torrent of `path` by ours, or by libtorrent with `maker="libtorrent"`."""
    folder = tmp_path_factory.mktemp("torrents")

    def make(path: Path, *options: str, maker: str = "shoal", kind: str = "v1") -> Offer:
        torrent = folder / f"{sum(1 for _ in folder.iterdir())}.torrent"
        command: list[str | Path] = [sys.executable, "-P"]
        if maker == "shoal":
            command += ["-m", "shoal", "create", path, "-o", torrent, "--format", kind]
            command += ["--piece-length", str(PIECE_LENGTH), *options]
        else:
            pytest.importorskip("libtorrent")
            web_seeds = options[1:] if options[:1] == ("--web-seed",) else ()
            command += [LIBTORRENT, "--create", kind, path, torrent, *web_seeds]
        environment = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
        subprocess.run(command, env=environment, check=True, capture_output=True)
        return Offer(torrent, path.parent)

    return make


@pytest.fixture
def offer(request: pytest.FixtureRequest, payload_root: Path, make_offer: MakeOffer) -> Offer:
    """The torrent of that name; a small v1 file for tests that name none."""
    maker, kind, is_folder = OFFERS[getattr(request, "param", "our v1 file")]
    path = next(entry for entry in sorted(payload_root.iterdir()) if entry.is_dir() == is_folder)
    return make_offer(path, maker=maker, kind=kind)
