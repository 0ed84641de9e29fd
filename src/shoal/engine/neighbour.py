"""One connected peer: its link, its wire connection and its place in a swarm, joined.

The shell obeys: bytes go to the connection, its messages to the swarm, the swarm's answers to the link. States:
shaking hands (no torrent yet, for those who dialled us), then a member of its torrent until it is closed.
"""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

from shoal.errors import FormatError, PeerError
from shoal.net.sockets import Address
from shoal.protocol.peer import messages as m
from shoal.protocol.peer.connection import PeerConnection
from shoal.protocol.peer.extended import (
    ExtendedHandshake,
    encode_extended_handshake,
    parse_extended_handshake,
)
from shoal.protocol.peer.handshake import Handshake, encode_handshake
from shoal.protocol.peer.peer_id import client_name
from shoal.swarm.peer import Peer
from shoal.swarm.uploads import REQUEST_QUEUE
from shoal.units import MIB

if TYPE_CHECKING:
    from shoal.engine.engine import Engine
    from shoal.engine.torrent import Torrent

HANDSHAKE_TIMEOUT = 10.0  # seconds from the connection to the end of its handshake
SILENCE_TIMEOUT = 150.0  # seconds without a byte; BEP 3 peers say something every two minutes
KEEP_ALIVE_AFTER = 100.0  # seconds without a byte from us
MOST_UNREAD = 8 * MIB  # waiting for a peer to read: a million `have`, or the answers to a flood of requests


