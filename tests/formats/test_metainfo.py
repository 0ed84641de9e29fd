from __future__ import annotations

import random
import time
from hashlib import sha1, sha256
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shoal.formats import merkle
from shoal.formats.bencode import decode, encode
from shoal.formats.metainfo import (
    MAX_PIECE_COUNT,
    MAX_PIECE_LENGTH,
    Metainfo,
    MetainfoError,
    is_piece_good,
    parse_metainfo,
)
from shoal.formats.metainfo_build import Format

from .torrents import BLOCK, make

ALL_FORMATS: list[Format] = ["v1", "v2", "hybrid"]
FOLDER = {
    ("a", "empty"): b"",
    ("a", "small"): b"s" * 100,
    ("b",): random.Random(1).randbytes(3 * BLOCK + 5),
    ("c",): random.Random(2).randbytes(2 * BLOCK),
    ("d",): b"",
}


def v1(**changes: Any) -> dict[str, Any]:
    """A good v1 info dict of one piece, with changes; None leaves a key out."""
    info = {"name": "x", "length": 5, "piece length": BLOCK, "pieces": bytes(20)}
    changed = info | {key.replace("_", " "): value for key, value in changes.items()}
    return {key: value for key, value in changed.items() if value is not None}


def v2(**changes: Any) -> dict[str, Any]:
    """A good v2 info dict of one small file, with changes."""
    tree = {"x": {"": {"length": 5, "pieces root": sha256(b"shoal").digest()}}}
    info = {"name": "x", "piece length": BLOCK, "meta version": 2, "file tree": tree}
    return info | {key.replace("_", " "): value for key, value in changes.items()}


def parse(info: dict[str, Any], **top: Any) -> Metainfo:
    return parse_metainfo(
        encode({"info": info} | {key.replace("_", " "): value for key, value in top.items()})
    )


def refusal(info: dict[str, Any], **top: Any) -> str:
    with pytest.raises(MetainfoError) as caught:
        parse(info, **top)
    return str(caught.value)


# ---- what a torrent says


@pytest.mark.parametrize("format", ALL_FORMATS)
def test_every_format_tells_the_same_files(format: Format) -> None:
    made = make("folder", FOLDER, BLOCK, format)
    metainfo = parse_metainfo(made.data)
    files = {file.path: file.size for file in metainfo.files if not file.is_padding}
    assert files == {path: len(content) for path, content in FOLDER.items()}
    assert metainfo.name == "folder"
    assert not metainfo.is_single_file
    assert metainfo.payload_size == sum(map(len, FOLDER.values()))
    assert metainfo.layout.total_size == len(made.run)
    assert metainfo.disk_path(0) == ("folder", "a", "empty")


@pytest.mark.parametrize("format", ALL_FORMATS)
def test_a_single_file_lies_in_no_folder(format: Format) -> None:
    metainfo = parse_metainfo(make("x.bin", {("x.bin",): b"12345"}, BLOCK, format).data)
    assert metainfo.is_single_file
    assert metainfo.disk_path(0) == ("x.bin",)
    assert metainfo.files[0].size == metainfo.layout.total_size == 5


@pytest.mark.parametrize("format", ALL_FORMATS)
def test_info_hashes_are_those_of_the_bytes_in_the_file(format: Format) -> None:
    data = make("folder", FOLDER, BLOCK, format).data
    top = decode(data)
    assert isinstance(top, dict)
    info_bytes = encode(top[b"info"])
    metainfo = parse_metainfo(data + b"trailing")
    assert metainfo.info_bytes == info_bytes
    assert metainfo.info_hash_v1 == (None if format == "v2" else sha1(info_bytes).digest())
    assert metainfo.info_hash_v2 == (None if format == "v1" else sha256(info_bytes).digest())
    assert metainfo.wire_hash == (metainfo.info_hash_v1 or sha256(info_bytes).digest()[:20])


@pytest.mark.parametrize("format", ALL_FORMATS)
def test_good_pieces_are_good_and_a_changed_byte_is_noticed(format: Format) -> None:
    made = make("folder", FOLDER, BLOCK, format)
    metainfo = parse_metainfo(made.data)
    layout = metainfo.layout
    for piece in range(layout.piece_count):
        begin = layout.piece_offset(piece)
        data = bytearray(made.run[begin : begin + layout.piece_size(piece)])
        assert is_piece_good(metainfo, piece, data)
        assert is_piece_good(metainfo, piece, memoryview(data))
        assert not is_piece_good(metainfo, piece, data[:-1])
        data[0] ^= 1
        assert not is_piece_good(metainfo, piece, data)


