"""Who a member is, and what it puts its name to: "I fetched this piece from the origin, and its SHA-256 is this".

Always true: a member's private key is in no repr, message or log; a record counts as verified only with the very
signature that was found right.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

SEED_LENGTH: Final = 32  # bytes of an Ed25519 private key ...
MEMBER_LENGTH: Final = 32  # ... of the public one, which is the member's name in records ...
SIGNATURE_LENGTH: Final = 64  # ... and of a signature
SHOWN_DIGITS: Final = 8  # of a member's name, as people compare them; two in 4 billion are alike
_DOMAIN: Final = b"shoal piece\0"  # no signature for another purpose can be taken for one of a piece


@dataclass(frozen=True, slots=True)
class MemberKey:
    """This machine's key in one group."""

    seed: bytes = field(repr=False)
    private: Ed25519PrivateKey = field(init=False, repr=False, compare=False)
    public: bytes = field(init=False)

    def __post_init__(self) -> None:
        private = Ed25519PrivateKey.from_private_bytes(self.seed)
        object.__setattr__(self, "private", private)
        object.__setattr__(self, "public", private.public_key().public_bytes_raw())

    def sign(self, info_hash: bytes, piece: int, digest: bytes) -> bytes:
        """Put our name to the SHA-256 of a piece that we fetched from the origin."""
        return self.private.sign(_message(info_hash, piece, digest))


def short_name(member: bytes) -> str:
    """How people are told of a member, beside its address; `shoal group list` shows our own."""
    return member.hex()[:SHOWN_DIGITS]


def new_member_key() -> MemberKey:
    return MemberKey(secrets.token_bytes(SEED_LENGTH))


def verify(info_hash: bytes, piece: int, author: bytes, digest: bytes, signature: bytes) -> bool:
    """Whether `author` signed that. About 0.1 ms."""
    try:
        Ed25519PublicKey.from_public_bytes(author).verify(signature, _message(info_hash, piece, digest))
    except (InvalidSignature, ValueError):
        return False
    return True


def _message(info_hash: bytes, piece: int, digest: bytes) -> bytes:
    return _DOMAIN + info_hash + piece.to_bytes(4, "big") + digest
