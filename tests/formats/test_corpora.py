"""The conformance data: every torrent and vector behaves as listed there, but for exceptions named here."""

from __future__ import annotations

from typing import Any

import pytest

from shoal.errors import FormatError
from shoal.formats.bencode import BencodeError, decode, encode
from shoal.formats.magnet import Magnet, MagnetError, encode_magnet, parse_magnet
from shoal.formats.metainfo import Metainfo, MetainfoError, parse_metainfo
from shoal.formats.safe_names import MAX_NAME_LENGTH, safe_name, safe_path, unique_paths

from .conformance import CORPORA, load, raw

pytestmark = [
    pytest.mark.corpora,
    pytest.mark.skipif(not CORPORA.is_dir(), reason=f"no conformance data at {CORPORA}: set SHOAL_CORPORA"),
]

TORRENTS = {torrent["file"]: torrent for torrent in load("torrents.json")}
VALID = {file: torrent for file, torrent in TORRENTS.items() if torrent["expect"] == "valid"}
INVALID = {file: torrent for file, torrent in TORRENTS.items() if torrent["expect"] == "invalid"}
BENCODE = load("vectors/bencode.json").get("cases", [])
MAGNETS = load("vectors/magnet.json")
PATHS = load("vectors/paths.json")

# Listed as valid, refused by us: what a BEP says stands above it.
REFUSED_BY_BEP = {
    "libtorrent--v2_incomplete_piece_layer.torrent": (
        "BEP 52: a piece layer for every file longer than a piece, else the torrent is not valid",
        "piece layers: '5b9566a4d5301882644c1c6a083cb05f07f6370f887d35424a3d50e6d0559a3b' is missing",
    ),
}
# Web seeds that we tell as they are written; BEP 19 has the client add a folder's slash when it asks.
WEB_SEEDS_AS_WRITTEN = {"libtorrent--url_seed_multi_space_nolist.torrent"}
# Paths of an empty element: we leave it out, as another project's torrents of the same data ask for.
EMPTY_ELEMENT_LEFT_OUT = {"_/abc": "abc"}


def parse(file: str) -> Metainfo:
    return parse_metainfo((CORPORA / "torrents" / file).read_bytes(), source=file)


# ---- torrents