def test_an_unsorted_v1_torrent_keeps_its_own_hash() -> None:
    info = b"d4:name1:x6:lengthi5e12:piece lengthi16384e6:pieces20:" + bytes(20) + b"e"
    metainfo = parse_metainfo(b"d4:info" + info + b"8:announce12:http://t/anne")
    assert metainfo.info_hash_v1 == sha1(info).digest()
    assert metainfo.trackers == (("http://t/ann",),)


def test_an_unsorted_v2_torrent_is_refused() -> None:
    info = encode(v2())
    with pytest.raises(MetainfoError, match=r"t\.torrent: byte \d+: key 'announce' comes after 'info'"):
        parse_metainfo(b"d4:info" + info + b"8:announce12:http://t/anne", source="t.torrent")


def test_trackers_come_in_tiers_each_once() -> None:
    tiers = [
        ["http://a/", " http://a/ ", "udp://b:1"],
        [],
        ["udp://b:1"],
        ["no url", b"\xff", 7],
        "c",
        ["http://d/"],
    ]
    assert parse(v1(), announce="http://z/", announce_list=tiers).trackers is not None
    metainfo = parse_metainfo(encode({"info": v1(), "announce": "http://z/", "announce-list": tiers}))
    assert metainfo.trackers == (("http://a/", "udp://b:1"), ("http://d/",))


def test_announce_counts_where_the_list_has_nothing() -> None:
    metainfo = parse_metainfo(encode({"info": v1(), "announce": "http://z/", "announce-list": [[]]}))
    assert metainfo.trackers == (("http://z/",),)
    assert parse(v1(), announce=7).trackers == ()


@pytest.mark.parametrize(
    ("url_list", "web_seeds"),
    [
        ("http://a/x", ("http://a/x",)),
        ("", ()),
        (["http://a/x y", "http://a/x y", "udp://a:1", -20], ("http://a/x%20y",)),
        (7, ()),
    ],
)
def test_web_seeds_are_one_url_or_a_list(url_list: object, web_seeds: tuple[str, ...]) -> None:
    assert parse_metainfo(encode({"info": v1(), "url-list": url_list})).web_seeds == web_seeds


def test_what_stands_around_is_kept_where_it_makes_sense() -> None:
    metainfo = parse(v1(private=1), comment="hé\x1b[2J", created_by=b"\xff", creation_date=1234567)
    assert metainfo.is_private
    assert metainfo.comment == "hé\ufffd[2J"
    assert metainfo.created_by == "\ufffd"
    assert metainfo.creation_date == 1234567
    plain = parse(v1(private=0), comment=7, creation_date=-5)
    assert (plain.is_private, plain.comment, plain.creation_date) == (False, "", None)


def test_utf8_twins_of_names_are_preferred() -> None:
    info = v1(length=None, files=[{"length": 5, "path": [b"\xe4"], "path.utf-8": ["ä"]}])
    metainfo = parse(info | {"name": b"\xe4", "name.utf-8": "ä"})
    assert metainfo.disk_path(0) == ("ä", "ä")


def test_attributes_of_files_are_told() -> None:
    files = [
        {"length": 5, "path": ["run"], "attr": "xh"},
        {"length": 4, "path": [".pad", "4"], "attr": "p"},
        {"path": ["link"], "attr": "l", "symlink path": ["..", "etc"]},
    ]
    run, padding, link = parse(v1(length=None, files=files)).files
    assert (run.is_executable, run.is_hidden, run.is_on_disk) == (True, True, True)
    assert (padding.is_padding, padding.is_on_disk) == (True, False)
    assert (link.is_symlink, link.size, link.is_on_disk) == (True, 0, False)


def test_two_files_of_a_name_get_each_their_own() -> None:
    files = [
        {"length": 2, "path": ["a"]},
        {"length": 1, "path": ["A"]},
        {"length": 2, "path": ["b", "..", "c"]},
    ]
    info = v1(length=None, files=files)
    assert [file.path for file in parse(info).files] == [("a",), ("A.1",), ("b", "_", "c")]
    as_made = parse_metainfo(encode({"info": info}), ignore_case=False)
    assert [file.path for file in as_made.files] == [("a",), ("A",), ("b", "_", "c")]


