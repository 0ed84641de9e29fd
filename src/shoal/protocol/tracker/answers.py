"""The answer: what a tracker says, as a value <-> its bencoded form (BEP 3, 7, 23, 24, 31, 48).

Trackers of the world are loose: keys come unsorted, most of them may be absent, peers come packed or as
dictionaries, and the two may be mixed. That is read; what has the wrong type or length is refused with a
`FormatError`. Our own answers are canonical. Text from a tracker ends on a terminal, so it is made one short
printable line here.
"""

from __future__ import annotations

import ipaddress
import math
from collections.abc import Iterable, Mapping

from shoal.errors import FormatError
from shoal.formats.bencode import Value, decode, encode
from shoal.formats.compact import encode_compact_v4, encode_compact_v6, parse_compact_v4, parse_compact_v6
from shoal.protocol.tracker.messages import (
    HASH_LENGTH,
    RECORD_LENGTH_V4,
    RECORD_LENGTH_V6,
    AnnounceResponse,
    ScrapeEntry,
    ScrapeResponse,
    TrackerFailure,
)

MAX_ANSWER_LENGTH = 1 << 20  # 170,000 packed peers, or a scrape of 10,000 swarms
MAX_DEPTH = 8  # an answer is three deep
MAX_ITEMS = 100_000  # 10,000 peers as dictionaries
MAX_TEXT_LENGTH = 300  # of a failure reason or warning, in characters
MAX_TRACKER_ID_LENGTH = 64  # it goes into every later question
MAX_HOST_LENGTH = 253  # of a DNS name
MAX_SECONDS = 2**31  # 68 years; far beyond any interval, far below any overflow

_Fields = dict[bytes, Value]


# -- the client reads --------------------------------------------------------------------------------


def parse_announce_response(data: bytes) -> AnnounceResponse | TrackerFailure:
    """The body of an answer to an announce. Raises `FormatError`."""
    fields = _decode(data)
    failure = _failure(fields)
    if failure is not None:
        return failure
    peers_v4, peers_v6, named_peers = _peers(fields)
    tracker_id = _bytes(fields, b"tracker id")
    if len(tracker_id) > MAX_TRACKER_ID_LENGTH:
        raise FormatError(f"tracker id of {len(tracker_id)} bytes; at most {MAX_TRACKER_ID_LENGTH}")
    return AnnounceResponse(
        interval=_seconds(fields, b"interval"),
        min_interval=_seconds(fields, b"min interval"),
        complete=_count(fields, b"complete"),
        incomplete=_count(fields, b"incomplete"),
        peers_v4=peers_v4,
        peers_v6=peers_v6,
        named_peers=named_peers,
        tracker_id=tracker_id,
        external_ip=_external_ip(fields),
        warning=one_line(_bytes(fields, b"warning message")),
    )


def parse_scrape_response(data: bytes) -> ScrapeResponse | TrackerFailure:
    """The body of an answer to a scrape. Keys that are no info hash are passed over. Raises `FormatError`."""
    fields = _decode(data)
    failure = _failure(fields)
    if failure is not None:
        return failure
    files = _dict(fields, b"files")
    entries = {}
    for info_hash, counts in files.items():
        if len(info_hash) != HASH_LENGTH:
            continue
        if not isinstance(counts, dict):
            raise FormatError(f"scrape of {info_hash.hex()}: {_kind(counts)}, not a dictionary")
        entries[info_hash] = ScrapeEntry(
            complete=_count(counts, b"complete") or 0,
            incomplete=_count(counts, b"incomplete") or 0,
            downloaded=_count(counts, b"downloaded") or 0,
        )
    return ScrapeResponse(entries, min_interval=_seconds(_dict(fields, b"flags"), b"min_request_interval"))


