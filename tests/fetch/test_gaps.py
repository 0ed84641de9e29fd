from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from shoal.fetch.gaps import Gaps, gaps_between

ROW = st.tuples(st.integers(0, 40), st.integers(0, 40))
CALLS = st.lists(st.tuples(st.sampled_from(["add", "remove", "take"]), ROW), max_size=30)


def rows_of(offsets: set[int]) -> list[tuple[int, int]]:
    begins = sorted(offset for offset in offsets if offset - 1 not in offsets)
    ends = sorted(offset + 1 for offset in offsets if offset + 1 not in offsets)
    return list(zip(begins, ends, strict=True))


@given(CALLS, ROW)
def test_gaps_are_a_set_of_offsets_in_as_few_rows_as_can_be(
    calls: list[tuple[str, tuple[int, int]]], asked: tuple[int, int]
) -> None:
    gaps, model = Gaps(), set[int]()
    for call, (begin, end) in calls:
        if call == "add":
            gaps.add(begin, end)
            model |= set(range(begin, end))
        elif call == "remove":
            gaps.remove(begin, end)
            model -= set(range(begin, end))
        elif gaps:
            begin, end = gaps.take_first()
            assert (begin, end) == rows_of(model)[0]
            model -= set(range(begin, end))
        assert list(gaps) == rows_of(model)
    assert bool(gaps) == bool(model)
    assert gaps.overlap(*asked) == bool(model & set(range(*asked)))
    assert gaps.touches(asked[0]) == bool(model & {asked[0] - 1, asked[0]})
    assert gaps.total() == len(model)
    assert gaps.within(*asked) == rows_of(model & set(range(*asked)))


@given(st.integers(0, 100), st.integers(1, 9), st.data())
def test_what_is_not_here_is_missing(length: int, piece_length: int, data: st.DataObject) -> None:
    piece_count = -(-length // piece_length)
    have_bits = data.draw(st.integers(0, (1 << piece_count) - 1))
    missing = {offset for offset in range(length) if not have_bits >> offset // piece_length & 1}
    assert list(gaps_between(have_bits, piece_length, length)) == rows_of(missing)