# ---- what is refused, and how it is told


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"name": None}, "info.name: missing"),
        ({"name": 7}, "info.name: an integer, not a string"),
        ({"name": ""}, "info.name: empty"),
        ({"piece_length": None}, "info.piece length: missing"),
        ({"piece_length": 0}, f"info.piece length: 0 is not between 1 and {MAX_PIECE_LENGTH}"),
        ({"piece_length": 2**31}, f"info.piece length: {2**31} is not between 1 and {MAX_PIECE_LENGTH}"),
        ({"piece_length": "x"}, "info.piece length: a string, not an integer"),
        ({"pieces": None}, "info.pieces: missing"),
        ({"pieces": bytes(40)}, "info.pieces: 40 bytes, but the files make pieces for 20"),
        ({"pieces": bytes(19)}, "info.pieces: 19 bytes, but the files make pieces for 20"),
        ({"length": -1}, f"info.length: -1 is not between 0 and {2**63 - 1}"),
        ({"length": 2**63}, f"info.length: {2**63} is not between 0 and {2**63 - 1}"),
        ({"length": None}, "info.length: missing"),
        ({"length": 0, "pieces": b""}, "info: all files are empty; there is nothing to share"),
        ({"length": BLOCK * 2**22 + 1}, f"info: {2**22 + 1} pieces, where {MAX_PIECE_COUNT} is the limit"),
        ({"files": {}}, "info.files: a dictionary, not a list"),
        ({"files": []}, "info: all files are empty; there is nothing to share"),
        ({"files": [7]}, "info.files[0]: an integer, not a dictionary"),
        ({"files": [{"length": 5}]}, "info.files[0].path: missing"),
        ({"files": [{"length": 5, "path": []}]}, "info.files[0].path: there is no name in it"),
        ({"files": [{"length": 5, "path": [7]}]}, "info.files[0].path: holds something that is not a string"),
        (
            {"files": [{"length": 5, "path": ["a"] * 101}]},
            "info.files[0].path: 101 folders deep, where 100 is the limit",
        ),
        (
            {"files": [{"length": 5, "path": [], "attr": "l"}]},
            "info.files[0].length: 5 is not between 0 and 0",
        ),
        (
            {"files": [{"length": 2**62, "path": ["a"]}] * 2},
            f"info: {2**63} bytes in all, where {2**63 - 1} is the limit",
        ),
    ],
)  # fmt: skip
def test_a_bad_v1_torrent_is_refused_by_place_and_value(changes: dict[str, Any], message: str) -> None:
    assert refusal(v1(**changes)) == message


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"meta_version": 3}, "info.meta version: 3 is not between 2 and 2"),
        ({"piece_length": 8192}, f"info.piece length: 8192 is not between {BLOCK} and {MAX_PIECE_LENGTH}"),
        ({"piece_length": BLOCK + 1}, f"info.piece length: {BLOCK + 1} is not a power of two"),
        ({"file_tree": []}, "info.file tree: a list, not a dictionary"),
        ({"file_tree": {}}, "info: all files are empty; there is nothing to share"),
        ({"file_tree": {"x": 7}}, "info.file tree.x: not a dictionary with a name"),
        ({"file_tree": {"": {"": {"length": 0}}}}, "info.file tree.'': not a dictionary with a name"),
        ({"file_tree": {"x": {"": 7}}}, "info.file tree.x: not a file's dictionary"),
        ({"file_tree": {"x": {"": {"length": 0}, "y": {}}}}, "info.file tree.x: a file and a folder at once"),
        ({"file_tree": {"x": {"": {}}}}, "info.file tree.x.length: missing"),
        ({"file_tree": {"x": {"": {"length": 5}}}}, "info.file tree.x.pieces root: missing"),
        (
            {"file_tree": {"x": {"": {"length": 5, "pieces root": b"ab"}}}},
            "info.file tree.x.pieces root: '6162' is not the SHA-256 of anything",
        ),
        (
            {"file_tree": {"x": {"": {"length": 5, "attr": "p"}}}},
            "info.file tree.x.attr: a v2 file tree has no padding files",
        ),
    ],
)  # fmt: skip
def test_a_bad_v2_torrent_is_refused_by_place_and_value(changes: dict[str, Any], message: str) -> None:
    assert refusal(v2(**changes)) == message


