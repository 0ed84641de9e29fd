from __future__ import annotations

import random
from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shoal.formats import merkle

from .torrents import BLOCK, plain_root, plain_tree

piece_lengths = st.sampled_from([BLOCK, 2 * BLOCK, 4 * BLOCK, 8 * BLOCK])


def test_the_hash_of_nothing_at_each_level() -> None:
    assert merkle.pad_hash(0) == bytes(32)
    assert merkle.pad_hash(1) == sha256(bytes(64)).digest()
    assert merkle.pad_hash(5) == plain_root([], 32)


@given(st.integers(1, 12 * BLOCK), piece_lengths)
def test_layer_and_root_are_those_of_the_whole_tree(size: int, piece_length: int) -> None:
    content = random.Random(size).randbytes(size)
    expected = plain_tree(content, piece_length)
    if size <= piece_length:
        assert merkle.file_root(content) == expected.pieces_root
        return
    layer = b"".join(
        merkle.piece_hash(content[begin : begin + piece_length], piece_length)
        for begin in range(0, size, piece_length)
    )
    assert layer == expected.piece_layer
    assert merkle.layer_root(layer, piece_length) == expected.pieces_root


@pytest.mark.parametrize("size", [1, BLOCK - 1, BLOCK, BLOCK + 1, 3 * BLOCK])
def test_the_last_block_is_hashed_at_its_own_length(size: int) -> None:
    content = bytes(size)
    leaves = merkle.hash_blocks(content)
    assert len(leaves) == -(-size // BLOCK) * 32
    assert leaves[-32:] == sha256(content[(size - 1) // BLOCK * BLOCK :]).digest()


def test_a_tree_of_one_block_is_its_hash() -> None:
    assert merkle.file_root(b"shoal") == sha256(b"shoal").digest()
    assert merkle.piece_hash(b"shoal", BLOCK) == sha256(b"shoal").digest()
