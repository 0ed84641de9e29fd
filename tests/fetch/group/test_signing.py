"""Signatures of members."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shoal.fetch.group.signing import MemberKey, new_member_key, verify

MEMBER = MemberKey(bytes(range(32)))
POOL, DIGEST = b"p" * 20, b"d" * 32
SIGNATURE = MEMBER.sign(POOL, 7, DIGEST)


def test_a_signature_is_over_the_words_of_the_page() -> None:
    message = b"shoal piece\0" + POOL + bytes([0, 0, 0, 7]) + DIGEST
    assert MEMBER.private.sign(message) == SIGNATURE


@settings(max_examples=30)
@given(st.binary(min_size=20, max_size=20), st.integers(0, 2**32 - 1), st.binary(min_size=32, max_size=32))
def test_what_a_member_signed_is_verified(pool: bytes, piece: int, digest: bytes) -> None:
    assert verify(pool, piece, MEMBER.public, digest, MEMBER.sign(pool, piece, digest))


@pytest.mark.parametrize(
    "record",
    [
        (b"q" * 20, 7, MEMBER.public, DIGEST, SIGNATURE),
        (POOL, 8, MEMBER.public, DIGEST, SIGNATURE),
        (POOL, 7, new_member_key().public, DIGEST, SIGNATURE),
        (POOL, 7, bytes(32), DIGEST, SIGNATURE),
        (POOL, 7, b"", DIGEST, SIGNATURE),
        (POOL, 7, MEMBER.public, b"e" * 32, SIGNATURE),
        (POOL, 7, MEMBER.public, DIGEST, bytes(64)),
        (POOL, 7, MEMBER.public, DIGEST, b""),
        (POOL, 7, MEMBER.public, DIGEST, SIGNATURE[:-1] + bytes([SIGNATURE[-1] ^ 1])),
    ],
)
def test_anything_else_is_not(record: tuple[bytes, int, bytes, bytes, bytes]) -> None:
    assert not verify(*record)


def test_the_private_key_is_in_no_repr() -> None:
    shown = repr(MEMBER)
    assert MEMBER.public in eval(shown.replace("MemberKey(", "dict(")).values()
    assert repr(MEMBER.seed)[2:-1] not in shown
    assert "private" not in shown
