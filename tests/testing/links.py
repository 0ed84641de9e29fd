"""The least network: one seed, one leecher, and the link between them."""

from __future__ import annotations

from shoal.formats.bitfield import all_bits
from shoal.formats.layout import Layout
from shoal.testing.simulation import Host, Network
from shoal.units import KIB, MIB

PIECE_LENGTH = 64 * KIB
LAYOUT = Layout(PIECE_LENGTH, [128 * PIECE_LENGTH])
SIZE = LAYOUT.total_size
ALL = all_bits(LAYOUT.piece_count)


def pair(net: Network, **links: float) -> tuple[Host, Host]:
    """A seed with these links, and a leecher with a wide one."""
    seed = net.add("seed", have=ALL, **links)  # type: ignore[arg-type]
    leecher = net.add("leecher", up=8 * MIB, down=8 * MIB)
    net.connect_all()
    return seed, leecher
