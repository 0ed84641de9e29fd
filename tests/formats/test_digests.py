from __future__ import annotations

import base64
import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shoal.formats.digests import DIGEST_LENGTHS, digest_name, new_hash, parse_digest, strongest


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("sha-256", "sha-256"),
        ("SHA256", "sha-256"),
        (" Sha_512 ", "sha-512"),
        ("sha1", "sha-1"),
        ("SHA", "sha-1"),
        ("MD5", "md5"),
        ("md-5", "md5"),
        ("sha-512/256", None),
        ("crc32c", None),
        ("sha-3", None),
        ("", None),
    ],
)
def test_a_name_in_any_spelling(text: str, name: str | None) -> None:
    assert digest_name(text) == name


@given(st.sampled_from(list(DIGEST_LENGTHS)), st.data())
def test_a_digest_is_read_from_hex_and_from_base64(name: str, data: st.DataObject) -> None:
    length = DIGEST_LENGTHS[name]
    digest = data.draw(st.binary(min_size=length, max_size=length))
    assert parse_digest(name, digest.hex()) == digest
    assert parse_digest(name, f" {digest.hex().upper()} ") == digest
    assert parse_digest(name, base64.b64encode(digest).decode()) == digest


@pytest.mark.parametrize(
    "text", ["", "abc", "g" * 64, "0" * 63, "0" * 65, "é" * 64, "==", "0" * 32, "\u0660" * 64]
)
def test_what_is_no_digest_is_none(text: str) -> None:
    assert parse_digest("sha-256", text) is None


def test_the_strongest_is_the_one_to_believe() -> None:
    assert strongest(["md5", "sha-256", "sha-1"]) == "sha-256"
    assert strongest(["crc32"]) is None


@pytest.mark.parametrize("name", DIGEST_LENGTHS)
def test_each_name_is_of_a_digest_of_that_length(name: str) -> None:
    hashed = new_hash(name)
    hashed.update(b"x")
    assert len(hashed.digest()) == DIGEST_LENGTHS[name]
    assert hashed.digest() == hashlib.new(name.replace("-", ""), b"x").digest()
