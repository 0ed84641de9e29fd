"""Swarms of real processes: programs mixed, and peers that have only parts."""

from __future__ import annotations

from pathlib import Path

import pytest

from shoal.units import MIB

from .conftest import MakeOffer
from .payloads import PIECE_LENGTH, write_single
from .processes import Pen, listed
from .programs import aria2, libtorrent, shoal_get, shoal_seed, shoal_tracker

pytestmark = pytest.mark.peers

SIZE = 20 * MIB + 12_345
PARTS = 3


def test_one_seed_of_ours_and_leechers_of_all_kinds(make_offer: MakeOffer, pen: Pen) -> None:
    source = write_single(pen.make_folder("source"), SIZE)
    info_hash = make_offer(source).info_hash
    url = shoal_tracker(pen, info_hash)
    offer = make_offer(source, "--tracker", url)
    seed, _ = shoal_seed(pen, offer)
    seed.wait_until(lambda: listed(url, info_hash) == (1, 0), "seed listed by the tracker")
    folders = [pen.make_folder(name) for name in ("libtorrent", "aria2", "ours-a", "ours-b")]
    ours = [shoal_get(pen, offer.torrent, folder) for folder in folders[2:]]
    theirs = [
        client(pen, offer, folder, False)[0]
        for client, folder in zip((libtorrent, aria2), folders[:2], strict=True)
    ]
    for running in ours:
        running.wait_success()
    for running, folder in zip(theirs, folders[:2], strict=True):
        running.wait_until(lambda folder=folder: offer.is_copied_to(folder), "equal copy")
    assert all(offer.is_copied_to(folder) for folder in folders)


@pytest.mark.parametrize("stranger", ["ours", "libtorrent"])
def test_three_with_different_parts_and_no_seed_complete_each_other(
    stranger: str, make_offer: MakeOffer, pen: Pen
) -> None:
    source = write_single(pen.make_folder("source"), 6 * MIB + 777)
    offer = make_offer(source)
    folders = [pen.make_folder(f"part-{part}") for part in range(PARTS)]
    for part, folder in enumerate(folders):
        copy_pieces(source, folder / source.name, part)
    if stranger == "libtorrent":
        first, address = libtorrent(pen, offer, folders[0], False)
    else:
        first = shoal_get(pen, offer.torrent, folders[0], "--seed-time", "60")
        address = first.line_after("listening on ")
    second = shoal_get(pen, offer.torrent, folders[1], "--seed-time", "60", dial=address)
    second_address = second.line_after("listening on ")
    third = shoal_get(
        pen, offer.torrent, folders[2], "--seed-time", "60", "--peer", second_address, dial=address
    )
    for running, folder in zip((first, second, third), folders, strict=True):
        running.wait_until(lambda folder=folder: offer.is_copied_to(folder), "equal copy")


def copy_pieces(source: Path, target: Path, part: int) -> None:
    """Every `PARTS`-th piece, beginning with number `part`; the others are holes."""
    data = source.read_bytes()
    with target.open("wb") as file:
        for offset in range(part * PIECE_LENGTH, len(data), PARTS * PIECE_LENGTH):
            file.seek(offset)
            file.write(data[offset : offset + PIECE_LENGTH])
        file.truncate(len(data))


def test_three_parts_cover_all_and_none_of_them_does(tmp_path: Path) -> None:
    source = write_single(tmp_path, 5 * PIECE_LENGTH + 1)
    copies = []
    for part in range(PARTS):
        copy_pieces(source, tmp_path / str(part), part)
        copies.append((tmp_path / str(part)).read_bytes())
    assert bytes(max(values) for values in zip(*copies, strict=True)) == source.read_bytes()
    assert source.read_bytes() not in copies
