"""One connected peer: its link, its wire connection and its place in a swarm, joined.

The shell obeys: bytes go to the connection, its messages to the swarm, the swarm's answers to the link. States:
shaking hands (no torrent yet, for those who dialled us), then a member of its torrent until it is closed. A torrent
with extensions wants its hello (BEP 10) first, so that what they have to say goes before the bitfield.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from shoal.engine.extension import Extension
from shoal.engine.security import Secured
from shoal.errors import FormatError, PeerError
from shoal.formats.bitfield import without
from shoal.net.sockets import Address
from shoal.net.wire import Wire
from shoal.protocol.peer import messages as m
from shoal.protocol.peer.connection import MAX_FRAME_LENGTH, PeerConnection
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
    """`torrent` is None for a peer that dialled us, until its handshake names one.

    `member` is who it has shown to be; b"" without TLS.
    """

    def __init__(
        self,
        engine: Engine,
        sock: Wire,
        address: Address,
        *,
        torrent: Torrent | None,
        secured: Secured | None = None,
    ) -> None:
        self.engine = engine
        self.address = address
        self.torrent = torrent
        self.is_outgoing = torrent is not None
        self.is_closed = False
        self.peer: Peer | None = None
        self.peer_id = b""
        self.member = b"" if secured is None else secured.member
        self.extensions: list[Extension] = []  # that were told of it
        self._secured_for = None if secured is None else secured.info_hash
        self._awaits_hello = False
        self._greeting_ends_at: int | None = None  # what was queued when all was said that joining calls for
        self._their_numbers: dict[str, int] = {}  # of the torrent's extensions that it speaks
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
        messages = self.connection.receive_data(view)
        handshake = self.connection.handshake
        if self._awaits_hello:
            self._on_greeting(messages)
        elif handshake is not None:
            self._on_handshake(handshake)

    def _on_handshake(self, handshake: Handshake) -> None:
        torrent = self.torrent or self.engine.torrent_of(handshake.info_hash)
        if torrent is None or not self._may_speak_of(torrent, handshake):
            raise PeerError("it wants a torrent that is not here")
        self.peer_id = handshake.peer_id
        if not self.is_outgoing:
            self.torrent = torrent
            self._shake_hands(torrent)  # even if we refuse below: who dialled itself, or twice, sees it now
        torrent.admission.check(self)
        if not torrent.extensions:
            self._join(torrent, self._make_peer())
            if self.connection.has_extended:
                self._say(self._hello(torrent))
            self._on_messages(self.connection.open(torrent.content.layout.piece_count))
        elif not self.connection.has_extended:
            raise PeerError("it does not speak the extension protocol")
        else:
            self._awaits_hello = True
            self.link.queue(m.encode_message(self._hello(torrent)))
            self.link.flush()
            self._on_greeting(self.connection.open(torrent.content.layout.piece_count))

    def _may_speak_of(self, torrent: Torrent, handshake: Handshake) -> bool:
        """Of a secured torrent with TLS that was made for it, and of any other without."""
        secured_for = torrent.info_hash if torrent.is_secured else None
        return handshake.info_hash == torrent.info_hash and self._secured_for == secured_for

    def _on_greeting(self, messages: list[m.Message]) -> None:
        """The hello, and what came with it."""
        torrent = self.torrent
        if not messages or torrent is None:
            return
        first = messages[0]
        if not isinstance(first, m.Extended) or first.number != 0:
            raise PeerError("it did not begin with its extended handshake")
        hello = parse_extended_handshake(first.payload)
        numbers = {extension.name: hello.message_id(extension.name) for extension in torrent.extensions}
        self._their_numbers = {name: number for name, number in numbers.items() if number is not None}
        if not self._their_numbers:
            raise PeerError("it speaks no extension of this torrent")
        torrent.admission.check(self)  # again: others may have come meanwhile
        peer = self._make_peer()
        self._take_hello(torrent, peer, hello)
        self._join(torrent, peer)
        if not self.is_closed:
            self._on_messages(messages[1:])

    def _make_peer(self) -> Peer:
        return Peer(
            self.address,
            self._now,
            has_fast=self.connection.has_fast,
            name=client_name(self.peer_id),
            wake=self._wake,
        )

    def _join(self, torrent: Torrent, peer: Peer) -> None:
        self._awaits_hello = False
        self.engine.on_introduced(self)
        self.peer = peer
        self._receive_block = torrent.swarm.desk.receive_block
        self._store = torrent.incoming.store
        torrent.join(self, peer)

    def _hello(self, torrent: Torrent) -> m.Message:
        wants_nothing = torrent.swarm.pieces.is_complete and torrent.swarm.tactics.parts_when_pointless
        is_hidden = self.peer is not None and self.peer.given.shown is not None
        hello = ExtendedHandshake(
            messages={extension.name: number for number, extension in enumerate(torrent.extensions, 1)},
            client=self.engine.client_name,
            listen_port=self.engine.port,
            request_queue=REQUEST_QUEUE,
            your_ip=self.address[0],
            is_upload_only=wants_nothing and not is_hidden,
        )
        return m.Extended(0, encode_extended_handshake(hello))

    # Messages

    def _on_block(self, piece: int, begin: int, view: memoryview) -> None:
        if self.peer is None:
            raise PeerError("a block before its extended handshake")
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
                before = peer.has
                torrent.swarm.on_message(peer, message, self._now)
                if peer.has is not before and self.extensions:
                    self._on_has(without(peer.has, before))
            if self.is_closed:
                return
        torrent.after_data(self, self._now)

    def _on_has(self, bits: int) -> None:
        if bits:
            for extension in self.extensions:
                extension.on_has(self, bits)

    def _on_extended(self, torrent: Torrent, peer: Peer, message: m.Extended) -> None:
        if message.number == 0:
            self._take_hello(torrent, peer, parse_extended_handshake(message.payload))
            return
        for extension in torrent.extensions[message.number - 1 : message.number]:
            if extension in self.extensions:  # or it named none itself, and cannot be answered
                extension.on_message(self, message.payload)

    def _take_hello(self, torrent: Torrent, peer: Peer, hello: ExtendedHandshake) -> None:
        if hello.client:
            peer.name = hello.client
        if hello.request_queue:
            peer.request_limit = hello.request_queue
        if hello.listen_port and self.listens_at is None:  # who moves on would fill the list of addresses
            torrent.learn_listen_port(self, hello.listen_port)
        if hello.is_upload_only:
            torrent.swarm.on_upload_only(peer)

    # Extensions

    def speaks(self, name: str) -> bool:
        return name in self._their_numbers

    def say(self, name: str, payload: bytes) -> None:
        """Send one message of the extension `name`, under the number the peer gave it; nothing if it gave none."""
        if len(payload) + 2 > MAX_FRAME_LENGTH:
            raise ValueError(
                f"an extended message of {len(payload)} bytes; the limit is {MAX_FRAME_LENGTH - 2}"
            )
        number = self._their_numbers.get(name)
        if number is not None and not self.is_closed:
            self._say(m.Extended(number, payload))

    def _say(self, message: m.Message) -> None:
        assert self.peer is not None, "only who has joined is spoken to"
        self.peer.say(message)

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
            if self._greeting_ends_at is None:
                self._greeting_ends_at = (
                    self.link.queued
                )  # as much as we chose to say; it made us say none of it
        self.spoke_at = self._now
        if self.link.queued - max(self.link.sent, self._greeting_ends_at or 0) > MOST_UNREAD:
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
