from __future__ import annotations

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shoal.formats.bitfield import run_mask
from shoal.formats.magnet import (
    MAX_FILE_INDEX,
    MAX_MAGNET_LENGTH,
    MAX_PEERS,
    Magnet,
    MagnetError,
    encode_magnet,
    magnet_of,
    parse_magnet,
)
from shoal.formats.metainfo import parse_metainfo

from .torrents import BLOCK, make

HASH = "c352cdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcd"
LINK = f"magnet:?xt=urn:btih:{HASH}"

printable = st.text(st.characters(categories=("L", "N", "P", "S")), max_size=20).filter(str.isprintable)
hosts = st.ip_addresses().map(str) | st.text(string.ascii_lowercase + "0123456789-.", min_size=1, max_size=20)
addresses = st.lists(st.tuples(hosts, st.integers(1, 65535)), max_size=4, unique=True).map(tuple)
paths = st.text(string.ascii_letters + "/%?&=+#", max_size=20)
magnets = st.builds(
    Magnet,
    info_hash_v1=st.binary(min_size=20, max_size=20) | st.none(),
    info_hash_v2=st.binary(min_size=32, max_size=32) | st.none(),
    name=printable,
    trackers=st.lists(paths.map("udp://t:1/{}".format), max_size=4, unique=True).map(tuple),
    web_seeds=st.lists(paths.map("https://w/{}".format), max_size=4, unique=True).map(tuple),
    peers=addresses,
    dht_nodes=addresses,
    selected_files=st.integers(0, 2**70),
).filter(lambda magnet: bool(magnet.info_hash_v1 or magnet.info_hash_v2))


@given(magnets)
def test_a_link_says_what_it_was_made_of(magnet: Magnet) -> None:
    assert parse_magnet(encode_magnet(magnet)) == magnet


@given(st.text(max_size=200))
def test_text_that_names_no_torrent_gives_the_named_error(text: str) -> None:
    for uri in (text, "magnet:?" + text):
        with pytest.raises(MagnetError):
            parse_magnet(uri)


@given(st.text(st.characters(codec="utf-8"), max_size=200).filter(lambda text: "xt" not in text.lower()))
def test_nothing_beside_the_hash_makes_a_link_bad(text: str) -> None:
    assert parse_magnet(f"{LINK}&{text}").info_hash_v1 == bytes.fromhex(HASH)


def test_base32_upper_case_and_numbered_parameters() -> None:
    assert parse_magnet("MAGNET:?xt.1=urn:btih:mfrgcytbmjqweylcmfrgcytbmjqweylc").info_hash_v1 == b"ab" * 10
    assert parse_magnet(
        f"{LINK.upper()[:7]}?XT=urn:btih:{HASH.upper()}&tr.1=udp://a:1&tr.2=udp://b:1"
    ) == Magnet(info_hash_v1=bytes.fromhex(HASH), trackers=("udp://a:1", "udp://b:1"))


def test_a_plus_is_a_blank_in_names_only() -> None:
    magnet = parse_magnet(f"{LINK}&dn=a+b%2Bc&tr=http://t/a+b")
    assert magnet.name == "a b+c"
    assert magnet.trackers == ("http://t/a+b",)


def test_offers_that_cannot_be_used_are_left_out() -> None:
    magnet = parse_magnet(
        f"{LINK}&tr=&tr=nonsense&ws=udp://a:1&x.pe=a:0&x.pe=a:70000&x.pe=a&x.pe=[::1]:2&x.pe=b:1&x.pe=b:1&unknown=1&&="
    )
    assert magnet == Magnet(info_hash_v1=bytes.fromhex(HASH), peers=(("::1", 2), ("b", 1)))


@pytest.mark.parametrize(
    ("so", "selected"),
    [
        ("0,2,4,6-8", 0b1_1101_0101),
        ("3", 0b1000),
        ("7-4,-4,3-,x,,1", 0b10),
        (f"{MAX_FILE_INDEX + 1},0-{MAX_FILE_INDEX + 1},{10**9},{10**99}", 0),
    ],
)
def test_a_selection_of_files_is_a_bit_each_and_bounded(so: str, selected: int) -> None:
    assert parse_magnet(f"{LINK}&so={so}").selected_files == selected


def test_the_last_file_that_can_be_selected() -> None:
    magnet = parse_magnet(f"{LINK}&so={MAX_FILE_INDEX}")
    assert magnet.selected_files.bit_length() == MAX_FILE_INDEX + 1
    assert encode_magnet(magnet).endswith(f"&so={MAX_FILE_INDEX}")
    assert repr(magnet)


def test_many_peers_and_long_links_have_limits() -> None:
    many = "&x.pe=".join(f"h:{port}" for port in range(1, 1000))
    assert len(parse_magnet(f"{LINK}&x.pe={many}").peers) == MAX_PEERS
    with pytest.raises(MagnetError, match=f"a magnet link of 65537 characters, where {MAX_MAGNET_LENGTH}"):
        parse_magnet(LINK.ljust(MAX_MAGNET_LENGTH + 1, "&"))


@pytest.mark.parametrize(
    ("uri", "message"),
    [
        ("", "'' does not begin with 'magnet:?'"),
        ("http://example.com/some/long/path", "'http://example.com/s' does not begin with 'magnet:?'"),
        ("magnet:?dn=x", "the magnet link has no 'xt=urn:btih:...' or 'xt=urn:btmh:...'"),
        ("magnet:?xt=urn:btih:abc", "'abc' is no info hash of 40 hex or 32 base32 digits"),
        ("magnet:?xt=urn:btmh:1220ab", "'1220ab' is no info hash of '1220' and 64 hex digits"),
        (f"{LINK}%0A", f"'{HASH} ' is no info hash of 40 hex or 32 base32 digits"),
        (f"{LINK}&xt=urn:btih:%1B", "'\ufffd' is no info hash of 40 hex or 32 base32 digits"),
        (f"{LINK}&dn=\udcff", "the magnet link is not text in UTF-8"),
    ],
)
def test_a_link_that_names_no_torrent_is_refused(uri: str, message: str) -> None:
    with pytest.raises(MagnetError) as caught:
        parse_magnet(uri)
    assert str(caught.value) == message


def test_the_link_to_a_torrent_names_both_hashes_and_all_trackers() -> None:
    made = make(
        "x y", {("x y",): b"data"}, BLOCK, "hybrid", trackers=[["http://a/", "http://b/"], ["udp://c:1"]]
    )
    metainfo = parse_metainfo(made.data)
    assert parse_magnet(magnet_of(metainfo)) == Magnet(
        info_hash_v1=metainfo.info_hash_v1,
        info_hash_v2=metainfo.info_hash_v2,
        name="x y",
        trackers=("http://a/", "http://b/", "udp://c:1"),
    )


def test_runs_of_files_are_written_short() -> None:
    magnet = Magnet(info_hash_v1=bytes(20), selected_files=run_mask(0, 1) | run_mask(4, 3) | run_mask(9, 2))
    assert encode_magnet(magnet).endswith("&so=0,4-6,9-10")
