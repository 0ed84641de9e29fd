"""The scripted peer: two of them can talk, each fault shows on the wire, and a real client understands it."""

from __future__ import annotations

import hashlib
import socket
import time
from pathlib import Path

import pytest

from shoal.formats.metainfo import parse_metainfo
from shoal.testing.build import build_torrent, make_payload
from shoal.testing.raw_wire import (
    OVERSIZE_LENGTH,
    MessageId,
    encode_message,
    encode_request,
    garbage,
    request_flood,
    requests_out_of_range,
)
from shoal.testing.scripted_peer import Conversation, Script, ScriptedPeer

PIECE_LENGTH = 32_768
PAYLOAD = make_payload(5 * PIECE_LENGTH + 20_000, 7)
PIECE_COUNT = 6
BLOCK_COUNT = 12
INFO_HASH = hashlib.sha1(b"scripted").digest()


def scripted(script: Script | None = None, *, pieces: set[int] | None = None) -> ScriptedPeer:
    return ScriptedPeer(INFO_HASH, PAYLOAD, PIECE_LENGTH, script, pieces=pieces)


def leecher(*, fast: bool = True) -> ScriptedPeer:
    return scripted(Script(downloads=True, fast=fast, seed=99), pieces=set())


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
@pytest.mark.parametrize("fast", [True, False])
def test_a_payload_goes_from_one_to_the_other(host: str, fast: bool) -> None:
    with scripted(Script(fast=fast)) as seed, leecher() as reader:
        talk = reader.connect(seed.listen(host))
        reader.wait_until(lambda: len(reader.downloaded) == BLOCK_COUNT)
        assert reader.downloaded_payload() == PAYLOAD
        assert talk.handshake[28:48] == INFO_HASH
        assert talk.peer_id == seed.peer_id
        assert bool(talk.of(MessageId.HAVE_ALL)) == fast
        assert bool(talk.of(MessageId.BITFIELD)) != fast
        seed.wait_until(lambda: seed.blocks_sent == BLOCK_COUNT)
        assert len(only(seed).of(MessageId.REQUEST)) == BLOCK_COUNT


def test_two_halves_complete_one_another() -> None:
    with (
        scripted(Script(downloads=True), pieces={0, 1, 2}) as left,
        scripted(Script(downloads=True, seed=1), pieces={3, 4, 5}) as right,
    ):
        left.connect(right.listen())
        left.wait_until(lambda: left.downloaded_payload() == PAYLOAD)
        right.wait_until(lambda: right.downloaded_payload() == PAYLOAD)


def test_chosen_blocks_are_corrupt_and_no_others() -> None:
    with scripted(Script(corrupt_blocks=frozenset({(1, 16_384)}))) as seed, leecher() as reader:
        reader.connect(seed.listen())
        reader.wait_until(lambda: len(reader.downloaded) == BLOCK_COUNT)
        wrong = {block for block, data in reader.downloaded.items() if data != true_block(*block)}
        assert wrong == seed.corrupted == {(1, 16_384)}


def test_a_share_of_corrupt_blocks_follows_from_the_seed() -> None:
    runs = []
    for script_seed in (1, 1, 2):
        with scripted(Script(corrupt_share=0.5, seed=script_seed)) as seed, leecher() as reader:
            reader.connect(seed.listen())
            reader.wait_until(lambda reader=reader: len(reader.downloaded) == BLOCK_COUNT)
            runs.append(frozenset(seed.corrupted))
    assert runs[0] == runs[1] != runs[2]
    assert 0 < len(runs[0]) < BLOCK_COUNT


def test_a_stalled_peer_stays_and_answers_nothing_more() -> None:
    with scripted(Script(stall_after_blocks=3)) as seed, leecher() as reader:
        talk = reader.connect(seed.listen())
        seed.wait_until(lambda: requests_to(seed) == BLOCK_COUNT)
        assert seed.blocks_sent == 3
        assert not talk.end


def test_a_peer_can_hang_up_in_the_middle_of_a_block() -> None:
    with scripted(Script(close_after_bytes=40_000)) as seed, leecher() as reader:
        talk = reader.connect(seed.listen())
        reader.wait_over()
        seed.wait_over()
        assert seed.conversations[0].end == "the script ends at byte 40000"
        assert seed.conversations[0].bytes_sent == 40_000
        assert len(reader.downloaded) == 2
        assert talk.end


def test_a_slow_peer_takes_its_time() -> None:
    with scripted(Script(block_delay=0.02)) as seed, leecher() as reader:
        started_at = time.monotonic()
        reader.connect(seed.listen())
        reader.wait_until(lambda: len(reader.downloaded) == BLOCK_COUNT)
        assert time.monotonic() - started_at >= BLOCK_COUNT * 0.02


