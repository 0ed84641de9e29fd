from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shoal.errors import FormatError
from shoal.formats.bencode import decode, encode
from shoal.formats.metainfo import MAX_PIECE_COUNT, MAX_PIECE_LENGTH, is_piece_good, parse_metainfo
from shoal.formats.metainfo_build import Format, arrange_files, build_metainfo, choose_piece_length
from shoal.formats.safe_names import MAX_NAME_LENGTH, safe_path
from shoal.units import GIB, KIB, MIB

from .torrents import BLOCK, Contents, make

formats: st.SearchStrategy[Format] = st.sampled_from(["v1", "v2", "hybrid"])
elements = st.text(st.characters(codec="utf-8"), min_size=1, max_size=6).filter(
    lambda name: safe_path([name.encode()], windows=False) == (name,)
)
contents = st.dictionaries(
    st.tuples(elements) | st.tuples(st.just("folder"), elements),
    st.integers(0, 3 * BLOCK).map(lambda size: random.Random(size).randbytes(size)),
    min_size=1,
    max_size=5,
).filter(lambda files: any(files.values()) and ("folder",) not in files)


@settings(max_examples=60)
@given(contents, formats, st.sampled_from([BLOCK, 2 * BLOCK]))
def test_what_is_made_parses_to_what_it_was_made_of(
    files: Contents, format: Format, piece_length: int
) -> None:
    made = make("torrent", files, piece_length, format)
    metainfo = parse_metainfo(made.data, ignore_case=False)
    assert {f.path: f.size for f in metainfo.files if f.is_on_disk} == {p: len(c) for p, c in files.items()}
    layout = metainfo.layout
    for piece in range(layout.piece_count):
        begin = layout.piece_offset(piece)
        assert is_piece_good(metainfo, piece, made.run[begin : begin + layout.piece_size(piece)])
    assert encode(decode(made.data)) == made.data


@given(formats, st.randoms(use_true_random=False))
def test_the_order_in_which_files_come_does_not_matter(format: Format, rng: random.Random) -> None:
    files = {(name,): name.encode() * 9000 for name in "badc"}
    shuffled = list(files.items())
    rng.shuffle(shuffled)
    assert make("folder", dict(shuffled), BLOCK, format) == make("folder", files, BLOCK, format)


def test_all_that_can_be_said_comes_back() -> None:
    made = make(
        "x",
        {("x",): b"data"},
        BLOCK,
        trackers=[["http://a/announce", "udp://b:1"], ["http://c/"]],
        web_seeds=["http://w/x"],
        private=True,
        comment="hé",
        created_by="Shoal",
        creation_date=1234567,
    )
    metainfo = parse_metainfo(made.data)
    assert metainfo.trackers == (("http://a/announce", "udp://b:1"), ("http://c/",))
    assert metainfo.web_seeds == ("http://w/x",)
    assert metainfo.is_private
    assert (metainfo.comment, metainfo.created_by, metainfo.creation_date) == ("hé", "Shoal", 1234567)


def test_what_is_not_said_leaves_no_trace() -> None:
    top = decode(make("x", {("x",): b"data"}, BLOCK).data)
    assert isinstance(top, dict)
    assert list(top) == [b"info"]
    assert isinstance(top[b"info"], dict)
    assert list(top[b"info"]) == [b"length", b"name", b"piece length", b"pieces"]


def test_padding_stands_only_where_a_file_would_begin_within_a_piece() -> None:
    files = [(("a",), 5), (("b",), 0), (("c",), BLOCK), (("d",), 7), (("e",), 0)]
    arranged = [(entry.path, entry.size) for entry in arrange_files(files, BLOCK, "hybrid")]
    assert arranged == [
        ((b"a",), 5),
        ((b".pad", b"16379"), 16379),
        ((b"b",), 0),
        ((b"c",), BLOCK),
        ((b"d",), 7),
        ((b"e",), 0),
    ]
    assert not any(entry.is_padding for entry in arrange_files(files, BLOCK, "v1"))


def build(**changes: Any) -> bytes:
    arguments: dict[str, Any] = {
        "name": "x",
        "files": [(("a",), 5)],
        "piece_length": BLOCK,
        "piece_hashes": bytes(20),
    }
    return build_metainfo(**(arguments | changes))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"files": [(("a",), 0)]}, "all files are empty; there is nothing to share"),
        ({"files": []}, "all files are empty; there is nothing to share"),
        ({"files": [(("a",), 5), (("a",), 5)]}, "the name 'a' is there twice, or is a folder's too"),
        ({"files": [(("a",), 5), (("a", "b"), 5)]}, "the name 'a' is there twice, or is a folder's too"),
        ({"files": [(("..", "a"), 5)]}, "the name '../a' would have to become '_/a' elsewhere"),
        ({"files": [(("a\nb",), 5)]}, r"the name 'a\nb' would have to become 'a_b' elsewhere"),
        ({"files": [(("\udcff",), 5)]}, r"the name '\xff' is not UTF-8"),
        ({"name": "a/b"}, "the name 'a/b' would have to become 'ab' elsewhere"),
        ({"name": "n" * (MAX_NAME_LENGTH + 1)}, "would have to become"),
        ({"piece_length": 0}, f"piece length 0 is not between 1 and {MAX_PIECE_LENGTH}"),
        ({"piece_length": 2 * MAX_PIECE_LENGTH}, "piece length 1073741824 is not between"),
        ({"piece_length": 1000, "format": "v2"}, f"piece length 1000 is not between {BLOCK}"),
        (
            {"piece_length": 20000, "format": "hybrid"},
            "piece length 20000 is not a power of two, as hybrid needs",
        ),
        ({"files": [(("a",), 2**40)]}, f"67108864 pieces, where {MAX_PIECE_COUNT} is the limit"),
        ({"piece_hashes": bytes(40)}, "piece hashes: 40 bytes, where the files need 20"),
    ],
)  # fmt: skip
def test_a_torrent_that_could_not_work_is_not_made(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(FormatError) as caught:
        build(**changes)
    assert message in str(caught.value)


@given(st.integers(1, 2**55))
def test_the_chosen_piece_length_is_usable(total_size: int) -> None:
    piece_length = choose_piece_length(total_size)
    assert BLOCK <= piece_length <= MAX_PIECE_LENGTH
    assert piece_length.bit_count() == 1
    if total_size <= MAX_PIECE_COUNT * MAX_PIECE_LENGTH:
        assert -(-total_size // piece_length) <= MAX_PIECE_COUNT


@pytest.mark.parametrize(
    ("total_size", "piece_length"),
    [(1, 16 * KIB), (32 * MIB, 16 * KIB), (GIB, 512 * KIB), (4 * GIB, 2 * MIB), (100 * GIB, 16 * MIB)],
)
def test_pieces_grow_with_the_payload(total_size: int, piece_length: int) -> None:
    assert choose_piece_length(total_size) == piece_length
