"""What a requester asks of a helper, and what the helper then knows of the file: the same facts, there and back.

Pure. Always true: both compute the pool's info hash from the same three things, so a question that does not belong to
its pool shows.
"""

from __future__ import annotations

from shoal.fetch.facts import Facts
from shoal.fetch.group.key import GroupKey
from shoal.protocol.group.messages import AskHelp, ValidatorKind
from shoal.protocol.http.validators import Validator


def question_of(key: GroupKey, url: str, facts: Facts) -> AskHelp:
    """`facts` have a length and a validator."""
    validator, length = facts.validator, facts.length
    if validator is None or not length:
        raise ValueError("a file without length or validator is not pooled")
    kind, text = ValidatorKind.MODIFIED, str(validator.modified_at)
    if validator.etag is not None:
        kind, text = ValidatorKind.ETAG, validator.etag
    return AskHelp(key.pool_hash(url, length, validator.text), url, length, text, kind)


def facts_asked(ask: AskHelp) -> Facts:
    """What a requester says of the file; each response of the origin has to show the same."""
    return Facts(length=ask.length, validator=_validator(ask), takes_ranges=True)


def belongs(key: GroupKey, ask: AskHelp) -> bool:
    """Whether its info hash is that of this URL, length and version in the group."""
    validator = _validator(ask)
    return validator is not None and ask.info_hash == key.pool_hash(ask.url, ask.length, validator.text)


def _validator(ask: AskHelp) -> Validator | None:
    match ask.validator_kind:
        case ValidatorKind.ETAG:
            return Validator(etag=ask.validator)
        case ValidatorKind.MODIFIED if ask.validator.isascii() and ask.validator.isdecimal():
            return Validator(modified_at=int(ask.validator))
    return None