def parse_peer_dict(entry: Value) -> tuple[str, int]:
    """One peer in the old form, `{ip, port}` with `ip` an address or a name. Raises `FormatError`."""
    if not isinstance(entry, dict):
        raise FormatError(f"a peer is {_kind(entry)}, not a dictionary")
    host, port = entry.get(b"ip"), entry.get(b"port")
    if not isinstance(host, bytes):
        raise FormatError("a peer lacks its ip")
    if not isinstance(port, int):
        raise FormatError("a peer lacks its port")
    if not 0 <= port <= 65535:
        raise FormatError(f"a peer's port is {port}")
    name = host.decode("ascii", "replace")
    if not 0 < len(name) <= MAX_HOST_LENGTH or not all(char.isalnum() or char in ".:-_" for char in name):
        raise FormatError(f"a peer's ip is '{one_line(host)}'")
    return name, port


def _decode(data: bytes) -> _Fields:
    if len(data) > MAX_ANSWER_LENGTH:
        raise FormatError(f"tracker's answer of {len(data)} bytes; at most {MAX_ANSWER_LENGTH}")
    value = decode(data, allow_unsorted=True, allow_trailing=True, max_depth=MAX_DEPTH, max_items=MAX_ITEMS)
    if not isinstance(value, dict):
        raise FormatError(f"tracker's answer is {_kind(value)}, not a dictionary")
    return value


def _failure(fields: _Fields) -> TrackerFailure | None:
    if b"failure reason" not in fields:
        return None
    reason = one_line(_bytes(fields, b"failure reason")) or "no reason given"
    return TrackerFailure(reason, retry_in=_retry_in(fields))


def _retry_in(fields: _Fields) -> float | None:
    """BEP 31: minutes, or "never"; what is neither is as good as absent."""
    value = fields.get(b"retry in")
    if value == b"never":
        return math.inf
    if isinstance(value, bytes) and value.isdigit() and len(value) < 8:
        value = int(value)
    if isinstance(value, int) and value >= 0:
        return min(value * 60, MAX_SECONDS)
    return None


def _peers(fields: _Fields) -> tuple[bytes, bytes, tuple[tuple[str, int], ...]]:
    """`peers` (packed or as dictionaries) and `peers6` -> packed IPv4, packed IPv6, and named peers."""
    peers_v6 = _bytes(fields, b"peers6")
    if len(peers_v6) % RECORD_LENGTH_V6:
        raise FormatError(f"peers6 of {len(peers_v6)} bytes is no multiple of {RECORD_LENGTH_V6}")
    peers = fields.get(b"peers", b"")
    if isinstance(peers, list):
        listed_v4, listed_v6, named = _sort_by_family(_parse_peer_dicts(peers))
        return listed_v4, listed_v6 + peers_v6, named
    if not isinstance(peers, bytes):
        raise FormatError(f"peers is {_kind(peers)}, neither text nor a list")
    if len(peers) % RECORD_LENGTH_V4:
        raise FormatError(f"peers of {len(peers)} bytes is no multiple of {RECORD_LENGTH_V4}")
    return peers, peers_v6, ()


def _parse_peer_dicts(entries: list[Value]) -> list[tuple[str, int]]:
    """The good entries in their order; it is an error only when all are bad."""
    peers: list[tuple[str, int]] = []
    refusal: FormatError | None = None
    for entry in entries:
        try:
            peers.append(parse_peer_dict(entry))
        except FormatError as error:
            refusal = error
    if refusal is not None and not peers:
        raise refusal
    return peers


def _sort_by_family(peers: Iterable[tuple[str, int]]) -> tuple[bytes, bytes, tuple[tuple[str, int], ...]]:
    v4: list[tuple[str, int]] = []
    v6: list[tuple[str, int]] = []
    named: list[tuple[str, int]] = []
    for host, port in peers:
        try:
            version = ipaddress.ip_address(host).version
        except ValueError:
            named.append((host, port))
            continue
        (v4 if version == 4 else v6).append((host, port))
    return encode_compact_v4(v4), encode_compact_v6(v6), tuple(named)


def _external_ip(fields: _Fields) -> bytes:
    packed = _bytes(fields, b"external ip")
    if len(packed) not in (0, 4, 16):
        raise FormatError(f"external ip of {len(packed)} bytes is neither 4 nor 16")
    return packed


def _bytes(fields: _Fields, key: bytes) -> bytes:
    value = fields.get(key, b"")
    if not isinstance(value, bytes):
        raise FormatError(f"{key.decode()} is {_kind(value)}, not text")
    return value


