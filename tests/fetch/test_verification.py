"""Which digest of the whole file is known, and by whose word."""

from __future__ import annotations

import hashlib

import pytest

from shoal.disk.checksum import Checksum
from shoal.fetch.verification import Verification
from shoal.formats.metalink import MetalinkFile

SHA256, MD5 = hashlib.sha256(b"the file").digest(), hashlib.md5(b"the file").digest()
SAID = {"sha-256": SHA256, "sha-512": bytes(64)}


def described(**digests: bytes) -> MetalinkFile:
    named = {name.replace("sha", "sha-"): digest for name, digest in digests.items()}
    return MetalinkFile(name="file.bin", path=("file.bin",), size=8, digests=named)


@pytest.mark.parametrize(
    ("verification", "known"),
    [
        (Verification([Checksum("sha-256", SHA256)], None), SHA256),
        (Verification([Checksum("md5", MD5), Checksum("sha-256", SHA256)], None), SHA256),
        (Verification([Checksum("md5", MD5)], None), None),
        (Verification([Checksum("md5", MD5)], described(sha256=SHA256)), None),  # it would not be compared
        (Verification([], described(sha256=SHA256, sha512=bytes(64))), SHA256),
        (Verification([], described(sha1=bytes(20))), None),
        (Verification([], None), None),
    ],
)
def test_the_sha256_is_one_of_those_that_the_file_is_compared_with(
    verification: Verification, known: bytes | None
) -> None:
    assert verification.sha256 == known


@pytest.mark.parametrize(
    ("url", "known"), [("https://example.org/a", SHA256), ("http://example.org/a", None)]
)
def test_a_header_says_it_only_where_nobody_could_change_it_on_its_way(url: str, known: bytes | None) -> None:
    verification = Verification([], None)
    verification.on_said(SAID, url)
    assert verification.is_known
    assert verification.sha256 == known
