"""The messages of a pool <-> bytes. Any bytes give a message, None (a kind nobody knows yet) or `FormatError`.

Fields that nobody knows are passed over, so that messages can grow.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final, assert_never

from shoal.formats import bencode
from shoal.formats.fields import Fields
from shoal.protocol.group import messages as m
from shoal.protocol.group.fields import bytes_of, open_dict
from shoal.protocol.group.records import RECORDS_MARK, encode_records, parse_records


def encode_pool(message: m.PoolMessage) -> bytes:
    """Raises `ValueError` for more records than one message may have."""
    match message:
        case m.Records():
            return encode_records(message)
        case m.Claims():
            return bencode.encode({"kind": "claims", "runs": message.runs, "rate": message.rate})
        case m.Lost():
            return bencode.encode({"kind": "lost", "runs": message.runs})
        case m.Accuse():
            place = {"author": message.author, "piece": message.piece, "begin": message.begin}
            return bencode.encode({"kind": "accuse", **place})
        case _:
            assert_never(message)


def split_lost(runs: Sequence[tuple[int, int]]) -> Iterator[m.Lost]:
    """The fewest messages that say them all, in order."""
    for start in range(0, len(runs), m.MAX_RUNS):
        yield m.Lost(tuple(runs[start : start + m.MAX_RUNS]))


def parse_pool(payload: bytes | memoryview) -> m.PoolMessage | None:
    if payload[:1] == RECORDS_MARK:
        return parse_records(payload)
    fields = open_dict(payload, "pool")
    parse = _PARSERS.get(fields.bytes_of("kind"))
    return None if parse is None else parse(fields)


def _parse_claims(fields: Fields) -> m.Claims:
    return m.Claims(_runs(fields), fields.integer("rate", 0, m.MAX_BYTES))


def _parse_lost(fields: Fields) -> m.Lost:
    return m.Lost(_runs(fields))


def _runs(fields: Fields) -> tuple[tuple[int, int], ...]:
    runs = fields.list_of("runs")
    if len(runs) > m.MAX_RUNS:
        raise fields.refused("runs", f"{len(runs)} of them, more than {m.MAX_RUNS}")
    return tuple(_run(fields, number, run) for number, run in enumerate(runs))


def _run(fields: Fields, number: int, value: bencode.Value) -> tuple[int, int]:
    match value:
        case [int(first), int(count)] if first >= 0 and count > 0 and first + count <= m.MAX_PIECE + 1:
            return first, count
        case _:
            raise fields.refused(f"runs[{number}]", "not a first piece and a count of pieces")


def _parse_accuse(fields: Fields) -> m.Accuse:
    return m.Accuse(
        bytes_of(fields, "author", m.KEY_LENGTH),
        fields.integer("piece", 0, m.MAX_PIECE),
        fields.integer("begin", 0, m.MAX_PIECE),
    )


_PARSERS: Final[Mapping[bytes, Callable[[Fields], m.PoolMessage]]] = {
    b"claims": _parse_claims,
    b"lost": _parse_lost,
    b"accuse": _parse_accuse,
}
