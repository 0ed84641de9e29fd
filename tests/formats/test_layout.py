"""The layout's arithmetic against a torrent spelled out byte by byte."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from shoal.formats.bitfield import iter_bits
from shoal.formats.layout import BLOCK_LENGTH, FileSpan, Layout

piece_lengths = st.integers(1, 40)
file_sizes = st.lists(st.integers(0, 50), min_size=1, max_size=12)


def spelled_out(sizes: list[int]) -> list[tuple[int, int]]:
    """For each byte of the torrent: its file, and its place in it."""
    return [(file_index, place) for file_index, size in enumerate(sizes) for place in range(size)]


@given(piece_lengths, file_sizes, st.data())
def test_spans_are_the_bytes_asked_for(piece_length: int, sizes: list[int], data: st.DataObject) -> None:
    layout = Layout(piece_length, sizes)
    run = spelled_out(sizes)
    offset = data.draw(st.integers(0, len(run)))
    length = data.draw(st.integers(0, len(run) - offset))
    spans = layout.spans(offset, length)
    assert all(span.length > 0 for span in spans)
    assert run[offset : offset + length] == [
        (span.file_index, span.file_offset + place) for span in spans for place in range(span.length)
    ]


@given(piece_lengths, file_sizes)
def test_pieces_cover_everything_once(piece_length: int, sizes: list[int]) -> None:
    layout = Layout(piece_length, sizes)
    assert layout.total_size == sum(sizes)
    ends = [layout.piece_offset(piece) + layout.piece_size(piece) for piece in range(layout.piece_count)]
    assert [layout.piece_offset(piece) for piece in range(layout.piece_count)] == [0, *ends][:-1]
    assert ends[-1:] == ([sum(sizes)] if sum(sizes) else [])


@given(piece_lengths, file_sizes)
def test_the_pieces_of_a_file_are_those_that_hold_a_byte_of_it(piece_length: int, sizes: list[int]) -> None:
    layout = Layout(piece_length, sizes)
    run = spelled_out(sizes)
    for file_index in range(len(sizes)):
        held = {offset // piece_length for offset, (index, _) in enumerate(run) if index == file_index}
        assert set(layout.pieces_of_file(file_index)) == held
        assert set(iter_bits(layout.bits_of_files([file_index]))) == held
    assert layout.bits_of_files(range(len(sizes))).bit_count() == layout.piece_count


@given(st.integers(1, 5 * BLOCK_LENGTH), st.integers(1, 20 * BLOCK_LENGTH))
def test_blocks_make_up_their_piece(piece_length: int, size: int) -> None:
    layout = Layout(piece_length, [size])
    for piece in range(min(layout.piece_count, 30)):
        sizes = [layout.block_size(piece, block) for block in range(layout.block_count(piece))]
        assert sum(sizes) == layout.piece_size(piece)
        assert set(sizes[:-1]) <= {BLOCK_LENGTH}
        assert 0 < sizes[-1] <= BLOCK_LENGTH


def test_empty_files_have_a_place_but_no_bytes() -> None:
    layout = Layout(10, [0, 5, 0, 7, 0, 20, 0])
    assert layout.file_offsets == (0, 0, 5, 5, 12, 12, 32)
    assert layout.spans(3, 28) == [FileSpan(1, 3, 2), FileSpan(3, 0, 7), FileSpan(5, 0, 19)]
    assert layout.pieces_of_file(4) == range(1, 1)
    assert layout.bits_of_files([0, 2, 4, 6]) == 0


def test_a_layout_without_files_is_empty() -> None:
    layout = Layout(16384, [])
    assert (layout.total_size, layout.piece_count, layout.file_offsets) == (0, 0, ())
    assert layout.spans(0, 0) == []
