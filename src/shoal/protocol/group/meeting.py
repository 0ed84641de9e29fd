"""The messages of the meeting <-> bytes. Any bytes give a message, None (a kind nobody knows yet) or `FormatError`.

Fields that nobody knows are passed over, so that messages can grow.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Final, assert_never

from shoal.formats import bencode
from shoal.formats.fields import Fields
from shoal.protocol.group import messages as m
from shoal.protocol.group.fields import bytes_of, open_dict, text_of
from shoal.protocol.peer.printable import printable_text


def encode_meeting(message: m.MeetingMessage) -> bytes:
    """A reason that is too long or not printable is made fit; so is a pause of more than a day."""
    fields: Mapping[str, object]
    match message:
        case m.Presence():
            fields = {
                "kind": "presence",
                "is_helper": int(message.is_helper),
                "pools": message.pools,
                "origins": message.origins,
            }
        case m.AskHelp():
            fields = {
                "kind": "ask_kept" if message.only_kept else "ask_help",
                "info_hash": message.info_hash,
                "url": message.url,
                "length": message.length,
                "validator": message.validator,
                "validator_kind": message.validator_kind.value,
            }
        case m.Kept():
            fields = {"kind": "kept", "info_hash": message.info_hash, "is_any": int(message.is_any)}
        case m.Dismiss():
            fields = {"kind": "dismiss", "info_hash": message.info_hash}
        case m.Helping():
            fields = {"kind": "helping", "info_hash": message.info_hash}
        case m.Refused():
            reason = printable_text(message.reason, max_length=m.MAX_REASON_LENGTH)
            fields = {"kind": "refused", "info_hash": message.info_hash, "reason": reason}
        case m.Pause():
            seconds = min(message.seconds, m.MAX_PAUSE)
            fields = {"kind": "pause", "origin": message.origin, "seconds": seconds}
        case _:
            assert_never(message)
    return bencode.encode(fields)


def parse_meeting(payload: bytes | memoryview) -> m.MeetingMessage | None:
    fields = open_dict(payload, "meeting")
    parse = _PARSERS.get(fields.bytes_of("kind"))
    return None if parse is None else parse(fields)


def _parse_presence(fields: Fields) -> m.Presence:
    is_helper = bool(fields.integer("is_helper", 0, 1))
    pools = fields.list_of("pools")
    if len(pools) > m.MAX_POOLS:
        raise fields.refused("pools", f"{len(pools)} of them, more than {m.MAX_POOLS}")
    origins = fields.dict_of("origins")
    if len(origins) > m.MAX_ORIGINS:
        raise fields.refused("origins", f"{len(origins)} of them, more than {m.MAX_ORIGINS}")
    return m.Presence(
        is_helper,
        tuple(_pool(fields, number, value) for number, value in enumerate(pools)),
        {_tag(fields, "origins", tag): _connections(fields, value) for tag, value in origins.items()},
    )


def _pool(fields: Fields, number: int, value: bencode.Value) -> bytes:
    if not isinstance(value, bytes) or len(value) != m.HASH_LENGTH:
        raise fields.refused(f"pools[{number}]", f"not a string of {m.HASH_LENGTH} bytes")
    return value


def _tag(fields: Fields, key: str, tag: bytes) -> bytes:
    if len(tag) != m.TAG_LENGTH:
        raise fields.refused(key, f"a tag of {len(tag)} bytes, not {m.TAG_LENGTH}")
    return tag


def _connections(fields: Fields, value: bencode.Value) -> int:
    if not isinstance(value, int) or not 0 <= value <= m.MAX_CONNECTIONS:
        raise fields.refused("origins", f"connections that are not 0 to {m.MAX_CONNECTIONS}")
    return value


def _parse_ask_help(fields: Fields, *, only_kept: bool = False) -> m.AskHelp:
    kind = fields.bytes_of("validator_kind")
    if kind not in _VALIDATOR_KINDS:
        shown = printable_text(kind)
        raise fields.refused("validator_kind", f"'{shown}' is none that is known")
    url = text_of(fields, "url", m.MAX_URL_LENGTH)
    if not url.isprintable() or " " in url:
        raise fields.refused("url", "a space, or a character that is not printable")
    validator = text_of(fields, "validator", m.MAX_VALIDATOR_LENGTH)
    length = fields.integer("length", 1, m.MAX_BYTES)
    return m.AskHelp(_info_hash(fields), url, length, validator, _VALIDATOR_KINDS[kind], only_kept)


def _parse_kept(fields: Fields) -> m.Kept:
    return m.Kept(_info_hash(fields), bool(fields.integer("is_any", 0, 1)))


def _parse_dismiss(fields: Fields) -> m.Dismiss:
    return m.Dismiss(_info_hash(fields))


def _parse_helping(fields: Fields) -> m.Helping:
    return m.Helping(_info_hash(fields))


def _parse_refused(fields: Fields) -> m.Refused:
    reason = printable_text(fields.bytes_of("reason"), max_length=m.MAX_REASON_LENGTH)
    return m.Refused(_info_hash(fields), reason)


def _parse_pause(fields: Fields) -> m.Pause:
    origin = _tag(fields, "origin", fields.bytes_of("origin"))
    return m.Pause(origin, fields.integer("seconds", 0, m.MAX_PAUSE))


def _info_hash(fields: Fields) -> bytes:
    return bytes_of(fields, "info_hash", m.HASH_LENGTH)


_VALIDATOR_KINDS: Final = {kind.value.encode(): kind for kind in m.ValidatorKind}
_PARSERS: Final[Mapping[bytes, Callable[[Fields], m.MeetingMessage]]] = {
    b"presence": _parse_presence,
    b"ask_help": _parse_ask_help,
    b"ask_kept": partial(_parse_ask_help, only_kept=True),
    b"kept": _parse_kept,
    b"dismiss": _parse_dismiss,
    b"helping": _parse_helping,
    b"refused": _parse_refused,
    b"pause": _parse_pause,
}
