"""Ours and every other program, face to face: who seeds, who gets, whose torrent."""

from __future__ import annotations

import pytest

from .conftest import OFFERS
from .payloads import Offer
from .processes import Pen
from .programs import CLIENTS, shoal_get, shoal_seed

pytestmark = pytest.mark.peers

# Who can take part in which torrent. Of a hybrid one aria2 1.36 computes another info hash (it drops the empty keys
# of a file tree), and Transmission 3.00 refuses the file. Transmission takes over ten seconds for anything, so it is
# asked for once each way.
PAIRS = [
    *(("libtorrent", offer) for offer in OFFERS),
    *(("aria2", offer) for offer in OFFERS if "v1" in offer),
    ("transmission", "our v1 folder"),
]
each_pair = pytest.mark.parametrize(
    ("client", "offer"), PAIRS, ids=lambda name: name.replace(" ", "-"), indirect=["offer"]
)


@each_pair
def test_we_get_from_them(client: str, offer: Offer, pen: Pen) -> None:
    theirs, ours = pen.make_folder("theirs"), pen.make_folder("ours")
    offer.copy_to(theirs)
    _, address = CLIENTS[client](pen, offer, theirs, True)
    shoal_get(pen, offer.torrent, ours, dial=address).wait_success()
    assert offer.is_copied_to(ours)


@each_pair
def test_they_get_from_us(client: str, offer: Offer, pen: Pen) -> None:
    theirs = pen.make_folder("theirs")
    running, address = CLIENTS[client](pen, offer, theirs, False)
    shoal_seed(pen, offer, dial=address)
    with_empty = client != "transmission"
    running.wait_until(lambda: offer.is_copied_to(theirs, with_empty=with_empty), "equal copy")
