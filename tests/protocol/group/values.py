"""Any message of a group, for Hypothesis."""

from __future__ import annotations

import string

from hypothesis import strategies as st

from shoal.protocol.group import messages as m

hashes = st.binary(min_size=m.HASH_LENGTH, max_size=m.HASH_LENGTH)
keys = st.binary(min_size=m.KEY_LENGTH, max_size=m.KEY_LENGTH)
tags = st.binary(min_size=m.TAG_LENGTH, max_size=m.TAG_LENGTH)
pieces = st.integers(0, m.MAX_PIECE)
texts = st.text(min_size=1, max_size=60).filter(str.isprintable)
runs = pieces.flatmap(lambda first: st.tuples(st.just(first), st.integers(1, m.MAX_PIECE + 1 - first)))

presences = st.builds(
    m.Presence,
    is_helper=st.booleans(),
    pools=st.lists(hashes, max_size=5).map(tuple),
    origins=st.dictionaries(tags, st.integers(0, m.MAX_CONNECTIONS), max_size=5),
)
asks = st.builds(
    m.AskHelp,
    info_hash=hashes,
    url=st.text(string.ascii_letters + string.digits + "/:%?=&é", min_size=1, max_size=80),
    length=st.integers(1, m.MAX_BYTES),
    validator=texts,
    validator_kind=st.sampled_from(m.ValidatorKind),
    only_kept=st.booleans(),
)
refusals = st.builds(m.Refused, info_hash=hashes, reason=texts)
pauses = st.builds(m.Pause, origin=tags, seconds=st.integers(0, m.MAX_PAUSE))
kept = st.builds(m.Kept, info_hash=hashes, is_any=st.booleans())
dismissals = st.builds(m.Dismiss, info_hash=hashes)
meeting_messages = st.one_of(
    presences, asks, kept, st.builds(m.Helping, info_hash=hashes), dismissals, refusals, pauses
)

claims = st.builds(
    m.Claims, runs=st.lists(runs, max_size=m.MAX_RUNS).map(tuple), rate=st.integers(0, m.MAX_BYTES)
)
losses = st.builds(m.Lost, runs=st.lists(runs, max_size=m.MAX_RUNS).map(tuple))
piece_records = st.builds(
    m.PieceRecord,
    piece=pieces,
    author=keys,
    digest=keys,
    signature=st.binary(min_size=m.SIGNATURE_LENGTH, max_size=m.SIGNATURE_LENGTH),
)
records = st.builds(m.Records, records=st.lists(piece_records, max_size=5).map(tuple))
accusations = st.builds(m.Accuse, author=keys, piece=pieces, begin=pieces)
pool_messages = st.one_of(claims, losses, records, accusations)


def mangled(payload: bytes, changes: list[tuple[int, int]]) -> bytes:
    """`payload` with some of its bytes replaced: (where, by what)."""
    data = bytearray(payload)
    for place, byte in changes if data else ():
        data[place % len(data)] = byte
    return bytes(data)


any_changes = st.lists(st.tuples(st.integers(0, 1 << 16), st.integers(0, 255)), max_size=3)
