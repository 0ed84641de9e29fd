"""The allowed fast set (BEP 6)."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shoal.protocol.peer.allowed_fast import ALLOWED_FAST_COUNT, allowed_fast_set

CORPORA = Path(os.environ.get("SHOAL_CORPORA", Path(__file__).parents[3] / "shared/corpora"))
INFO_HASH = b"\xaa" * 20


def test_the_example_of_bep_6() -> None:
    expected = [1059, 431, 808, 1217, 287, 376, 1188, 353, 508]
    assert allowed_fast_set("80.4.4.200", INFO_HASH, 1313, 7) == expected[:7]
    assert allowed_fast_set("80.4.4.200", INFO_HASH, 1313, 9) == expected


@given(st.ip_addresses(v=4), st.binary(min_size=20, max_size=20), st.integers(0, 5000), st.integers(0, 20))
def test_the_set_has_distinct_pieces_of_the_torrent(
    ip: object, info_hash: bytes, piece_count: int, count: int
) -> None:
    pieces = allowed_fast_set(str(ip), info_hash, piece_count, count)
    assert len(pieces) == len(set(pieces)) == min(count, piece_count)
    assert all(0 <= piece < piece_count for piece in pieces)


def test_neighbours_share_one_set() -> None:
    assert allowed_fast_set("192.0.2.1", INFO_HASH, 1000) == allowed_fast_set("192.0.2.254", INFO_HASH, 1000)
    assert allowed_fast_set("192.0.2.1", INFO_HASH, 1000) != allowed_fast_set("192.0.3.1", INFO_HASH, 1000)


def test_ipv6_has_no_set() -> None:
    assert allowed_fast_set("2001:db8::1", INFO_HASH, 1000) == []


def test_the_usual_size_is_ten() -> None:
    assert len(allowed_fast_set("192.0.2.1", INFO_HASH, 1000)) == ALLOWED_FAST_COUNT == 10


@pytest.mark.corpora
@pytest.mark.skipif(not CORPORA.is_dir(), reason="no conformance data (set SHOAL_CORPORA)")
def test_the_sets_agree_with_those_of_other_programs() -> None:
    cases = json.loads((CORPORA / "vectors/beps.json").read_text())["bep6_allowed_fast"]
    assert cases
    for case in cases:
        info_hash = bytes.fromhex(case["info_hash"])
        assert allowed_fast_set(case["ip"], info_hash, case["pieces"], case["k"]) == case["set"]