def _dict(fields: _Fields, key: bytes) -> _Fields:
    value = fields.get(key, {})
    if not isinstance(value, dict):
        raise FormatError(f"{key.decode()} is {_kind(value)}, not a dictionary")
    return value


def _count(fields: _Fields, key: bytes) -> int | None:
    """A number of peers; trackers that do not count say -1, which is as good as absent."""
    value = fields.get(key)
    if value is None:
        return None
    if not isinstance(value, int):
        raise FormatError(f"{key.decode()} is {_kind(value)}, not a number")
    return value if value >= 0 else None


def _seconds(fields: _Fields, key: bytes) -> int | None:
    seconds = _count(fields, key)
    return None if seconds is None else min(seconds, MAX_SECONDS)


def one_line(raw: bytes) -> str:
    """A text from a tracker as it may be shown: printable, short, on one line."""
    text = raw[: 4 * MAX_TEXT_LENGTH].decode("utf-8", "replace")
    return "".join(char if char.isprintable() else " " for char in text)[:MAX_TEXT_LENGTH].strip()


def _kind(value: Value) -> str:
    if isinstance(value, int):
        return "a number"
    if isinstance(value, bytes):
        return "text"
    return "a list" if isinstance(value, list) else "a dictionary"


# -- the server writes -------------------------------------------------------------------------------


def encode_announce_response(response: AnnounceResponse, *, is_compact: bool = True) -> bytes:
    """The answer in the packed form, or as dictionaries for a client that asked for `compact=0`.

    The dictionaries carry no peer ids, as if `no_peer_id=1` had been asked for: the server keeps none.
    """
    numbers = (response.complete, response.incomplete, response.interval, response.min_interval)
    is_plain = is_compact and not response.named_peers
    if (
        is_plain
        and None not in numbers
        and response.external_ip
        and not (response.tracker_id or response.warning)
    ):
        return _USUAL % (  # what a busy tracker writes nearly always, its keys in their order
            response.complete,
            len(response.external_ip),
            response.external_ip,
            response.incomplete,
            response.interval,
            response.min_interval,
            len(response.peers_v4),
            response.peers_v4,
            b"6:peers6%d:%b" % (len(response.peers_v6), response.peers_v6) if response.peers_v6 else b"",
        )
    fields = {
        b"complete": response.complete,
        b"external ip": response.external_ip,
        b"incomplete": response.incomplete,
        b"interval": response.interval,
        b"min interval": response.min_interval,
        b"peers6": response.peers_v6 if is_plain else b"",
        b"tracker id": response.tracker_id,
        b"warning message": response.warning,
    }
    present: dict[bytes, object] = {
        key: value for key, value in fields.items() if value not in (None, b"", "")
    }
    return encode(present | {b"peers": response.peers_v4 if is_plain else _peer_dicts(response)})


_USUAL = (
    b"d8:completei%de11:external ip%d:%b10:incompletei%de8:intervali%de12:min intervali%de5:peers%d:%b%be"
)


def encode_scrape_response(response: ScrapeResponse) -> bytes:
    fields: dict[bytes, object] = {b"files": _scrape_files(response.entries)}
    if response.min_interval is not None:
        fields[b"flags"] = {b"min_request_interval": response.min_interval}
    return encode(fields)


def encode_failure(failure: TrackerFailure) -> bytes:
    fields: dict[bytes, object] = {b"failure reason": failure.reason}
    if failure.retry_in is not None:
        is_final = math.isinf(failure.retry_in)
        fields[b"retry in"] = b"never" if is_final else math.ceil(failure.retry_in / 60)
    return encode(fields)


def _peer_dicts(response: AnnounceResponse) -> list[dict[bytes, object]]:
    packed = parse_compact_v4(response.peers_v4) + parse_compact_v6(response.peers_v6)
    return [{b"ip": host, b"port": port} for host, port in (*packed, *response.named_peers)]


def _scrape_files(entries: Mapping[bytes, ScrapeEntry]) -> dict[bytes, object]:
    return {
        info_hash: {
            b"complete": entry.complete,
            b"downloaded": entry.downloaded,
            b"incomplete": entry.incomplete,
        }
        for info_hash, entry in entries.items()
    }
