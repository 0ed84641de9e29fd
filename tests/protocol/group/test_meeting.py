"""What is said in the meeting: exact in what we send; of what comes, whatever is wrong is refused by name."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from shoal.errors import FormatError
from shoal.formats import bencode
from shoal.protocol.group import messages as m
from shoal.protocol.group.fields import MAX_MESSAGE_LENGTH
from shoal.protocol.group.meeting import encode_meeting, parse_meeting

from .values import any_changes, mangled, meeting_messages

HASH = bytes(range(20))
TAG = b"an origin's tag."
PRESENCE = {"kind": "presence", "is_helper": 1, "pools": [HASH], "origins": {TAG: 3}}
ASK = {
    "kind": "ask_help",
    "info_hash": HASH,
    "url": "https://example.org/disk.iso",
    "length": 1000,
    "validator": '"v1"',
    "validator_kind": "etag",
}
KEPT = {"kind": "kept", "info_hash": HASH, "is_any": 1}
REFUSED = {"kind": "refused", "info_hash": HASH, "reason": "no room"}
PAUSE = {"kind": "pause", "origin": TAG, "seconds": 30}


@given(meeting_messages)
def test_what_is_encoded_comes_back(message: m.MeetingMessage) -> None:
    encoded = encode_meeting(message)
    assert parse_meeting(encoded) == message
    assert parse_meeting(memoryview(encoded)) == message


@given(st.binary(max_size=200) | meeting_messages.map(encode_meeting), any_changes)
def test_any_bytes_give_a_message_or_the_named_error(payload: bytes, changes: list[tuple[int, int]]) -> None:
    try:
        message = parse_meeting(mangled(payload, changes))
    except FormatError as error:
        assert error.message.startswith("meeting")
        assert error.message.isprintable()
        return
    assert message is None or parse_meeting(encode_meeting(message)) == message


def test_the_messages_have_the_fields_of_the_design() -> None:
    ask = m.AskHelp(HASH, "https://example.org/disk.iso", 1000, '"v1"', m.ValidatorKind.ETAG)
    for message, fields in (
        (m.Presence(True, (HASH,), {TAG: 3}), PRESENCE),
        (ask, ASK),
        (replace(ask, only_kept=True), {**ASK, "kind": "ask_kept"}),
        (m.Kept(HASH, is_any=True), KEPT),
        (m.Dismiss(HASH), {"kind": "dismiss", "info_hash": HASH}),
        (m.Helping(HASH), {"kind": "helping", "info_hash": HASH}),
        (m.Refused(HASH, "no room"), REFUSED),
        (m.Pause(TAG, 30), PAUSE),
    ):
        assert encode_meeting(message) == bencode.encode(fields)


def test_a_kind_nobody_knows_yet_is_passed_over() -> None:
    assert parse_meeting(bencode.encode({"kind": "wave", "at": [1, {"x": 2}]})) is None


def test_a_field_nobody_knows_yet_is_passed_over() -> None:
    assert parse_meeting(bencode.encode({**PAUSE, "why": "429"})) == m.Pause(TAG, 30)


@pytest.mark.parametrize(
    ("fields", "what"),
    [
        ({"info_hash": HASH}, "meeting.kind: missing"),
        ({"kind": 7}, "meeting.kind: an integer, not a string"),
        ({"kind": "helping"}, "meeting.info_hash: missing"),
        ({"kind": "helping", "info_hash": HASH[:19]}, "meeting.info_hash: 19 bytes, not 20"),
        ({"kind": "dismiss", "info_hash": HASH + b"x"}, "meeting.info_hash: 21 bytes, not 20"),
        ({**KEPT, "is_any": 2}, "meeting.is_any: 2 is not between 0 and 1"),
        ({"kind": "kept", "info_hash": HASH}, "meeting.is_any: missing"),
        ({**ASK, "kind": "ask_kept", "url": "x" * 8193}, "meeting.url: 8193 bytes, not 1 to 8192"),
        ({**ASK, "kind": "ask_kept", "length": 0}, "meeting.length: 0 is not between"),
        ({**PRESENCE, "is_helper": 2}, "meeting.is_helper: 2 is not between 0 and 1"),
        ({**PRESENCE, "pools": [HASH, b"short"]}, r"meeting.pools\[1\]: not a string of 20 bytes"),
        ({**PRESENCE, "pools": [7]}, r"meeting.pools\[0\]: not a string of 20 bytes"),
        ({**PRESENCE, "pools": [HASH] * 257}, "meeting.pools: 257 of them, more than 256"),
        ({**PRESENCE, "origins": [TAG]}, "meeting.origins: a list, not a dictionary"),
        ({**PRESENCE, "origins": {b"short": 1}}, "meeting.origins: a tag of 5 bytes"),
        ({**PRESENCE, "origins": {TAG: -1}}, "meeting.origins: connections that are not"),
        ({**PRESENCE, "origins": {TAG: b"3"}}, "meeting.origins: connections that are not"),
        (
            {**PRESENCE, "origins": {b"%016d" % number: 1 for number in range(257)}},
            "meeting.origins: 257 of them, more than 256",
        ),
        ({**ASK, "url": ""}, "meeting.url: 0 bytes"),
        ({**ASK, "url": "x" * 8193}, "meeting.url: 8193 bytes, not 1 to 8192"),
        ({**ASK, "url": "http://x/\r\nHost: y"}, "meeting.url: a control character at byte 9"),
        ({**ASK, "url": "http://x/a b"}, "meeting.url: a space"),
        ({**ASK, "url": "http://x/\u202e"}, "meeting.url: .* not printable"),
        ({**ASK, "url": b"http://x/\xff"}, "meeting.url: not UTF-8 at byte 9"),
        ({**ASK, "length": 0}, "meeting.length: 0 is not between"),
        ({**ASK, "length": 1 << 51}, "meeting.length"),
        ({**ASK, "validator": "x" * 601}, "meeting.validator: 601 bytes"),
        ({**ASK, "validator": "a\x00b"}, "meeting.validator: a control character at byte 1"),
        ({**ASK, "validator_kind": "\x1bmood"}, r"meeting.validator_kind: '\\x1bmood' is none that is known"),
        ({**PAUSE, "seconds": -1}, "meeting.seconds: -1"),
        ({**PAUSE, "seconds": 86_401}, "meeting.seconds: 86401"),
        ({**PAUSE, "origin": b"x" * 33}, "meeting.origin: a tag of 33 bytes"),
    ],
)
def test_what_is_wrong_is_refused_with_its_place(fields: dict[str, object], what: str) -> None:
    with pytest.raises(FormatError, match=what):
        parse_meeting(bencode.encode(fields))


@pytest.mark.parametrize("payload", [b"", b"le", b"i1e", b"d4:kind4:pausee", b"d" * 200, b"r" + bytes(132)])
def test_what_is_no_message_is_refused(payload: bytes) -> None:
    with pytest.raises(FormatError, match=r"^meeting"):
        parse_meeting(payload)


def test_a_message_that_is_too_long_is_refused_before_it_is_read() -> None:
    with pytest.raises(FormatError, match="32769 bytes, more than 32768"):
        parse_meeting(b"l" * (MAX_MESSAGE_LENGTH + 1))


def test_the_fullest_presence_and_the_longest_question_fit() -> None:
    pools = tuple(number.to_bytes(20, "big") for number in range(m.MAX_POOLS))
    origins = {number.to_bytes(m.TAG_LENGTH, "big"): 65_535 for number in range(m.MAX_ORIGINS)}
    ask = m.AskHelp(HASH, "x" * m.MAX_URL_LENGTH, m.MAX_BYTES, "v" * 600, m.ValidatorKind.DIGEST)
    for message in (m.Presence(True, pools, origins), ask):
        assert parse_meeting(encode_meeting(message)) == message


def test_a_reason_is_one_printable_line_whoever_made_it() -> None:
    evil = "not\x1b[2J today\n" + "x" * 400
    spoken = parse_meeting(encode_meeting(m.Refused(HASH, evil)))
    heard = parse_meeting(bencode.encode({**REFUSED, "reason": evil}))
    assert isinstance(heard, m.Refused)
    assert spoken == heard
    assert heard.reason.startswith("not\\x1b[2J today\\nxxx")
    assert heard.reason.isprintable()
    assert len(heard.reason) == m.MAX_REASON_LENGTH


def test_a_pause_of_a_week_is_said_as_one_of_a_day() -> None:
    assert parse_meeting(encode_meeting(m.Pause(TAG, 7 * 86_400))) == m.Pause(TAG, 86_400)
