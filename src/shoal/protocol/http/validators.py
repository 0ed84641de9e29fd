"""Validators: by what two responses are known to be of the same bytes.

Always true: a validator here is strong, so that parts of two responses with the same one may be put together.

- A weak ETag (`W/"..."`) is none. Neither is an empty one, which some servers give to every file.
- Last-Modified counts if the response's Date is at least a second later (RFC 9110 8.8.2.2): a file that was written in
  the second of the response may be written again in that same second, and show the same time.
- nginx's ETag is the time of modification and the length in hex, thus no stronger than Last-Modified, and no
  stronger it is taken here.
- Apache, Jetty and others add the content coding to an ETag (`"abc-gzip"`), in some versions to one of two responses
  only. We ask for no coding and take no two responses of different ones for the same, so the suffix does not count.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from shoal.protocol.http.headers import Headers, parse_http_date

MAX_ETAG_LENGTH = 512  # S3's have 34 characters; it is remembered with the file
_STRONG_ETAG = re.compile(r'"[^"\x00-\x1f\x7f]+"')
_CODING_SUFFIX = re.compile(r'(?:--?|;|:)(?:gzip|deflate|br|zstd)"$')


@dataclass(frozen=True, slots=True)
class Validator:
    """A strong ETag as it came, with its quotes; a time of modification in Unix seconds; one of them at least."""

    etag: str | None = None
    modified_at: int | None = None

    @property
    def text(self) -> str:
        """Equal for equal files: what to remember of a file that is not whole yet."""
        return f"modified {self.modified_at}" if self.etag is None else f"etag {_bare(self.etag)}"


def validator_of(headers: Headers) -> Validator | None:
    """By what this response's file may be known again; None if by nothing that is sure."""
    modified_at = parse_http_date(headers.get("last-modified", ""))
    date = parse_http_date(headers.get("date", ""))
    etag = _strong_etag(headers)
    if modified_at is not None and (date is None or date <= modified_at):
        if etag is not None and etag.startswith(f'"{modified_at:x}-'):
            etag = None
        modified_at = None
    return None if etag is None and modified_at is None else Validator(etag, modified_at)


def is_same_version(one: Validator | None, other: Validator | None) -> bool | None:
    """Whether these are of the same bytes; None if they have nothing in common to tell by. ETags decide over times."""
    if one is None or other is None:
        return None
    if one.etag is not None and other.etag is not None:
        return _bare(one.etag) == _bare(other.etag)
    if one.modified_at is not None and other.modified_at is not None:
        return one.modified_at == other.modified_at
    return None


def _strong_etag(headers: Headers) -> str | None:
    etag = headers.get("etag", "").strip()
    return etag if len(etag) <= MAX_ETAG_LENGTH and _STRONG_ETAG.fullmatch(etag) else None


def _bare(etag: str) -> str:
    return _CODING_SUFFIX.sub('"', etag)
