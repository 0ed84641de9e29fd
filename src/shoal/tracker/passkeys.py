"""Passkeys: what makes a private tracker private, and the sums kept for each."""

from __future__ import annotations


def passkey_in(path: bytes) -> bytes:
    """`/KEY/announce` -> `KEY`; b"" where the path has none. A query behind the path is passed over."""
    elements = path.partition(b"?")[0].split(b"/")
    return elements[1] if len(elements) == 3 and not elements[0] else b""