class Neighbour:
    """`torrent` is None for a peer that dialled us, until its handshake names one."""

    def __init__(
        self, engine: Engine, sock: socket.socket, address: Address, *, torrent: Torrent | None
    ) -> None:
        self.engine = engine
        self.address = address
        self.torrent = torrent
        self.is_outgoing = torrent is not None
        self.is_closed = False
        self.peer: Peer | None = None
        self.peer_id = b""
        self.listens_at: Address | None = address if self.is_outgoing else None
        self.opened_at = self.heard_at = self.spoke_at = engine.now()
        self._now = self.opened_at
        self.connection = PeerConnection(self._on_block)
        self.link = engine.make_link(sock, self)

    def start(self) -> None:
        if self.torrent is not None:
            self._shake_hands(self.torrent)
            self.link.flush()
        self.link.start()

    # The link calls

    def on_data(self, view: memoryview) -> None:
        self._now = self.heard_at = self.engine.now()
        try:
            if self.peer is None:
                self._on_opening(view)
            else:
                owed = self.peer.owed_count
                messages = self.connection.receive_data(view)
                if self.torrent is not None:
                    count = owed - self.peer.owed_count
                    self.torrent.swarm.on_blocks(self.peer, count, self._now)
                    if not count and self.connection.is_amid_block:
                        self.torrent.swarm.on_part_of_block(self.peer, self._now)
                self._on_messages(messages)
        except (PeerError, FormatError) as error:
            self.close(error.message, is_fault=True)

    def on_room(self, room: int) -> None:
        if self.peer is not None and self.peer.uploads and self.torrent is not None:
            self.torrent.upload(self, room)

    def on_lost(self, reason: str) -> None:
        self._leave(reason, is_fault=False)

    # Opening

    def _shake_hands(self, torrent: Torrent) -> None:
        self.link.queue(encode_handshake(Handshake(torrent.info_hash, self.engine.peer_id)))

    def _on_opening(self, view: memoryview) -> None:
        self.connection.receive_data(view)
        handshake = self.connection.handshake
        if handshake is None:
            return
        torrent = self.torrent or self.engine.torrent_of(handshake.info_hash)
        if torrent is None or handshake.info_hash != torrent.info_hash:
            raise PeerError("it wants a torrent that is not here")
        self.peer_id = handshake.peer_id
        if not self.is_outgoing:
            self.torrent = torrent
            self._shake_hands(torrent)  # even if we refuse below: who dialled itself, or twice, sees it now
        torrent.admit(self)  # raises PeerError for ourselves, for doubles, and when all places are taken
        self.engine.on_introduced(self)
        self.peer = Peer(
            self.address,
            self._now,
            has_fast=self.connection.has_fast,
            name=client_name(handshake.peer_id),
            wake=self._wake,
        )
        self._receive_block = torrent.swarm.desk.receive_block
        self._store = torrent.incoming.store
        torrent.join(self, self.peer)
        if self.connection.has_extended:
            self._say_extended(torrent)
        self._on_messages(self.connection.open(torrent.metainfo.layout.piece_count))

    def _say_extended(self, torrent: Torrent) -> None:
        assert self.peer is not None
        hello = ExtendedHandshake(
            client=self.engine.client_name,
            listen_port=self.engine.port,
            request_queue=REQUEST_QUEUE,
            your_ip=self.address[0],
            is_upload_only=torrent.swarm.pieces.is_complete and self.peer.given.shown is None,
        )
        self.peer.say(m.Extended(0, encode_extended_handshake(hello)))

    # Messages

    def _on_block(self, piece: int, begin: int, view: memoryview) -> None:
        assert self.peer is not None, "the connection is opened after the peer has joined"
        progress = self._receive_block(self.peer, piece, begin, len(view))
        if progress is not None:
            self._store(progress, begin, view)

    def _on_messages(self, messages: list[m.Message]) -> None:
        torrent, peer = self.torrent, self.peer
        if torrent is None or peer is None:
            return
        for message in messages:
            if isinstance(message, m.Extended):
                self._on_extended(torrent, peer, message)
            else:
                torrent.swarm.on_message(peer, message, self._now)
        torrent.after_data(self, self._now)

    def _on_extended(self, torrent: Torrent, peer: Peer, message: m.Extended) -> None:
        if message.number != 0:
            return  # we named no extension yet, so nobody has a number for one
        hello = parse_extended_handshake(message.payload)
        if hello.client:
            peer.name = hello.client
        if hello.request_queue:
            peer.request_limit = hello.request_queue
        if hello.listen_port and self.listens_at is None:  # who moves on would fill the list of addresses
            torrent.learn_listen_port(self, hello.listen_port)
        if hello.is_upload_only:
            torrent.swarm.on_upload_only(peer)

    # Speaking

    def _wake(self, peer: Peer) -> None:
        assert self.torrent is not None
        self.torrent.wake(self)

    def speak(self) -> None:
        """Send what the swarm decided to say, and go on with uploads."""
        peer = self.peer
        if self.is_closed or peer is None:
            return
        if peer.outbox:
            outbox, peer.outbox = peer.outbox, []
            self.link.queue(b"".join([m.encode_message(message) for message in outbox]))
        self.spoke_at = self._now
        if self.link.pending > MOST_UNREAD:
            self.close("does not read what it makes us say", is_fault=True)
        elif peer.close_reason:
            self.close(peer.close_reason, is_fault=False)
        else:
            self.link.flush()

    def on_time(self, now: float) -> None:
        """About twice a second: silence on either side, but for what our own limit makes."""
        if self.peer is not None and self.torrent is not None and self.link.is_held_back:
            self.heard_at = now
            self.torrent.swarm.on_held_back(self.peer, now)
        if self.peer is None:
            if now - self.opened_at > HANDSHAKE_TIMEOUT:
                self.close("no handshake", is_fault=False)
        elif now - self.heard_at > SILENCE_TIMEOUT:
            self.close("silent for too long", is_fault=False)
        elif now - self.spoke_at > KEEP_ALIVE_AFTER:
            self.spoke_at = now
            self.link.queue(m.KEEP_ALIVE)
            self.link.flush()

    # The end

    def close(self, reason: str, *, is_fault: bool) -> None:
        """End the connection from our side. A fault is remembered against the address."""
        if not self.is_closed:
            self.link.close()
            self._leave(reason, is_fault=is_fault)

    def _leave(self, reason: str, *, is_fault: bool) -> None:
        self.is_closed = True
        self.engine.forget(self)
        if self.torrent is not None:
            self.torrent.part(self, reason, is_fault=is_fault)
