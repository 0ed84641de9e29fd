"""Who a member is, and what it puts its name to: "I fetched this piece from the origin, and its SHA-256 is this".

Always true: a member's private key is in no repr, message or log; a record counts as verified only with the very
signature that was found right. What signs is loaded when there is something to sign: keys are read before that.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

SEED_LENGTH: Final = 32  # bytes of an Ed25519 private key ...
MEMBER_LENGTH: Final = 32  # ... of the public one, which is the member's name in records ...
SIGNATURE_LENGTH: Final = 64  # ... and of a signature
SHOWN_DIGITS: Final = 8  # of a member's name, as people compare them; two in 4 billion are alike
_DOMAIN: Final = b"shoal piece\0"  # no signature for another purpose can be taken for one of a piece


@dataclass(frozen=True, repr=False)
class MemberKey:
    """This machine's key in one group; that the seed has its length, whoever read it has looked at."""

    seed: bytes

    @cached_property
    def private(self) -> Ed25519PrivateKey:
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

        return Ed25519PrivateKey.from_private_bytes(self.seed)

    @cached_property
    def public(self) -> bytes:
        return self.private.public_key().public_bytes_raw()

    def __repr__(self) -> str:
        return f"MemberKey(public={self.public!r})"

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
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    try:
        Ed25519PublicKey.from_public_bytes(author).verify(signature, _message(info_hash, piece, digest))
    except (InvalidSignature, ValueError):
        return False
    return True


def _message(info_hash: bytes, piece: int, digest: bytes) -> bytes:
    return _DOMAIN + info_hash + piece.to_bytes(4, "big") + digest
