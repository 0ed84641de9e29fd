"""The extension handshake (BEP 10), with `upload_only` (BEP 21) and `metadata_size` (BEP 9).

Lenient field by field: a value of the wrong type or out of range counts as not sent, for clients differ and
every field is optional. Only what is no bencoded dict at all is refused. What comes out is bounded, and the
client's name is safe to print.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass, field

from shoal.errors import FormatError
from shoal.formats import bencode
from shoal.protocol.peer.printable import printable_text
from shoal.units import KIB, MIB

MAX_HANDSHAKE_LENGTH = 64 * KIB  # real ones have about 200 bytes
MAX_MESSAGES = 64  # the busiest client names nine
MAX_NAME_LENGTH = 64
MAX_ITEMS = 1_000
MAX_DEPTH = 8  # the handshake needs two levels
MAX_METADATA_SIZE = 64 * MIB  # an info dict of three million pieces
MAX_REQUEST_QUEUE = 65_536  # a GiB on its way; a larger promise is of no use to anybody


@dataclass(frozen=True, slots=True)
class ExtendedHandshake:
    """What one side says of itself. `None` (or an empty name) is a field that was not sent."""

    messages: Mapping[str, int] = field(default_factory=dict)  # name -> id to send it under; 0: off
    client: str = ""
    listen_port: int | None = None
    request_queue: int | None = None  # requests the sender keeps without dropping any
    your_ip: str | None = None  # the receiver's address as the sender sees it
    is_upload_only: bool | None = None
    metadata_size: int | None = None
    ipv4: str | None = None  # where the sender can be reached as well
    ipv6: str | None = None

    def message_id(self, name: str) -> int | None:
        """The id under which the sender wants to receive `name`; `None` if it does not."""
        return self.messages.get(name) or None


def encode_extended_handshake(handshake: ExtendedHandshake) -> bytes:
    """The payload that follows the extended message's id 0."""
    fields: dict[str, object] = {"m": dict(handshake.messages)}
    if handshake.client:
        fields["v"] = handshake.client
    for key, number in (
        ("p", handshake.listen_port),
        ("reqq", handshake.request_queue),
        ("upload_only", handshake.is_upload_only),
        ("metadata_size", handshake.metadata_size),
    ):
        if number is not None:
            fields[key] = int(number)
    for key, address in (("yourip", handshake.your_ip), ("ipv4", handshake.ipv4), ("ipv6", handshake.ipv6)):
        if address is not None:
            fields[key] = ipaddress.ip_address(address).packed
    return bencode.encode(fields)


def parse_extended_handshake(payload: bytes | memoryview) -> ExtendedHandshake:
    """Read the payload that follows the extended message's id 0. Raises `FormatError`."""
    if len(payload) > MAX_HANDSHAKE_LENGTH:
        raise FormatError(f"extension handshake: {len(payload)} bytes, more than {MAX_HANDSHAKE_LENGTH}")
    fields = bencode.decode(
        payload, allow_trailing=True, allow_unsorted=True, max_depth=MAX_DEPTH, max_items=MAX_ITEMS
    )
    if not isinstance(fields, dict):
        raise FormatError(f"extension handshake: a {type(fields).__name__}, not a dict")
    upload_only = _number(fields.get(b"upload_only"), 0, 1)
    return ExtendedHandshake(
        messages=_messages(fields.get(b"m")),
        client=_text(fields.get(b"v")),
        listen_port=_number(fields.get(b"p"), 1, 65_535),
        request_queue=_clamped(fields.get(b"reqq"), 1, MAX_REQUEST_QUEUE),
        your_ip=_address(fields.get(b"yourip"), lengths=(4, 16)),
        is_upload_only=None if upload_only is None else bool(upload_only),
        metadata_size=_number(fields.get(b"metadata_size"), 1, MAX_METADATA_SIZE),
        ipv4=_address(fields.get(b"ipv4"), lengths=(4,)),
        ipv6=_address(fields.get(b"ipv6"), lengths=(16,)),
    )


def _messages(value: bencode.Value | None) -> dict[str, int]:
    if not isinstance(value, dict):
        return {}
    messages: dict[str, int] = {}
    for raw_name, raw_id in value.items():
        message_id = _number(raw_id, 0, 255)
        name = _name(raw_name)
        if message_id is not None and name is not None and len(messages) < MAX_MESSAGES:
            messages[name] = message_id
    return messages


def _name(raw: bytes) -> str | None:
    try:
        return raw.decode("utf-8") if len(raw) <= MAX_NAME_LENGTH else None
    except UnicodeDecodeError:
        return None


def _text(value: bencode.Value | None) -> str:
    return printable_text(value) if isinstance(value, bytes) else ""


def _number(value: bencode.Value | None, low: int, high: int) -> int | None:
    return value if isinstance(value, int) and low <= value <= high else None


def _clamped(value: bencode.Value | None, low: int, high: int) -> int | None:
    return min(value, high) if isinstance(value, int) and value >= low else None


def _address(value: bencode.Value | None, *, lengths: tuple[int, ...]) -> str | None:
    """An address in network byte order as text; one that is mapped into IPv6 comes out as IPv4."""
    if not isinstance(value, bytes) or len(value) not in lengths:
        return None
    address = ipaddress.ip_address(value)
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return str(mapped or address)
