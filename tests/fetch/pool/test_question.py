"""What a requester asks of a helper: both get the same info hash out of it, and nobody else's."""

from __future__ import annotations

import hashlib
from dataclasses import replace

import msgspec
import pytest

from shoal.disk.checksum import Checksum
from shoal.fetch.facts import Facts
from shoal.fetch.group.key import new_key
from shoal.fetch.pool.question import belongs, digest_asked, facts_asked, question_of
from shoal.protocol.group.messages import ValidatorKind
from shoal.protocol.http.validators import Validator

KEY = new_key("room")
URL = "https://example.org/disk.iso"
SHA256 = hashlib.sha256(b"the file").digest()
BY_ETAG = Facts(length=1000, validator=Validator(etag='"v1"'), takes_ranges=True)
BY_TIME = replace(BY_ETAG, validator=Validator(modified_at=1_600_000_000))
BY_NOTHING = replace(BY_ETAG, validator=None)


@pytest.mark.parametrize(
    ("facts", "kind"),
    [(BY_ETAG, ValidatorKind.ETAG), (BY_TIME, ValidatorKind.MODIFIED), (BY_NOTHING, ValidatorKind.DIGEST)],
)
def test_a_question_belongs_to_its_pool_whatever_tells_the_version(facts: Facts, kind: ValidatorKind) -> None:
    ask = question_of(KEY, URL, facts, SHA256)
    assert ask.validator_kind is kind
    assert belongs(KEY, ask)
    assert not belongs(new_key("room"), ask)
    assert not belongs(KEY, msgspec.structs.replace(ask, length=1001))
    assert (facts_asked(ask).length, facts_asked(ask).validator) == (1000, facts.validator)


def test_those_who_know_the_digest_meet_those_who_do_not_where_the_server_says_the_version() -> None:
    assert question_of(KEY, URL, BY_ETAG, SHA256) == question_of(KEY, URL, BY_ETAG)


def test_where_it_does_not_the_digest_is_the_version() -> None:
    ask = question_of(KEY, URL, BY_NOTHING, SHA256)
    other = question_of(KEY, URL, BY_NOTHING, hashlib.sha256(b"another file").digest())
    assert digest_asked(ask) == Checksum("sha-256", SHA256)
    assert ask.info_hash != other.info_hash
    with pytest.raises(ValueError, match="without validator or digest"):
        question_of(KEY, URL, BY_NOTHING)


@pytest.mark.parametrize("text", [SHA256.hex().upper(), SHA256.hex()[:-2], f"{SHA256.hex()}\n", "", "z" * 64])
def test_what_is_no_digest_belongs_to_no_pool(text: str) -> None:
    """Nor does another spelling of one, or the same file would have two pools."""
    info_hash = KEY.pool_hash(URL, 1000, f"sha-256 {text}")
    ask = question_of(KEY, URL, BY_NOTHING, SHA256)
    assert not belongs(KEY, msgspec.structs.replace(ask, info_hash=info_hash, validator=text))


def test_an_etag_that_looks_like_a_digest_is_another_version() -> None:
    facts = replace(BY_ETAG, validator=Validator(etag=f'"{SHA256.hex()}"'))
    assert question_of(KEY, URL, facts).info_hash != question_of(KEY, URL, BY_NOTHING, SHA256).info_hash
