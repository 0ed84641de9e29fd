"""The question: a request <-> the query string of its URL (BEP 3, 48).

Values are raw bytes behind percent signs; an info hash is no text, and a zero byte in it is as good as any
other. Parsing takes what the server got after the `?`, trusts nothing, and refuses with `QueryError`, whose
message is fit to be sent back as the failure reason.
"""

from __future__ import annotations

from binascii import unhexlify
from urllib.parse import quote_from_bytes, unquote_to_bytes

from shoal.errors import FormatError
from shoal.protocol.tracker.messages import HASH_LENGTH, PEER_ID_LENGTH, AnnounceRequest, Event

MAX_QUERY_LENGTH = 8192  # 100 percent-encoded info hashes in one scrape fit; a hostile query does not
MAX_PARAMETERS = 128  # likewise
MAX_SCRAPE_HASHES = 100
MAX_NUMBER = 2**63 - 1  # more bytes than anybody has moved
MAX_NUMBER_DIGITS = 19  # so that int() is never given a long text
MAX_OPAQUE_LENGTH = 64  # of `key` and `trackerid`, which are kept as they are

_EVENTS: dict[bytes, Event | None] = {
    b"": None,
    b"empty": None,
    b"paused": None,  # BEP 21: done with what it wants, nothing else is different
    b"started": Event.STARTED,
    b"completed": Event.COMPLETED,
    b"stopped": Event.STOPPED,
}


class QueryError(FormatError):
    """A question that cannot be answered; the message is the failure reason."""


# -- the client asks ---------------------------------------------------------------------------------


def encode_announce_query(request: AnnounceRequest) -> str:
    """The request as a query string, without the `?`."""
    fields = [
        ("info_hash", _quote(request.info_hash)),
        ("peer_id", _quote(request.peer_id)),
        ("port", str(request.port)),
        ("uploaded", str(request.uploaded)),
        ("downloaded", str(request.downloaded)),
        ("left", str(request.left)),
        ("compact", "1" if request.is_compact else "0"),
    ]
    if request.event is not None:
        fields.append(("event", request.event.value))
    if request.numwant is not None:
        fields.append(("numwant", str(request.numwant)))
    if request.key:
        fields.append(("key", _quote(request.key)))
    if request.tracker_id:
        fields.append(("trackerid", _quote(request.tracker_id)))
    return "&".join(f"{name}={value}" for name, value in fields)


def encode_scrape_query(info_hashes: list[bytes]) -> str:
    return "&".join(f"info_hash={_quote(info_hash)}" for info_hash in info_hashes)


def _quote(raw: bytes) -> str:
    return quote_from_bytes(raw, safe="")


# -- the server reads --------------------------------------------------------------------------------


def parse_announce_query(query: bytes) -> AnnounceRequest:
    """A raw query string -> the request. Unknown parameters (`ip` among them) are passed over."""
    values = _values(query)
    return AnnounceRequest(
        _fixed(values, b"info_hash", HASH_LENGTH),
        _fixed(values, b"peer_id", PEER_ID_LENGTH),
        _number(values, b"port", maximum=65535),
        _number(values, b"uploaded", default=0),
        _number(values, b"downloaded", default=0),
        _number(values, b"left"),
        _event(values),
        _numwant(values),
        _opaque(values, b"key"),
        _opaque(values, b"trackerid"),
        values.get(b"compact") != b"0",
    )


def parse_scrape_query(query: bytes) -> list[bytes]:
    """A raw query string -> the info hashes asked for; none at all means all swarms."""
    info_hashes = []
    for part in _checked(query).split(b"&"):
        name, _, value = part.partition(b"=")
        if name == b"info_hash":
            info_hashes.append(_fixed({name: value}, name, HASH_LENGTH))
    if len(info_hashes) > MAX_SCRAPE_HASHES:
        raise QueryError(f"{len(info_hashes)} info hashes in one scrape; at most {MAX_SCRAPE_HASHES}")
    return info_hashes


def _checked(query: bytes) -> bytes:
    if len(query) > MAX_QUERY_LENGTH:
        raise QueryError(f"the query has {len(query)} bytes; at most {MAX_QUERY_LENGTH}")
    if query.count(b"&") >= MAX_PARAMETERS:
        raise QueryError(f"the query has more than {MAX_PARAMETERS} parameters")
    return query


def _values(query: bytes) -> dict[bytes, bytes]:
    """Raw values by name, of equal names the last; values stay percent-encoded until somebody wants them."""
    parts = _checked(query).split(b"&")
    try:
        return dict([part.split(b"=", 1) for part in parts])
    except ValueError:  # a part without `=`
        return dict([part.partition(b"=")[::2] for part in parts])


def _fixed(values: dict[bytes, bytes], name: bytes, length: int) -> bytes:
    quoted = values.get(name)
    if quoted is None:
        raise QueryError(f"{name.decode()} is missing")
    raw = unquoted(quoted)
    if len(raw) != length:
        raise QueryError(f"{name.decode()} has {len(raw)} bytes, not {length}")
    return raw


def unquoted(quoted: bytes) -> bytes:
    """What is behind the percent signs; a lone one stands for itself. `urllib`'s own takes twice the time."""
    count = quoted.count(b"%")
    if count == 0:
        return quoted
    try:
        if quoted[::3] == b"%" * count and len(quoted) == 3 * count:  # every byte is written so, as often
            return unhexlify(quoted.translate(None, b"%"))  # `fromhex` would skip blanks
        first, *rest = quoted.split(b"%")
        return first + b"".join([_BYTES[part[:2]] + part[2:] for part in rest])
    except (KeyError, ValueError):
        return unquote_to_bytes(quoted)


_DIGITS = b"0123456789abcdefABCDEF"
_BYTES = {bytes((high, low)): bytes.fromhex(chr(high) + chr(low)) for high in _DIGITS for low in _DIGITS}


def _number(
    values: dict[bytes, bytes], name: bytes, *, default: int | None = None, maximum: int = MAX_NUMBER
) -> int:
    digits = values.get(name)
    if (
        digits
        and len(digits) <= MAX_NUMBER_DIGITS
        and digits.isdigit()
        and (number := int(digits)) <= maximum
    ):
        return number
    if digits:
        raise QueryError(f"{name.decode()} '{_shown(digits)}' is not a number from 0 to {maximum}")
    if default is None:
        raise QueryError(f"{name.decode()} is missing")
    return default


def _numwant(values: dict[bytes, bytes]) -> int | None:
    """A negative count is the old way to say "as you like" (BEP 15 spells it -1)."""
    quoted = values.get(b"numwant")
    if not quoted or quoted.startswith(b"-"):
        return None
    return _number(values, b"numwant")


def _event(values: dict[bytes, bytes]) -> Event | None:
    name = values.get(b"event", b"")
    try:
        return _EVENTS[name]
    except KeyError:
        raise QueryError(f"event '{_shown(name)}' is not started, completed or stopped") from None


def _opaque(values: dict[bytes, bytes], name: bytes) -> bytes:
    quoted = values.get(name)
    if not quoted:
        return b""
    raw = unquoted(quoted)
    if len(raw) > MAX_OPAQUE_LENGTH:
        raise QueryError(f"{name.decode()} has {len(raw)} bytes; at most {MAX_OPAQUE_LENGTH}")
    return raw


def _shown(raw: bytes) -> str:
    """A stranger's bytes, short and harmless enough for a message."""
    text = raw[:32].decode("ascii", "replace")
    return "".join(char if char.isprintable() else "?" for char in text)
