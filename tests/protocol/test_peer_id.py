"""Peer ids: ours is well formed, those of others are named where they can be and always safe to print."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shoal.protocol.peer.peer_id import OUR_PREFIX, client_name, make_peer_id

CORPORA = Path(os.environ.get("SHOAL_CORPORA", Path(__file__).parents[3] / "shared/corpora"))
TAIL = bytes(range(100, 112))

# One-off spellings of programs that are long gone; we show them as any unknown id or version.
EXOTIC = {
    "BitLord 2.4.6-326",
    "BitLord 0.56",
    "BitComet 0.56",
    "Free Download Manager 5.1.x",
    "Free Download Manager 5.1.32",
    "LibreTorrent 1.0.33",
    "Torch Browser",
    "Generic",
    "-I%05O%08%03%01-",
}


def test_our_peer_id_names_us_and_is_otherwise_random() -> None:
    peer_id = make_peer_id(TAIL)
    assert peer_id == b"-SH0100-" + TAIL
    assert len(peer_id) == 20
    assert client_name(peer_id) == "Shoal 0.1.0"


@pytest.mark.parametrize("count", [0, 11, 13])
def test_a_peer_id_takes_exactly_twelve_random_bytes(count: int) -> None:
    with pytest.raises(ValueError, match="12 random bytes"):
        make_peer_id(bytes(count))


@pytest.mark.parametrize(
    ("prefix", "name"),
    [
        (b"-qB4650-", "qBittorrent 4.6.5"),
        (b"-DE211s-", "Deluge 2.1.1.54"),
        (b"-LT20B0-", "libtorrent 2.0.11"),
        (b"-lt0D80-", "rTorrent 0.13.8"),
        (b"-TR2940-", "Transmission 2.94"),
        (b"-TR3000-", "Transmission 3.00"),
        (b"-TR4050-", "Transmission 4.0.5"),
        (b"-TR406Z-", "Transmission 4.0.6 (Dev)"),
        (b"-UT355W-", "µTorrent 3.5.5"),
        (b"-A2\x01\xff00-", "-A2\\x01\\xff00-"),
        (b"-ZZ1234-", "ZZ 1.2.3.4"),
        (b"M7-10-0-", "BitTorrent 7.10.0"),
        (b"M4-3-6--", "BitTorrent 4.3.6"),
        (b"Q1-10-0-", "Queen Bee 1.10.0"),
        (b"T03I-----", "BitTornado 0.3.18"),
        (b"S58B-----", "Shadow 5.8.11"),
        (b"OP1234", "OP1234de"),
        (b"\x1b[2J\x07\x00\r\n", "\\x1b[2J\\x07\\x00\\r\\n"),
        (b"\0" * 8, "unknown"),
    ],
)
def test_programs_are_named(prefix: bytes, name: str) -> None:
    assert client_name((prefix + TAIL)[:20]) == name


@given(st.binary(max_size=20) | st.binary(min_size=12, max_size=12).map(lambda tail: OUR_PREFIX[:3] + tail))
def test_any_id_gives_a_short_printable_name(peer_id: bytes) -> None:
    name = client_name(peer_id)
    assert name.isprintable()
    assert 0 < len(name) <= 64


@pytest.mark.corpora
@pytest.mark.skipif(not CORPORA.is_dir(), reason="no conformance data (set SHOAL_CORPORA)")
def test_the_names_agree_with_those_that_other_programs_show() -> None:
    cases = json.loads((CORPORA / "vectors/peer_ids.json").read_text())["cases"]
    assert cases
    shown = {
        case["client"]: client_name((bytes.fromhex(case["peer_id_prefix_hex"]) + TAIL + TAIL)[:20])
        for case in cases
    }
    assert {client: name for client, name in shown.items() if client != name and client not in EXOTIC} == {}
    assert all(name.isprintable() for name in shown.values())
