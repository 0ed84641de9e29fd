"""Digests of whole files, by name: as headers, Metalinks and people spell them -> one spelling, and bytes.

The names inside are IANA's in lower case: `sha-256`. A name that is not in `DIGEST_LENGTHS` is unknown, and so is a
value of another length: whoever reads one decides whether that is a mistake or may be passed over.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from collections.abc import Iterable

DIGEST_LENGTHS = {"sha-512": 64, "sha-384": 48, "sha-256": 32, "sha-224": 28, "sha-1": 20, "md5": 16}
"""Bytes of each, the strongest first. The last two show damage, but not malice."""

_BY_PLAIN_NAME = {name.replace("-", ""): name for name in DIGEST_LENGTHS} | {
    "sha": "sha-1"
}  # RFC 3230 says SHA
_HEX = re.compile(r"[0-9A-Fa-f]+")


def digest_name(text: str) -> str | None:
    """`"SHA256"`, `"sha-256"`, `"Sha_256"` -> `"sha-256"`; None for what we cannot compute."""
    return _BY_PLAIN_NAME.get(text.strip().lower().replace("-", "").replace("_", ""))


def parse_digest(name: str, text: str) -> bytes | None:
    """The value in hex or base64, which its length tells apart; None if it is neither."""
    length = DIGEST_LENGTHS[name]
    text = text.strip()
    if len(text) == 2 * length and _HEX.fullmatch(text):
        return bytes.fromhex(text)
    try:
        value = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return None
    return value if len(value) == length else None


def strongest(names: Iterable[str]) -> str | None:
    """Of these digests the one to believe."""
    known = set(names)
    return next((name for name in DIGEST_LENGTHS if name in known), None)


def new_hash(name: str) -> hashlib._Hash:
    return hashlib.new(name.replace("-", ""), usedforsecurity=False)
