"""nginx as the web seed of torrents by us and by libtorrent; and libtorrent asks it for the same URLs as we do."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from ..fetch.nginx import Nginx, nginx
from .conftest import MakeOffer
from .payloads import Offer, write_folder, write_single
from .processes import Pen
from .programs import libtorrent, shoal_get

pytestmark = pytest.mark.peers

KINDS = [("shoal", "v1"), ("shoal", "hybrid"), ("libtorrent", "v1"), ("libtorrent", "hybrid")]


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Nginx]:
    folder = tmp_path / "nginx"
    folder.mkdir()
    with nginx(folder) as running:
        write_single(running.files)
        write_folder(running.files)
        yield running


def paths_asked_for(server: Nginx) -> set[str]:
    """Whatever the case of the digits behind `%` (RFC 3986, 2.1)."""
    asked = re.findall(r" GET (\S+) ", "\n".join(server.asked()))
    return {re.sub("%..", lambda quoted: quoted[0].upper(), path) for path in asked}


def make(make_offer: MakeOffer, server: Nginx, maker: str, kind: str, is_folder: bool) -> Offer:
    path = next(entry for entry in sorted(server.files.iterdir()) if entry.is_dir() == is_folder)
    return make_offer(path, "--web-seed", f"{server.url}/", maker=maker, kind=kind)


@pytest.mark.parametrize(("maker", "kind"), KINDS)
@pytest.mark.parametrize("is_folder", [False, True], ids=["file", "folder"])
def test_we_get_it_from_the_web_seed_alone(
    maker: str, kind: str, is_folder: bool, make_offer: MakeOffer, server: Nginx, pen: Pen
) -> None:
    offer = make(make_offer, server, maker, kind, is_folder)
    ours = pen.make_folder("ours")
    running = shoal_get(pen, offer.torrent, ours)
    running.wait_success()
    assert offer.is_copied_to(ours)
    assert "from 1 web seed, every piece checked" in running.said


@pytest.mark.parametrize("is_folder", [False, True], ids=["file", "folder"])
def test_libtorrent_asks_for_the_same_urls(
    is_folder: bool, make_offer: MakeOffer, server: Nginx, pen: Pen
) -> None:
    offer = make(make_offer, server, "shoal", "v1", is_folder)
    ours, theirs = pen.make_folder("ours"), pen.make_folder("theirs")
    shoal_get(pen, offer.torrent, ours).wait_success()
    by_us = paths_asked_for(server)
    server.log.write_text("")
    running, _ = libtorrent(pen, offer, theirs, False)
    running.wait_until(lambda: offer.is_copied_to(theirs), "equal copy")
    assert paths_asked_for(server) == by_us