def test_a_peer_that_never_unchokes_is_asked_for_nothing() -> None:
    with scripted(Script(unchokes=False)) as seed, leecher() as reader:
        reader.connect(seed.listen())
        seed.wait_until(lambda: len(seed.received) == 2)
        assert [message.message_id for message in seed.received] == [
            MessageId.HAVE_NONE,
            MessageId.INTERESTED,
        ]


@pytest.mark.parametrize(
    "opening",
    [
        garbage(3),
        OVERSIZE_LENGTH,
        requests_out_of_range(PIECE_COUNT, PIECE_LENGTH),
        encode_message(MessageId.HAVE, b"?"),
    ],
)
def test_an_opening_goes_out_as_it_is(opening: bytes) -> None:
    """A plain socket, not another scripted peer, reads what arrives."""
    with (
        scripted(Script(opening=opening, handshake=b"hello")) as bad,
        socket.create_connection(bad.listen()) as sock,
    ):
        sock.sendall(bytes(68))
        assert read_exactly(sock, 5 + len(opening)) == b"hello" + opening


def test_a_flood_is_answered_and_recorded() -> None:
    with scripted() as seed, scripted(Script(opening=request_flood(200), seed=5), pieces=set()) as flooder:
        flooder.connect(seed.listen())
        seed.wait_until(lambda: seed.blocks_sent == 200)
        flooder.wait_until(lambda: len(only(flooder).of(MessageId.PIECE)) == 200)


@pytest.mark.parametrize(
    ("opening", "end"),
    [
        (encode_request(PIECE_COUNT, 0), "the other side asked for 16384 bytes at 0 of piece 6"),
        (encode_request(0, PIECE_LENGTH), "the other side asked for 16384 bytes at 32768 of piece 0"),
        (OVERSIZE_LENGTH, "the other side sent a message of 4294967295 bytes"),
        (encode_message(MessageId.REQUEST, b"short"), "error: unpack requires a buffer of 4 bytes"),
    ],
)
def test_what_the_other_side_does_wrong_is_recorded(opening: bytes, end: str) -> None:
    with scripted() as seed, scripted(Script(opening=opening, seed=5)) as bad:
        bad.connect(seed.listen())
        seed.wait_over()
        assert only(seed).end == end


def test_extension_messages_are_shown_and_received() -> None:
    script = Script(extension=True, extended_handshake=b"d1:v4:teste")
    with scripted(script) as one, leecher() as other:
        talk = other.connect(one.listen())
        other.wait_until(lambda: bool(talk.of(MessageId.EXTENDED)))
        assert talk.of(MessageId.EXTENDED)[0].payload == b"\0d1:v4:teste"
        assert talk.handshake[25] & 0x10


def test_waiting_for_what_never_happens_says_so() -> None:
    with scripted() as seed, pytest.raises(TimeoutError, match=r"nothing of the kind in 0.01 s"):
        seed.wait_until(lambda: False, timeout=0.01)


def test_leaving_the_block_ends_every_conversation() -> None:
    with scripted() as seed:
        with leecher() as reader:
            reader.connect(seed.listen())
            reader.wait_until(lambda: len(reader.downloaded) == BLOCK_COUNT)
        assert only(reader).end
        seed.wait_over()


@pytest.mark.peers
def test_libtorrent_downloads_from_it(tmp_path: Path) -> None:
    libtorrent = pytest.importorskip("libtorrent")
    torrent = build_torrent(PAYLOAD, piece_length=PIECE_LENGTH)
    session = libtorrent.session(
        {"listen_interfaces": "127.0.0.1:0", "enable_dht": False, "enable_lsd": False, "enable_upnp": False}
    )
    params = libtorrent.add_torrent_params()
    params.ti = libtorrent.torrent_info(libtorrent.bdecode(torrent))
    params.save_path = str(tmp_path)
    with ScriptedPeer(parse_metainfo(torrent).wire_hash, PAYLOAD, PIECE_LENGTH) as seed:
        handle = session.add_torrent(params)
        handle.connect_peer(seed.listen())
        seed.wait_until(lambda: seed.blocks_sent >= BLOCK_COUNT)
        deadline = time.monotonic() + 60.0
        while not handle.status().is_seeding and time.monotonic() < deadline:
            session.wait_for_alert(50)
            session.pop_alerts()
        assert handle.status().is_seeding


def requests_to(peer: ScriptedPeer) -> int:
    return sum(message.message_id == MessageId.REQUEST for message in peer.received)


def only(peer: ScriptedPeer) -> Conversation:
    (conversation,) = peer.conversations
    return conversation


def true_block(piece: int, begin: int) -> bytes:
    offset = piece * PIECE_LENGTH + begin
    return PAYLOAD[offset : min(offset + 16_384, (piece + 1) * PIECE_LENGTH)]


def read_exactly(sock: socket.socket, length: int) -> bytes:
    sock.settimeout(60.0)
    with sock.makefile("rb") as stream:
        return stream.read(length)
