"""The books of who owes which block are right through any story, against a second set kept from what peers are told."""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from shoal.formats.bitfield import iter_bits
from shoal.formats.layout import BLOCK_LENGTH
from shoal.protocol.peer import messages as m
from shoal.swarm.blame import digest_blocks
from shoal.swarm.peer import Peer
from shoal.swarm.picking import Picker
from shoal.swarm.pieces import PeerKey

from .invariants import check_swarm
from .test_requests import ALL, LAYOUT, PIECE_COUNT, make_swarm, send


class Books(RuleBasedStateMachine):
    """Peers that say and do what they like; a second set of books is kept from what they are told."""

    @initialize(most_in_flight=st.integers(1, 14), seed=st.integers(0, 1000))
    def begin(self, most_in_flight: int, seed: int) -> None:
        self.now = 10.0
        self.swarm = make_swarm(most_in_flight=most_in_flight, seed=seed)
        self.asked: dict[PeerKey, set[m.Request]] = {}
        self.corrupt: dict[int, set[int]] = {}  # piece in flight -> blocks that are wrong
        self.liars: set[PeerKey] = set()
        self.number = 0
        self.suspended = 0
        self.was_endgame = False  # since the outboxes were last read
        self.watch_endgame(self.swarm.desk._picker)

    def watch_endgame(self, picker: Picker) -> None:
        is_endgame = picker.is_at_end

        def watched() -> bool:
            answer = is_endgame()
            self.was_endgame |= answer
            return answer

        picker.is_at_end = watched  # type: ignore[method-assign]

    def any_peer(self, data: st.DataObject) -> Peer:
        return data.draw(st.sampled_from(list(self.swarm.peers.values())))

    def read_outboxes(self) -> None:
        asked_now: list[tuple[Peer, m.Request]] = []
        for peer in self.swarm.peers.values():
            asked = self.asked[peer.key]
            outbox, peer.outbox = peer.outbox, []
            for message in outbox:
                if isinstance(message, m.Requests):
                    for request in message.items:
                        assert request not in asked, "asked twice of one peer"
                        asked.add(request)
                        asked_now.append((peer, request))
                elif isinstance(message, m.Cancel):
                    asked.discard((message.piece, message.begin, message.length))
        for peer, request in asked_now:
            if request in self.asked[peer.key]:
                self.check_request(peer, request)
        self.was_endgame = False

    def check_request(self, peer: Peer, request: m.Request) -> None:
        piece = request[0]
        assert peer.has >> piece & 1
        assert not self.suspended >> piece & 1
        assert not peer.peer_choking or peer.allowed_to_us >> piece & 1
        others = [
            other
            for other in self.swarm.peers.values()
            if other is not peer and not other.is_snubbed and request in self.asked[other.key]
        ]
        assert len(others) <= 1
        assert self.was_endgame or not others, "asked twice while something could be begun"

    @rule(bits=st.integers(0, ALL) | st.just(ALL), has_fast=st.booleans(), is_liar=st.booleans())
    def join(self, bits: int, has_fast: bool, is_liar: bool) -> None:
        if len(self.swarm.peers) < 6:
            self.number += 1
            peer = Peer((f"10.0.{self.number}.1", 6881), self.now, has_fast=has_fast)
            self.asked[peer.key] = set()
            self.swarm.join(peer)
            self.swarm.on_message(peer, m.Bitfield(bits, PIECE_COUNT), self.now)
            if is_liar:
                self.liars.add(peer.key)

    @precondition(lambda self: self.swarm.peers)
    @rule(data=st.data())
    def leave(self, data: st.DataObject) -> None:
        peer = self.any_peer(data)
        self.swarm.leave(peer, self.now)
        del self.asked[peer.key]

    @precondition(lambda self: self.swarm.peers)
    @rule(data=st.data(), piece=st.integers(0, PIECE_COUNT - 1))
    def have(self, data: st.DataObject, piece: int) -> None:
        self.swarm.on_message(self.any_peer(data), m.Have(piece), self.now)

    @precondition(lambda self: self.swarm.peers)
    @rule(data=st.data())
    def unchoke(self, data: st.DataObject) -> None:
        self.swarm.on_message(self.any_peer(data), m.Unchoke(), self.now)

    @precondition(lambda self: self.swarm.peers)
    @rule(data=st.data())
    def choke(self, data: st.DataObject) -> None:
        peer = self.any_peer(data)
        if not peer.has_fast:
            self.asked[peer.key].clear()  # so BEP 3 has it
        self.swarm.on_message(peer, m.Choke(), self.now)

    @precondition(lambda self: self.swarm.peers)
    @rule(data=st.data(), piece=st.integers(0, PIECE_COUNT - 1))
    def allow_fast(self, data: st.DataObject, piece: int) -> None:
        peer = self.any_peer(data)
        if peer.has_fast:
            self.swarm.on_message(peer, m.AllowedFast(piece), self.now)

    @precondition(lambda self: any(self.asked.values()))
    @rule(data=st.data(), count=st.integers(1, 20), is_corrupt=st.booleans())
    def answer(self, data: st.DataObject, count: int, is_corrupt: bool) -> None:
        peer = self.a_debtor(data)
        for request in sorted(self.asked[peer.key])[:count]:
            if request not in self.asked[peer.key]:
                continue  # cancelled since
            self.asked[peer.key].discard(request)
            piece, begin, _ = request
            progress = self.swarm.pieces.in_flight[piece]
            is_new = (
                not progress.received >> begin // BLOCK_LENGTH & 1
            )  # else somebody was quicker than a silent peer
            assert send(self.swarm, peer, request, self.now) == is_new
            if is_new and is_corrupt and peer.key in self.liars:
                self.corrupt.setdefault(piece, set()).add(begin // BLOCK_LENGTH)
            self.swarm.desk.refill(peer, self.now)
            self.settle()

    def a_debtor(self, data: st.DataObject) -> Peer:
        debtors = [key for key, asked in self.asked.items() if asked]
        return self.swarm.peers[data.draw(st.sampled_from(debtors))]

    @precondition(lambda self: self.swarm.peers)
    @rule(data=st.data(), piece=st.integers(0, PIECE_COUNT), block=st.integers(0, 2**18))
    def a_block_nobody_asked_for(self, data: st.DataObject, piece: int, block: int) -> None:
        peer = self.any_peer(data)
        if not peer.owed.get(piece, 0) >> block & 1:
            before = peer.wasted
            assert not send(self.swarm, peer, (piece, block * BLOCK_LENGTH, 7), self.now)
            assert peer.wasted == before + 7

    @precondition(lambda self: any(self.asked.values()))
    @rule(data=st.data(), count=st.integers(1, 20))
    def reject(self, data: st.DataObject, count: int) -> None:
        peer = self.a_debtor(data)
        for request in sorted(self.asked[peer.key])[:count]:
            if request in self.asked[peer.key]:
                self.asked[peer.key].discard(request)
                self.swarm.on_message(peer, m.Reject(*request), self.now)
                self.settle()

    @precondition(lambda self: any(progress.is_whole for progress in self.swarm.pieces.in_flight.values()))
    @rule(data=st.data())
    def check_one(self, data: st.DataObject) -> None:
        in_flight = self.swarm.pieces.in_flight
        whole = [piece for piece, progress in in_flight.items() if progress.is_whole]
        piece = data.draw(st.sampled_from(sorted(whole)))
        wrong = self.corrupt.pop(piece, set())
        content = bytearray(LAYOUT.piece_size(piece))
        for block in wrong:
            content[block * BLOCK_LENGTH] = 1 + data.draw(st.integers(0, 200))
        digests = digest_blocks(memoryview(content), BLOCK_LENGTH)
        verdict = self.swarm.on_checked(piece, not wrong, digests, self.now)
        assert verdict.guilty <= self.liars

    @rule(piece=st.integers(0, PIECE_COUNT - 1))
    def from_elsewhere(self, piece: int) -> None:
        if not self.swarm.pieces.have >> piece & 1:
            self.corrupt.pop(piece, None)
            self.swarm.on_piece_elsewhere(piece, self.now)
            assert self.swarm.pieces.have >> piece & 1

    @rule(bits=st.integers(0, ALL))
    def suspend(self, bits: int) -> None:
        self.settle()  # what was asked for before is not looked at as if it were asked for afterwards
        self.suspended |= bits
        self.swarm.suspend(bits, self.now)

    @rule(bits=st.integers(0, ALL))
    def resume(self, bits: int) -> None:
        self.suspended &= ~bits
        self.swarm.resume(bits, self.now)

    @rule(bits=st.integers(0, ALL))
    def lose(self, bits: int) -> None:
        self.swarm.lose(bits)
        assert not self.swarm.pieces.have & bits

    @rule(bits=st.integers(0, ALL))
    def forget_what_they_have(self, bits: int) -> None:
        self.suspended |= bits
        self.swarm.suspend(bits, self.now)
        self.swarm.forget_has(bits)

    @rule(seconds=st.sampled_from([0.1, 0.5, 1.1, 4.1, 31.0]))
    def wait(self, seconds: float) -> None:
        self.now += seconds
        self.swarm.tick(self.now)

    @invariant()
    def the_books_agree(self) -> None:
        self.settle()
        check_swarm(self.swarm)
        for peer in self.swarm.peers.values():
            owed = {
                (piece, block * BLOCK_LENGTH, LAYOUT.block_size(piece, block))
                for piece, blocks in peer.owed.items()
                for block in iter_bits(blocks)
            }
            assert owed == self.asked[peer.key]

    def settle(self) -> None:
        self.read_outboxes()
        for piece in self.swarm.desk.given_up:
            self.corrupt.pop(piece, None)
        self.swarm.desk.given_up.clear()


TestBooks = Books.TestCase
TestBooks.settings = settings(max_examples=100, stateful_step_count=40)
