"""What can be fuzzed of what the members of a group say to each other."""

from __future__ import annotations

from collections.abc import Callable

from shoal.errors import FormatError
from shoal.protocol.group.meeting import encode_meeting, parse_meeting
from shoal.protocol.group.messages import MAX_REASON_LENGTH, Records, Refused
from shoal.protocol.group.pool import encode_pool, parse_pool


def fuzz_group_meeting(data: bytes) -> None:
    """What was understood is understood the same when it is said again."""
    try:
        message = parse_meeting(data)
    except FormatError as error:
        assert error.message.isprintable()
        return
    if message is not None:
        assert parse_meeting(encode_meeting(message)) == message
    if isinstance(message, Refused):
        assert message.reason.isprintable() and len(message.reason) <= MAX_REASON_LENGTH


def fuzz_group_pool(data: bytes) -> None:
    """Records have one spelling; so have the other messages, but for fields that nobody knows."""
    try:
        message = parse_pool(data)
    except FormatError as error:
        assert error.message.isprintable()
        return
    if isinstance(message, Records):
        assert encode_pool(message) == data
    elif message is not None:
        assert parse_pool(encode_pool(message)) == message


TARGETS: dict[str, Callable[[bytes], None]] = {
    "group_meeting": fuzz_group_meeting,
    "group_pool": fuzz_group_pool,
}
