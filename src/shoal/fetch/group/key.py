"""A group key: its text, and everything that follows from it.

Pure. Always true: the secret, and what is derived from it, is in no repr, message or log; an error about a text that
should have been a key quotes none of it. Two keys that differ, be it in the name alone, are of two groups.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
import secrets
from dataclasses import dataclass, field
from typing import Final

from shoal.errors import FormatError, UsageError
from shoal.formats.bencode import Value, encode

PREFIX: Final = "shoal1-"
SECRET_LENGTH: Final = 32  # bytes; nobody guesses 256 bits
CHECKSUM_LENGTH: Final = 4  # bytes
INFO_HASH_LENGTH: Final = 20  # bytes, as BEP 3 has it
TAG_LENGTH: Final = 16  # bytes of an origin's tag: enough that no two origins of a group ever have the same
MAX_NAME_LENGTH: Final = 32

_NAME: Final = re.compile(rf"[a-z0-9][a-z0-9-]{{0,{MAX_NAME_LENGTH - 1}}}")
_BASE32: Final = re.compile(r"[a-z2-7]+")
_BASE32_LENGTH: Final = -(-(SECRET_LENGTH + CHECKSUM_LENGTH) * 8 // 5)
_HINT: Final = "a group key is one line, shoal1-NAME-..., as `shoal group new` printed it"


@dataclass(frozen=True, slots=True)
class GroupKey:
    """Made by `new_key` and `parse_key`. `name` is no secret; `text` is."""

    name: str
    secret: bytes = field(repr=False)

    @property
    def text(self) -> str:
        """What `parse_key` reads. For the one person who makes the group, and for the keyring."""
        packed = self.secret + _checksum(self.name, self.secret)
        return f"{PREFIX}{self.name}-{base64.b32encode(packed).decode().rstrip('=').lower()}"

    @property
    def meeting_hash(self) -> bytes:
        """The info hash of the swarm in which members find each other."""
        return self._derive(b"meeting", INFO_HASH_LENGTH)

    @property
    def authority_seed(self) -> bytes:
        """The Ed25519 private key of the group's certificate authority."""
        return self._derive(b"authority", 32)

    def pool_hash(self, url: str, length: int, validator: str) -> bytes:
        """The info hash of the swarm of one version of a URL; nobody outside of the group can tell which it is."""
        return self._tell(b"identity", [url.encode(), length, validator.encode()])[:INFO_HASH_LENGTH]

    def origin_tag(self, scheme: str, host: str, port: int) -> bytes:
        """What members call an origin among themselves, so that they speak of it without naming it."""
        return self._tell(b"origin", [scheme.lower().encode(), host.lower().encode(), port])[:TAG_LENGTH]

    def _derive(self, label: bytes, length: int) -> bytes:
        from cryptography.hazmat.primitives.hashes import (
            SHA256,
        )  # here, since a key is read before it is used
        from cryptography.hazmat.primitives.kdf.hkdf import HKDF

        return HKDF(SHA256(), length, salt=self.name.encode(), info=label).derive(self.secret)

    def _tell(self, label: bytes, fields: list[Value]) -> bytes:
        """The HMAC of `fields`, which are bencoded so that no two rows of fields are the same bytes."""
        return hmac.digest(self._derive(label, 32), encode(fields), hashlib.sha256)


def new_key(name: str) -> GroupKey:
    """The key of a group that did not exist. Raises `UsageError` for what cannot be a name."""
    return GroupKey(checked_name(name), secrets.token_bytes(SECRET_LENGTH))


def is_name(text: str) -> bool:
    return _NAME.fullmatch(text) is not None


def checked_name(name: str) -> str:
    """Raises `UsageError`, which does not quote it: it may be a key in the wrong place."""
    if not is_name(name):
        raise UsageError(
            "this cannot be the name of a group",
            hint=f"1 to {MAX_NAME_LENGTH} of a-z, 0-9 and '-', a letter or digit first",
        )
    return name


def parse_key(text: str) -> GroupKey:
    """White space around it is passed over. Raises `FormatError`, which quotes nothing of `text`."""
    text = text.strip()
    name, _, digits = text.removeprefix(PREFIX).rpartition("-")
    if not text.startswith(PREFIX) or not is_name(name):
        raise FormatError("this is not a group key", hint=_HINT)
    if len(digits) != _BASE32_LENGTH:
        what = "is incomplete" if len(digits) < _BASE32_LENGTH else "goes on where it should end"
        raise FormatError(f"this group key {what}", hint=_HINT)
    if _BASE32.fullmatch(digits) is None:
        raise FormatError(
            "this group key has a character in it that no key has", hint="it is of a-z and 2-7, lower case"
        )
    packed = base64.b32decode(digits.upper() + "=" * (-len(digits) % 8))
    key = GroupKey(name, packed[:SECRET_LENGTH])
    if key.text != text:
        raise FormatError("this group key is mistyped: its checksum is wrong", hint="copy it once more")
    return key


def _checksum(name: str, secret: bytes) -> bytes:
    """CRC-32: against typing errors, not against people. One wrong character, or two neighbours that changed places,
    are a burst of fewer than 32 bits, which it finds always and not only nearly so, as a cut hash would."""
    return binascii.crc32(name.encode() + b"-" + secret).to_bytes(CHECKSUM_LENGTH, "little")
