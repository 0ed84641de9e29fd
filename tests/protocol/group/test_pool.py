"""What is said in a pool: claims and accusations as dicts, records packed."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shoal.errors import FormatError
from shoal.formats import bencode
from shoal.protocol.group import messages as m
from shoal.protocol.group.pool import encode_pool, parse_pool, split_lost
from shoal.protocol.group.records import RECORD_LENGTH, split_records

from .values import any_changes, mangled, piece_records, pool_messages

AUTHOR = bytes(range(32))
CLAIMS = {"kind": "claims", "runs": [[0, 4], [9, 1]], "rate": 1000}
ACCUSE = {"kind": "accuse", "author": AUTHOR, "piece": 7, "begin": 16_384}
RECORD = m.PieceRecord(258, AUTHOR, b"d" * 32, b"s" * 64)


@given(pool_messages)
def test_what_is_encoded_comes_back(message: m.PoolMessage) -> None:
    encoded = encode_pool(message)
    assert parse_pool(encoded) == message
    assert parse_pool(memoryview(encoded)) == message


@given(st.binary(max_size=200) | pool_messages.map(encode_pool), any_changes)
def test_any_bytes_give_a_message_or_the_named_error(payload: bytes, changes: list[tuple[int, int]]) -> None:
    try:
        message = parse_pool(mangled(payload, changes))
    except FormatError as error:
        assert error.message.startswith(("pool", "records"))
        assert error.message.isprintable()
        return
    assert message is None or parse_pool(encode_pool(message)) == message


def test_the_messages_have_the_form_of_the_design() -> None:
    assert encode_pool(m.Claims(((0, 4), (9, 1)), 1000)) == bencode.encode(CLAIMS)
    assert encode_pool(m.Lost(((3, 2),))) == bencode.encode({"kind": "lost", "runs": [[3, 2]]})
    assert encode_pool(m.Accuse(AUTHOR, 7, 16_384)) == bencode.encode(ACCUSE)
    packed = b"r" + bytes((0, 0, 1, 2)) + AUTHOR + b"d" * 32 + b"s" * 64
    assert encode_pool(m.Records((RECORD,))) == packed
    assert encode_pool(m.Records((RECORD, RECORD))) == packed + packed[1:]
    assert RECORD_LENGTH == 132


def test_a_kind_or_a_field_nobody_knows_yet_is_passed_over() -> None:
    assert parse_pool(bencode.encode({"kind": "wave"})) is None
    assert parse_pool(bencode.encode({**CLAIMS, "mood": 1})) == m.Claims(((0, 4), (9, 1)), 1000)


@pytest.mark.parametrize(
    ("fields", "what"),
    [
        ({"runs": []}, "pool.kind: missing"),
        ({"kind": "claims", "runs": []}, "pool.rate: missing"),
        ({**CLAIMS, "rate": -1}, "pool.rate: -1"),
        ({**CLAIMS, "runs": {}}, "pool.runs: a dictionary, not a list"),
        ({**CLAIMS, "runs": [[number, 1] for number in range(65)]}, "pool.runs: 65 of them, more than 64"),
        ({**CLAIMS, "runs": [[0, 1], [2]]}, r"pool.runs\[1\]: not a first piece and a count"),
        ({**CLAIMS, "runs": [[0, 1, 2]]}, r"pool.runs\[0\]"),
        ({**CLAIMS, "runs": [[0, 0]]}, r"pool.runs\[0\]"),
        ({**CLAIMS, "runs": [[-1, 2]]}, r"pool.runs\[0\]"),
        ({**CLAIMS, "runs": [[1, 1 << 32]]}, r"pool.runs\[0\]"),
        ({**CLAIMS, "runs": ["01"]}, r"pool.runs\[0\]"),
        ({**CLAIMS, "runs": [["0", "1"]]}, r"pool.runs\[0\]"),
        ({"kind": "lost", "runs": [[0, 1]] * 65}, "pool.runs: 65 of them, more than 64"),
        ({**ACCUSE, "author": AUTHOR[:31]}, "pool.author: 31 bytes, not 32"),
        ({**ACCUSE, "piece": 1 << 32}, "pool.piece"),
        ({**ACCUSE, "begin": -16_384}, "pool.begin"),
    ],
)
def test_what_is_wrong_is_refused_with_its_place(fields: dict[str, object], what: str) -> None:
    with pytest.raises(FormatError, match=what):
        parse_pool(bencode.encode(fields))


def test_half_a_record_is_refused_with_its_place() -> None:
    with pytest.raises(FormatError, match="records: byte 133: 5 bytes where a record has 132"):
        parse_pool(encode_pool(m.Records((RECORD,))) + b"short")


def test_a_message_with_too_many_records_is_neither_made_nor_read() -> None:
    with pytest.raises(ValueError, match="1001 records"):
        encode_pool(m.Records((RECORD,) * 1001))
    with pytest.raises(FormatError, match="1001 of them, more than 1000"):
        parse_pool(b"r" + bytes(132 * 1001))


@given(st.lists(piece_records, max_size=3), st.sampled_from([0, 1, 999, 1000, 1001, 2500]))
def test_records_are_split_into_messages_that_fit(some: list[m.PieceRecord], count: int) -> None:
    records = (some * count)[:count]
    messages = list(split_records(records))
    assert [record for message in messages for record in message.records] == records
    assert len(messages) == -(-len(records) // m.MAX_RECORDS)
    assert all(parse_pool(encode_pool(message)) == message for message in messages)


def test_what_is_lost_is_split_into_messages_that_fit() -> None:
    runs = [(2 * number, 1) for number in range(2 * m.MAX_RUNS + 1)]
    messages = list(split_lost(runs))
    assert [run for message in messages for run in message.runs] == runs
    assert len(messages) == 3
    assert all(parse_pool(encode_pool(message)) == message for message in messages)
