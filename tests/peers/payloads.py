"""What the test torrents hold, and who made them."""

from __future__ import annotations

import filecmp
import shutil
from dataclasses import dataclass
from pathlib import Path

from shoal.formats.metainfo import Metainfo, parse_metainfo
from shoal.testing.build import make_payload
from shoal.units import KIB, MIB

PIECE_LENGTH = 64 * KIB

SINGLE = "single ü.bin"  # its last piece is short, and its last block
SINGLE_SIZE = 3 * MIB + 4321

FOLDER = "Ordner – 文件"
FOLDER_SIZES = {
    "a first.bin": 1 * MIB + 17,
    "empty.txt": 0,
    "nested/deep/er/exact.bin": 3 * PIECE_LENGTH,
    "nested/ünïcödé 名前.bin": 300_001,
    "nested/zero": 0,
    "one byte": 1,
    "z last.bin": 777,
}


@dataclass(frozen=True, slots=True)
class Offer:
    """A torrent and a folder that holds its payload."""

    torrent: Path
    root: Path

    @property
    def metainfo(self) -> Metainfo:
        return parse_metainfo(self.torrent.read_bytes())

    @property
    def info_hash(self) -> bytes:
        return self.metainfo.wire_hash

    @property
    def paths(self) -> list[Path]:
        """Where the files are, below any root; without padding."""
        metainfo = self.metainfo
        return [
            Path(*metainfo.disk_path(index))
            for index, file in enumerate(metainfo.files)
            if not file.is_padding
        ]

    def is_copied_to(self, folder: Path, *, with_empty: bool = True) -> bool:
        """Whether all files are there with the same bytes; Transmission 3.00 makes no empty ones."""
        filecmp.clear_cache()
        return all(
            (folder / path).is_file() and filecmp.cmp(self.root / path, folder / path, shallow=False)
            for path in self.paths
            if with_empty or (self.root / path).stat().st_size
        )

    def copy_to(self, folder: Path) -> None:
        """Lay the payload out for a program of others, with padding files: most do not know what those are."""
        for path in self.paths:
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(self.root / path, folder / path)
        for index, file in enumerate(self.metainfo.files):
            if file.is_padding:
                path = folder / Path(*self.metainfo.disk_path(index))
                path.parent.mkdir(exist_ok=True)
                path.write_bytes(bytes(file.size))


def write_single(root: Path, size: int = SINGLE_SIZE) -> Path:
    path = root / SINGLE
    path.write_bytes(make_payload(size, seed=1))
    return path


def write_folder(root: Path) -> Path:
    for seed, (name, size) in enumerate(FOLDER_SIZES.items()):
        path = root / FOLDER / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(make_payload(size, seed))
    return root / FOLDER