@pytest.mark.parametrize("file", sorted(VALID.keys() - REFUSED_BY_BEP))
def test_a_valid_torrent_is_read_as_listed(file: str) -> None:
    listed = TORRENTS[file]
    metainfo = parse(file)
    is_v1, is_v2 = "v1_files" in listed, "v2_files" in listed
    assert metainfo.info_hash_v1 == (bytes.fromhex(listed["sha1_info"]) if is_v1 else None)
    assert metainfo.info_hash_v2 == (bytes.fromhex(listed["sha256_info"]) if is_v2 else None)
    assert metainfo.piece_length == listed["piece_length"]
    assert metainfo.name == safe_name(raw(listed["name"]))
    if is_v1:
        assert metainfo.layout.total_size == listed["v1_total_length"]
        assert len(metainfo.files) == listed["v1_files"]
        assert metainfo.layout.piece_count == -(-listed["v1_total_length"] // listed["piece_length"])
    if is_v2:
        assert metainfo.payload_size == listed["v2_total_length"]
        assert sum(not f.is_padding for f in metainfo.files) == listed["v2_files"]
    check_asserts(metainfo, file, listed.get("asserts", {}))


def check_asserts(metainfo: Metainfo, file: str, asserts: dict[str, Any]) -> None:
    """What the torrent's own project says of it. Paths need only be safe, which `disk_paths` sees to."""
    trackers = [url for tier in metainfo.trackers for url in tier]
    if "announce" in asserts:
        assert trackers == asserts["announce"]
    if "trackers[0]" in asserts:
        assert trackers[0] == asserts["trackers[0]"]
    if "url_seeds_count" in asserts:
        assert len(metainfo.web_seeds) == asserts["url_seeds_count"]
    web_seeds = asserts.get("url_list", asserts.get("url_seeds"))
    if web_seeds is not None:
        slash = "/" if file in WEB_SEEDS_AS_WRITTEN else ""
        assert [url + slash for url in metainfo.web_seeds] == web_seeds
    if "num_files" in asserts and isinstance(asserts["num_files"], int):
        assert len(metainfo.files) == asserts["num_files"]
    if "length" in asserts:
        assert metainfo.payload_size == asserts["length"]
    if "root[0]" in asserts:
        assert metainfo.files[0].pieces_root == bytes.fromhex(asserts["root[0]"])
    for key in ("private", "creation_date", "piece_length"):
        if key in asserts:
            told = {
                "private": metainfo.is_private,
                "creation_date": metainfo.creation_date,
                "piece_length": metainfo.piece_length,
            }
            assert told[key] == asserts[key]
    for index, path in enumerate(disk_paths(metainfo)):
        expected = asserts.get(f"renamed[{index}]", asserts.get(f"path[{index}]"))
        if expected is not None:
            assert path == expected


def disk_paths(metainfo: Metainfo) -> list[str]:
    """Where the files would lie, all of them safe and different."""
    paths = [metainfo.disk_path(index) for index in range(len(metainfo.files))]
    assert not any(element in ("", ".", "..") or "/" in element for path in paths for element in path)
    kept = [path for path, file in zip(paths, metainfo.files, strict=True) if file.is_on_disk]
    assert len({tuple(element.casefold() for element in path) for path in kept}) == len(kept)
    return ["/".join(path) for path in paths]


@pytest.mark.parametrize("file", INVALID)
def test_an_invalid_torrent_is_refused_in_one_line_that_names_it(file: str) -> None:
    with pytest.raises(MetainfoError) as caught:
        parse(file)
    assert str(caught.value).startswith(f"{file}: ")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("file", REFUSED_BY_BEP)
def test_a_torrent_that_a_bep_forbids_is_refused_for_that_reason(file: str) -> None:
    with pytest.raises(MetainfoError) as caught:
        parse(file)
    assert str(caught.value) == f"{file}: {REFUSED_BY_BEP[file][1]}"


def test_every_torrent_of_the_data_is_listed() -> None:
    assert {path.name for path in (CORPORA / "torrents").glob("*.torrent")} == set(TORRENTS)


# ---- bencode


@pytest.mark.parametrize(
    "case", [case for case in BENCODE if "hex" in case], ids=lambda case: case["hex"][:60]
)
def test_bencode_is_accepted_or_refused_as_the_canonical_form_has_it(case: dict[str, Any]) -> None:
    data = bytes.fromhex(case["hex"])
    if case["strict"] == "accept":
        assert encode(decode(data)) == data
        if isinstance(case.get("value"), int):
            assert decode(data) == case["value"]
    else:
        with pytest.raises(BencodeError):
            decode(data)


GENERATED = {
    "'l'*5000 + 'e'*5000": b"l" * 5000 + b"e" * 5000,
    "'i' + digits without end, streamed (64 MB)": b"i" + b"7" * 64_000_000,
}


@pytest.mark.parametrize("generator", [case["generator"] for case in BENCODE if "generator" in case])
def test_generated_bencode_is_refused(generator: str) -> None:
    with pytest.raises(BencodeError):
        decode(GENERATED[generator])


# ---- magnets


@pytest.mark.parametrize("case", MAGNETS.get("cases", []), ids=lambda case: case["uri"][:60])
def test_a_magnet_is_read_as_listed(case: dict[str, Any]) -> None:
    if case["expect"] != "ok":
        with pytest.raises(MagnetError):
            parse_magnet(case["uri"])
        return
    magnet = parse_magnet(case["uri"])
    selection = f"{magnet.selected_files:b}"[::-1].translate({ord("0"): "n", ord("1"): "y"})
    told: dict[str, object] = {
        "v1": magnet.info_hash_v1.hex() if magnet.info_hash_v1 else None,
        "v2": magnet.info_hash_v2.hex() if magnet.info_hash_v2 else None,
        "name": magnet.name,
        "trackers": list(magnet.trackers),
        "url_seeds": list(magnet.web_seeds),
        "dht_nodes": [f"{host}:{port}" for host, port in magnet.dht_nodes],
        "file_selection": selection if magnet.selected_files else "",
    }
    assert {key: value for key, value in told.items() if key in case} == {
        key: value for key, value in case.items() if key in told
    }
    assert parse_magnet(encode_magnet(magnet)) == magnet


@pytest.mark.parametrize("case", MAGNETS.get("makers", []), ids=lambda case: case["magnet"][:60])
def test_a_magnet_is_written_as_listed(case: dict[str, str]) -> None:
    hashes = [bytes.fromhex(case[key]) if key in case else None for key in ("v1", "v2")]
    assert encode_magnet(Magnet(*hashes)) == case["magnet"]


# ---- paths


@pytest.mark.parametrize("case", PATHS.get("sanitise", []), ids=lambda case: case["posix"])
@pytest.mark.parametrize("system", ["posix", "windows"])
def test_path_elements_are_made_safe_as_listed(case: dict[str, Any], system: str) -> None:
    path = safe_path([raw(element) for element in case["elements"]], windows=system == "windows")
    expected = case.get(system)
    if expected is None or expected.startswith("each element cut"):
        assert all(0 < len(element.encode()) <= MAX_NAME_LENGTH for element in path)
    elif system == "windows":
        assert "/".join(element for element in path if element != "_") == expected
    else:
        assert "/".join(path) == EMPTY_ELEMENT_LEFT_OUT.get(expected, expected)


@pytest.mark.parametrize("case", PATHS.get("traversal_detect", []), ids=lambda case: repr(case["path"]))
def test_a_path_that_climbs_or_hides_does_not_survive(case: dict[str, Any]) -> None:
    path = case["path"]
    assert ("/".join(safe_path([element.encode() for element in path.split("/")])) == path) != case[
        "traversal"
    ]


@pytest.mark.parametrize("case", PATHS.get("portable_names", []), ids=lambda case: repr(case["name"]))
def test_a_name_is_kept_where_it_is_portable(case: dict[str, Any]) -> None:
    name = case["name"]
    assert (safe_name(name.encode(), windows=False) == name) == (case["portable_on"] != "none")
    if case["portable_on"] == "all":
        assert safe_name(name.encode(), windows=True) == name


@pytest.mark.parametrize(
    "case", PATHS.get("whole_torrents", []), ids=lambda case: case.get("note", "climbing name")
)
def test_names_in_whole_torrents(case: dict[str, str]) -> None:
    data = case["torrent"].encode()
    if case["expect"] == "invalid":
        with pytest.raises(MetainfoError):
            parse_metainfo(data)
    else:
        disk_paths(parse_metainfo(data))


@pytest.mark.parametrize("case", PATHS.get("info_names", []), ids=lambda case: case["name.utf-8"])
def test_the_torrent_name_is_one_element(case: dict[str, str]) -> None:
    assert safe_name(case["name.utf-8"].encode()) == case["result"]


@pytest.mark.parametrize("pairs", PATHS.get("duplicate_resolution(case-insensitive, dirs win)", []), ids=str)
def test_duplicates_are_resolved_as_listed(pairs: list[list[str]]) -> None:
    unique = unique_paths([tuple(path.split("/")) for path, _ in pairs])
    assert ["/".join(path) for path in unique] == [expected for _, expected in pairs]


# One case sets a limit of its own, which ours, being fixed, has no way to take.
DEPTHS = [case for case in PATHS.get("directory_depth", []) if "limit" not in case]


@pytest.mark.parametrize("case", DEPTHS, ids=str)
def test_folders_have_a_depth(case: dict[str, Any]) -> None:
    elements = [b"a"] * case["depth"]
    if case["expect"] == "ok":
        assert len(safe_path(elements)) == case["depth"]
    else:
        with pytest.raises(FormatError, match="200 folders deep, where 100 is the limit"):
            safe_path(elements)
