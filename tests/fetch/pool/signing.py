"""Records with a signature that anybody can compute, for tests in which only its being right or wrong counts."""

from __future__ import annotations

import hashlib

from shoal.protocol.group.messages import PieceRecord

INFO_HASH = bytes(range(20))
ME = b"me".ljust(32, b".")


def key(name: str) -> bytes:
    return name.encode().ljust(32, b".")


def digest(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()


def true_bytes(piece: int) -> bytes:
    return b"what the origin sends of %d" % piece


def truth(piece: int) -> bytes:
    return hashlib.sha256(true_bytes(piece)).digest()


def signature(info_hash: bytes, piece: int, author: bytes, said: bytes) -> bytes:
    return hashlib.sha512(b"%b %d %b %b" % (info_hash, piece, author, said)).digest()


def signed(piece: int, author: bytes, said: bytes) -> PieceRecord:
    return PieceRecord(piece, author, said, signature(INFO_HASH, piece, author, said))


def forged(piece: int, author: bytes, said: bytes) -> PieceRecord:
    return PieceRecord(piece, author, said, bytes(64))


def verify(info_hash: bytes, piece: int, author: bytes, said: bytes, shown: bytes) -> bool:
    return shown == signature(info_hash, piece, author, said)
