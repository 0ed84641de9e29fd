from __future__ import annotations

import base64
import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shoal.formats.digests import DIGEST_LENGTHS, new_hash
from shoal.protocol.http.digests import parse_digests

FILE = b'{"hello": "world"}\n'
SHA256 = hashlib.sha256(FILE).digest()
SHA512 = hashlib.sha512(FILE).digest()
MD5 = hashlib.md5(FILE).digest()


def b64(digest: bytes) -> str:
    return base64.b64encode(digest).decode()


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({"repr-digest": f"sha-256=:{b64(SHA256)}:"}, {"sha-256": SHA256}),
        (
            {"repr-digest": f"sha-256=:{b64(SHA256)}:, sha-512=:{b64(SHA512)}:"},
            {"sha-256": SHA256, "sha-512": SHA512},
        ),
        ({"digest": f"SHA-256={b64(SHA256)}"}, {"sha-256": SHA256}),
        ({"digest": f"md5={b64(MD5)},sha-256={b64(SHA256)};q=1"}, {"md5": MD5, "sha-256": SHA256}),
        ({"digest": f"sha-256={SHA256.hex()}"}, {"sha-256": SHA256}),  # hex, against the RFC
        ({"digest": "unixsum=30637, adler32=03da0195, id-sha-256=abc"}, {}),
        ({"repr-digest": f"sha-256=:{b64(MD5)}:"}, {}),  # too short
        ({"repr-digest": "sha-256=:!!!:"}, {}),
        ({"repr-digest": "sha-256"}, {}),
        ({"x-goog-hash": f"crc32c=n03x6A==, md5={b64(MD5)}"}, {"md5": MD5}),
        ({"x-goog-hash": f"md5={b64(MD5)}", "x-goog-stored-content-encoding": "identity"}, {"md5": MD5}),
        ({"x-goog-hash": f"md5={b64(MD5)}", "x-goog-stored-content-encoding": "gzip"}, {}),
        ({"x-checksum-sha256": SHA256.hex()}, {"sha-256": SHA256}),
        ({"x-checksum-md5": MD5.hex().upper()}, {"md5": MD5}),
        ({"x-ms-blob-content-md5": b64(MD5)}, {"md5": MD5}),
        ({"etag": f'"{MD5.hex()}"'}, {}),  # an MD5 with some stores, and something else with others
        ({}, {}),
    ],
)
def test_digests_of_the_file_whatever_part_is_sent(
    headers: dict[str, str], expected: dict[str, bytes]
) -> None:
    assert parse_digests(headers, is_whole=True) == expected
    assert parse_digests(headers, is_whole=False) == expected


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({"content-md5": b64(MD5)}, {"md5": MD5}),
        ({"content-digest": f"sha-256=:{b64(SHA256)}:"}, {"sha-256": SHA256}),
        ({"x-amz-checksum-sha256": b64(SHA256)}, {"sha-256": SHA256}),
        ({"x-amz-checksum-sha256": f"{b64(SHA256)}-12"}, {}),  # of the digests of 12 parts
    ],
)
def test_digests_of_the_body_count_only_if_it_is_the_file(
    headers: dict[str, str], expected: dict[str, bytes]
) -> None:
    assert parse_digests(headers, is_whole=True) == expected
    assert parse_digests(headers, is_whole=False) == {}


def test_the_later_standard_is_believed_before_the_older() -> None:
    other = hashlib.sha256(b"other").digest()
    headers = {
        "repr-digest": f"sha-256=:{b64(SHA256)}:",
        "digest": f"sha-256={b64(other)}",
        "x-checksum-sha256": other.hex(),
    }
    assert parse_digests(headers, is_whole=True) == {"sha-256": SHA256}


@given(st.binary(max_size=50), st.sets(st.sampled_from(list(DIGEST_LENGTHS))))
def test_digests_are_read_as_they_were_written(data: bytes, names: set[str]) -> None:
    digests = {}
    for name in names:
        hashed = new_hash(name)
        hashed.update(data)
        digests[name] = hashed.digest()
    structured = ", ".join(f"{name}=:{b64(digest)}:" for name, digest in digests.items())
    assert parse_digests({"repr-digest": structured}, is_whole=False) == digests
    plain = ",".join(f"{name.upper()}={b64(digest)}" for name, digest in digests.items())
    assert parse_digests({"digest": plain}, is_whole=False) == digests