def test_a_file_tree_may_not_be_too_deep() -> None:
    tree: dict[str, Any] = {"": {"length": 0}}
    for _ in range(101):
        tree = {"a": tree}
    assert refusal(v2(file_tree=tree)) == "info.file tree.a: more than 100 folders deep"


def test_a_small_torrent_may_not_spell_out_endless_paths() -> None:
    tree: dict[str, Any] = {f"{number}": {"": {"length": 0}} for number in range(25_000)}
    for _ in range(99):
        tree = {"a": tree}
    assert refusal(v2(file_tree=tree)).startswith("info.file tree: more than 2000000 names in all")


def test_the_source_is_named_first() -> None:
    with pytest.raises(MetainfoError) as caught:
        parse_metainfo(b"d4:infoi007ee", source="ubuntu.torrent")
    assert str(caught.value) == "ubuntu.torrent: byte 7: integer '007' is not canonical"
    with pytest.raises(MetainfoError) as caught:
        parse_metainfo(encode({"info": "files"}), source="ubuntu.torrent")
    assert str(caught.value) == "ubuntu.torrent: info: a string, not a dictionary"


def layered() -> tuple[dict[str, Any], bytes, bytes]:
    """A v2 info dict of one file of three pieces, its root and its layer."""
    layer = random.Random(3).randbytes(3 * 32)
    root = merkle.layer_root(layer, BLOCK)
    return v2(file_tree={"x": {"": {"length": 2 * BLOCK + 1, "pieces root": root}}}), root, layer


def test_piece_layers_must_be_there_whole_and_true() -> None:
    info, root, layer = layered()
    told = root.hex()
    assert parse(info, piece_layers={root: layer}).piece_layers == {root: layer}
    assert refusal(info) == "piece layers: missing"
    assert refusal(info, piece_layers={}) == f"piece layers: '{told}' is missing"
    assert refusal(info, piece_layers={root: layer[:-1]}).endswith("is not a string of 96 bytes")
    assert refusal(info, piece_layers={root: bytes(96)}).endswith("do not give that root")
    other = refusal(info, piece_layers={root: layer, bytes(32): b""})
    assert other == f"piece layers: '{'00' * 32}' is the root of no file longer than a piece"


def test_a_hybrid_must_say_the_same_twice() -> None:
    made = decode(make("folder", FOLDER, BLOCK, "hybrid").data)
    assert isinstance(made, dict)
    info: Any = made[b"info"]

    def refused(files: list[Any]) -> str:
        with pytest.raises(MetainfoError) as caught:
            parse_metainfo(encode(made | {b"info": info | {b"files": files}}))
        return str(caught.value)

    files = info[b"files"]
    assert refused(files[:-1]) == "info: v1 ends where v2 has 'd' of 0 bytes"
    assert (
        refused([*files, {b"length": 0, b"path": [b"e"]}])
        == "info: v1 has 'e' of 0 bytes where v2 has no more files"
    )
    assert refused([{b"length": 0, b"path": [b"z"]}, *files[1:]]).startswith(
        "info: v1 has 'z' of 0 bytes where v2 has"
    )
    assert refused([f for f in files if b"attr" not in f]).endswith(
        "begins at 100, in the middle of a v1 piece"
    )


@given(st.binary(max_size=200))
def test_any_bytes_give_a_torrent_or_the_named_error(data: bytes) -> None:
    with pytest.raises(MetainfoError):
        parse_metainfo(data)


@given(st.data())
def test_a_damaged_torrent_gives_a_torrent_or_the_named_error(data: st.DataObject) -> None:
    good = make("folder", FOLDER, BLOCK, data.draw(st.sampled_from(ALL_FORMATS))).data
    begin = data.draw(st.integers(0, len(good)))
    end = data.draw(st.integers(begin, min(len(good), begin + 30)))
    damaged = good[:begin] + data.draw(st.binary(max_size=30)) + good[end:]
    try:
        metainfo = parse_metainfo(damaged)
    except MetainfoError:
        return
    assert metainfo.layout.total_size >= metainfo.payload_size > 0


def test_a_hundred_thousand_pieces_cost_milliseconds() -> None:
    data = encode({"info": v1(length=100_000 * BLOCK, pieces=bytes(20 * 100_000))})
    started_at = time.process_time()
    metainfo = parse_metainfo(data)
    assert time.process_time() - started_at < 0.1
    assert metainfo.layout.piece_count == 100_000
