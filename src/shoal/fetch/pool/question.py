"""What a requester asks of a helper, and what the helper then knows of the file: the same facts, there and back.

A server may say nothing of the version; then the SHA-256 of the whole file says it, among those who know it. Where it
does, that counts, or those who know the digest would not meet those who do not.

Pure. Always true: both compute the pool's info hash from the same three things, so a question that does not belong to
its pool shows.
"""

from __future__ import annotations

import re

from shoal.disk.checksum import Checksum
from shoal.fetch.facts import Facts
from shoal.fetch.group.key import GroupKey
from shoal.protocol.group.messages import AskHelp, ValidatorKind
from shoal.protocol.http.validators import Validator

_SHA256 = re.compile(r"[0-9a-f]{64}")  # one spelling: others would make another pool


def question_of(key: GroupKey, url: str, facts: Facts, sha256: bytes | None = None) -> AskHelp:
    """`facts` have a length, and a validator unless `sha256` is known."""
    validator, length = facts.validator, facts.length
    if not length:
        raise ValueError("a file without length is not pooled")
    if validator is None:
        if sha256 is None:
            raise ValueError("a file without validator or digest is not pooled")
        kind, text = ValidatorKind.DIGEST, sha256.hex()
    elif validator.etag is not None:
        kind, text = ValidatorKind.ETAG, validator.etag
    else:
        kind, text = ValidatorKind.MODIFIED, str(validator.modified_at)
    version = _digest_version(text) if validator is None else validator.text
    return AskHelp(key.pool_hash(url, length, version), url, length, text, kind)


def facts_asked(ask: AskHelp) -> Facts:
    """What a requester says of the file; each response of the origin has to show the same."""
    return Facts(length=ask.length, validator=_validator(ask), takes_ranges=True)


def belongs(key: GroupKey, ask: AskHelp) -> bool:
    """Whether its info hash is that of this URL, length and version in the group."""
    version = _version(ask)
    return version is not None and ask.info_hash == key.pool_hash(ask.url, ask.length, version)


def digest_asked(ask: AskHelp) -> Checksum | None:
    """The digest of the whole file, if it is that by which its version is known."""
    if ask.validator_kind is not ValidatorKind.DIGEST or not _SHA256.fullmatch(ask.validator):
        return None
    return Checksum("sha-256", bytes.fromhex(ask.validator))


def _version(ask: AskHelp) -> str | None:
    if digest_asked(ask) is not None:
        return _digest_version(ask.validator)
    validator = _validator(ask)
    return None if validator is None else validator.text


def _digest_version(digits: str) -> str:
    """No validator's text begins so."""
    return f"sha-256 {digits}"


def _validator(ask: AskHelp) -> Validator | None:
    match ask.validator_kind:
        case ValidatorKind.ETAG:
            return Validator(etag=ask.validator)
        case ValidatorKind.MODIFIED if ask.validator.isascii() and ask.validator.isdecimal():
            return Validator(modified_at=int(ask.validator))
    return None
