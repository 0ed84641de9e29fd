"""What can be fuzzed of the tracker protocol: a question as the server reads it, an answer as the client does."""

from __future__ import annotations

from collections.abc import Callable

from shoal.errors import FormatError
from shoal.protocol.tracker.answers import (
    encode_announce_response,
    parse_announce_response,
    parse_scrape_response,
)
from shoal.protocol.tracker.messages import AnnounceResponse, TrackerFailure
from shoal.protocol.tracker.query import (
    QueryError,
    encode_announce_query,
    encode_scrape_query,
    parse_announce_query,
    parse_scrape_query,
)


def fuzz_tracker_request(data: bytes) -> None:
    """The first byte chooses between announce and scrape, the rest is the query string."""
    query = data[1:]
    try:
        if data[:1] == b"s":
            info_hashes = parse_scrape_query(query)
            assert parse_scrape_query(encode_scrape_query(info_hashes).encode()) == info_hashes
        else:
            request = parse_announce_query(query)
            assert len(request.info_hash) == len(request.peer_id) == 20
            assert parse_announce_query(encode_announce_query(request).encode()) == request
    except QueryError as error:
        assert error.message.isprintable()


def fuzz_tracker_answer(data: bytes) -> None:
    """The first byte chooses between announce and scrape, the rest is the body."""
    body = data[1:]
    try:
        answer = parse_scrape_response(body) if data[:1] == b"s" else parse_announce_response(body)
    except FormatError as error:
        assert "\n" not in error.message
        return
    if isinstance(answer, TrackerFailure):
        assert answer.reason.isprintable()
    elif isinstance(answer, AnnounceResponse):
        assert all(host and 0 < port < 65536 for host, port in answer.peers)
        if not answer.named_peers:
            assert parse_announce_response(encode_announce_response(answer)) == answer
    else:
        assert all(len(info_hash) == 20 for info_hash in answer.entries)


TARGETS: dict[str, Callable[[bytes], None]] = {
    "tracker_answer": fuzz_tracker_answer,
    "tracker_request": fuzz_tracker_request,
}
