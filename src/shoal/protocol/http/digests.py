"""Digests of the whole file that a response may carry, under the names of all those who had the idea.

Always true: what is returned is of the file's bytes as they were asked for (identity) and whole. A digest of the part
that a 206 brings, of what a store compressed, or of its parts' digests (`...-12` behind S3's) is left out.
"""

from __future__ import annotations

import re

from shoal.formats.digests import digest_name, parse_digest
from shoal.protocol.http.headers import Headers

_MEMBER = re.compile(r"([A-Za-z][A-Za-z0-9_-]{1,19})\s*=\s*(?::([A-Za-z0-9+/=\s]*):|([^,;\s]+))")
_LISTS = (
    "digest",
    "repr-digest",
)  # RFC 3230 and, later and so stronger, RFC 9530: of the file, whatever the part
_LISTS_OF_BODY = ("content-digest",)  # RFC 9530: of these bytes
_SINGLE = {  # of the stored object or file, whatever the part
    "x-checksum-md5": "md5",  # Artifactory, Nexus, Maven's repositories
    "x-checksum-sha1": "sha-1",
    "x-checksum-sha256": "sha-256",
    "x-checksum-sha512": "sha-512",
    "x-ms-blob-content-md5": "md5",  # Azure
}
_SINGLE_OF_BODY = {
    "content-md5": "md5",
    "x-amz-checksum-sha1": "sha-1",  # S3 says that of a part where the range asked for is one
    "x-amz-checksum-sha256": "sha-256",
}


def parse_digests(headers: Headers, *, is_whole: bool) -> dict[str, bytes]:
    """`{"sha-256": 32 bytes, ...}`, the better founded ones last; `is_whole`: the body is the file, as in a 200."""
    found: dict[str, bytes] = {}
    singles = {**_SINGLE, **_SINGLE_OF_BODY} if is_whole else _SINGLE
    for header, name in singles.items():
        _add(found, name, headers.get(header, ""))
    if headers.get("x-goog-stored-content-encoding", "identity").strip().lower() == "identity":
        _add_list(found, headers.get("x-goog-hash", ""))
    for header in (*_LISTS_OF_BODY, *_LISTS) if is_whole else _LISTS:
        _add_list(found, headers.get(header, ""))
    return found


def _add_list(found: dict[str, bytes], text: str) -> None:
    """`sha-256=:base64:, md5=:base64:` (RFC 9530), or the same without colons (RFC 3230, Google)."""
    for name, structured, plain in _MEMBER.findall(text):
        _add(found, name, structured or plain)


def _add(found: dict[str, bytes], name: str, text: str) -> None:
    known = digest_name(name)
    digest = None if known is None else parse_digest(known, text)
    if known is not None and digest is not None:
        found[known] = digest
