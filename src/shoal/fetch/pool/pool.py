"""One URL's swarm within a group, as this machine takes part in it.

Here meet what decides (`board.py`, `authors.py`, `audits.py`), the plan of our own connections to the origin, the part
file, and the torrent in which members exchange pieces. It is the extension `shoal_pool` of that torrent.

Always true:
- A piece is passed on only with a record: before each `have` goes the signed line that says who fetched it.
- What comes from members is believed only as far as a record covers it; pieces in dispute are asked of nobody.
- The plan fetches what the board says is ours, and nothing else.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING

from shoal.disk.part_file import PartFile
from shoal.errors import FormatError, PeerError, ShoalError
from shoal.fetch.pool.audits import Audit, Audits
from shoal.fetch.pool.authors import Authors, News
from shoal.fetch.pool.backing import Backing
from shoal.fetch.pool.board import Board
from shoal.fetch.pool.company import Company
from shoal.fetch.pool.content import PartStore, PoolContent
from shoal.fetch.pool.hearing import Talk, giver_of, program_of
from shoal.fetch.pool.holdings import Holdings
from shoal.fetch.pool.member import checked_runs
from shoal.fetch.pool.owner import Owner
from shoal.fetch.pool.runs import PieceRun, bits_of, runs_of, span_of
from shoal.fetch.pool.telling import Telling
from shoal.fetch.progress import MemberProgress
from shoal.formats.bitfield import iter_bits
from shoal.formats.layout import Layout
from shoal.protocol.group.messages import POOL, Accuse, Claims, Lost, PieceRecord, PoolMessage, Records
from shoal.protocol.group.pool import encode_pool, parse_pool, split_lost

if TYPE_CHECKING:
    import asyncio

    from shoal.engine.neighbour import Neighbour
    from shoal.engine.torrent import Torrent
    from shoal.fetch.group.signing import MemberKey
    from shoal.fetch.plan import Plan


class Pool:
    """Made when the facts of the file are known; `attach` when its torrent runs."""

    name = POOL
    owner: Owner  # set before anything happens
    unless = ""  # what else a difference from the origin may come from, for people

    def __init__(
        self,
        info_hash: bytes,
        part: PartFile,
        plan: Plan,
        board: Board,
        authors: Authors,
        audits: Audits,
        me: MemberKey,
        *,
        wanted_bits: int,
        is_helper: Callable[[bytes], bool],
        clock: Callable[[], float],
    ) -> None:
        """`wanted_bits`: the pieces to be had from members; `is_helper` tells whether that program of one helps."""
        layout = Layout(plan.piece_length, [plan.length])
        self.info_hash = info_hash
        self.content = PoolContent(part.path.name, info_hash, layout, authors)
        self.store = PartStore(part, self.content)
        self.torrent: Torrent | None = None
        self.is_opened = False
        self.is_frozen = False  # all is here and right as far as anybody can tell: nothing is lost any more
        self.board = board
        self.authors = authors
        self.audits = audits
        self.company = Company(layout, me.public)
        self.wanted_bits = wanted_bits
        self._plan = plan
        self._layout = layout
        self._me = me
        self._is_helper = is_helper
        self._clock = clock
        self._neighbours: dict[Neighbour, Talk] = {}
        self.telling = Telling(self.company, lambda text: self.owner.note(text))
        self._told_claims = Claims()
        self._backing = Backing()
        self.holdings = Holdings(
            part, plan, self.store, board, authors, audits, self.company, self._backing, me=me.public, clock=clock,
        )  # fmt: skip

    def attach(self, torrent: Torrent) -> None:
        """It runs, with the pieces that could be passed on when it began."""
        self.torrent = self._backing.torrent = torrent
        torrent.failed.add_done_callback(self._on_failed)
        for piece in iter_bits(self.holdings.told_bits & ~torrent.swarm.pieces.have):
            torrent.on_piece_elsewhere(piece)

    def _on_failed(self, failed: asyncio.Future[ShoalError]) -> None:
        if not failed.cancelled():
            self.owner.on_failure(failed.exception() or failed.result())

    @property
    def sent_bytes(self) -> int:
        return 0 if self.torrent is None else self.torrent.ledger.sent

    def is_needed(self, *, is_soon: bool = False) -> bool:
        """Whether somebody here wants a piece that nobody but us has; `is_soon`: or will, having taken others of us."""
        peers = [neighbour.peer for neighbour in self._neighbours if neighbour.peer is not None]
        elsewhere = 0
        for peer in peers:
            elsewhere |= peer.has
        is_wanted = any(peer.peer_interested or (is_soon and peer.sent.total) for peer in peers)
        return is_wanted and bool(self.holdings.told_bits & ~elsewhere)

    @property
    def members(self) -> list[Neighbour]:
        return list(self._neighbours)

    @property
    def requester_count(self) -> int:
        """Others here that want the file for themselves."""
        return sum(not self._is_helper(program_of(neighbour)) for neighbour in self._neighbours)

    def progress(self, rate: float) -> tuple[MemberProgress, ...]:
        """Who brings what, for people; `rate` is ours."""
        return self.company.progress(self._told_claims, rate, self._clock())

    # ---- what our own connections bring

    def on_pieces(self, found: Iterable[tuple[int, bytes]]) -> None:
        """These pieces came from the origin and are on the disk; with their SHA-256."""
        for piece, digest in found:
            if self.authors.is_contradicted(piece, digest):
                self._on_wrong(piece)
                continue
            if not self.authors.knows_all and not self.owner.is_of_origin(piece):
                self.holdings.keep_private(piece, digest)
                continue
            liars = self.authors.settle(piece, digest)
            for author in liars:
                self.ban(author, f"signed a false piece {piece}")
            signature = self._me.sign(self.info_hash, piece, digest)
            record = PieceRecord(piece, self._me.public, digest, signature)
            self.authors.on_record(record, self._me.public)
            if liars:
                self._say_all(Records((record,)))  # who believed them learns of it
            self.holdings.settled_bits |= 1 << piece
            self.holdings.on_own(piece)
        self.owner.wake()

    # ---- what is here since an earlier run

    def on_proved(self, record: PieceRecord) -> bool:
        """A piece that another brought has the bytes that its record says. -> whether that record counts here."""
        told_by = b"" if record.author == self._me.public else record.author  # ours needs its signature, too
        self.authors.on_record(record, told_by)
        is_answered = self.authors.digest_of(record.piece) == record.digest
        if is_answered:
            self.holdings.on_own(record.piece)
        return is_answered

    def disown(self, bits: int) -> None:
        """Nobody answers for what is here of these pieces."""
        if self.is_frozen or not bits:
            return
        self.holdings.unproved_bits &= ~bits
        self.holdings.told_bits |= bits  # so that they can be lost
        self._forget(bits & self.authors.disputed, must_fetch=True)
        self._forget(bits & ~self.authors.disputed)
        for piece in iter_bits(bits):
            self.holdings.vouch(piece)

    # ---- what is known beforehand, and what came from elsewhere

    def know(self, digests: Sequence[bytes]) -> None:
        """The SHA-256 of every piece."""
        ours = [record for record in self.holdings.records() if record.author == self._me.public]
        for author in self.authors.know(digests):
            self.ban(author, "signed another piece than is known beforehand")
        for record in ours:
            if self.authors.is_contradicted(record.piece, record.digest):
                self._on_wrong(record.piece)
        self.on_pieces(self.holdings.take_private())

    def _on_wrong(self, piece: int) -> None:
        """Our sources gave it."""
        if self.is_frozen:
            return
        self._forget(1 << piece)
        self.holdings.disown(piece)
        self.owner.on_lost()
        self.owner.on_wrong(piece)

    # ---- what is wrong though its digest was signed

    def doubt(self) -> None:
        """The file is wrong: what others brought is fetched again, which shows who lied."""
        doubtful = self.holdings.doubtful_bits
        self._backing.drop(doubtful)
        self._forget(doubtful, must_fetch=True)

    def fetch_missing(self) -> None:
        """Bytes of these are on the disk, and were never said to be right."""
        self._forget(self.holdings.missing, must_fetch=True)

    # ---- what is to be done

    def beat(self, now: float) -> None:
        """Some times a second, and when the owner was woken."""
        for neighbour in self._neighbours:
            peer = neighbour.peer
            if peer is not None:
                self.board.on_heard(program_of(neighbour), neighbour.heard_at)
                self.board.on_owing(program_of(neighbour), peer.owed_count > 0, now)
        self.audits.requesters = 1 + self.requester_count
        demand = self._plan.demand(now)
        decision = self.board.decide(demand, now)
        for run in decision.take:
            self._plan.offer(*span_of(run, self._layout))
        for run in decision.drop:
            self._plan.withhold(*span_of(run, self._layout))
        self._tell_claims(int(min(demand.rate, self.board.rate)))
        self.telling.slow(() if self.board.is_helper else self.board.laggards)
        while self.owner.can_audit() and (audit := self.audits.next(now)) is not None:
            self.owner.audit(audit)

    def _tell_claims(self, rate: int) -> None:
        runs = () if self.owner.is_on_mirrors else tuple((run.first, run.count) for run in self.board.my_runs)
        if runs != self._told_claims.runs:
            self._told_claims = Claims(runs, rate)
            self._say_all(self._told_claims)

    # ---- what members say (the torrent calls)

    def on_joining(self, neighbour: Neighbour) -> None:
        self._neighbours[neighbour] = Talk(self._clock())
        greeting = self.holdings.greeting(self._told_claims, is_old=self.board.was_wanted)
        is_helper = self._is_helper(program_of(neighbour))
        self.board.join(program_of(neighbour), self._clock(), is_helper=is_helper)
        self.company.on_joined(neighbour, self._clock(), is_helper=is_helper)
        for message in greeting:
            neighbour.say(self.name, encode_pool(message))
        self.owner.wake()

    def on_message(self, neighbour: Neighbour, payload: bytes) -> None:
        try:
            self._hear(neighbour, self._neighbours[neighbour], payload)
        except (PeerError, FormatError) as error:
            self._put_out(neighbour.member, error.message)
            raise

    def _hear(self, neighbour: Neighbour, talk: Talk, payload: bytes) -> None:
        message = parse_pool(payload)
        if not isinstance(message, Records):
            talk.on_message(self._clock())
        match message:
            case Claims(runs, rate) as claims:
                talk.has_greeted = True
                self.board.on_claims(program_of(neighbour), runs, float(rate), self._clock())
                self.company.on_claims(neighbour.member, claims)
                self.owner.wake()
            case Records(records):
                talk.on_records(len(records), self._layout.piece_count)
                for record in records:
                    self._on_record(neighbour, talk, record)
            case Lost(runs):
                self._on_lost_by(neighbour, tuple(PieceRun(*run) for run in runs))
            case Accuse(author, piece, begin):
                self.audits.accuse(neighbour.member, author, piece, begin)
                self.owner.wake()

    def _on_lost_by(self, neighbour: Neighbour, runs: tuple[PieceRun, ...]) -> None:
        bits = bits_of(checked_runs(runs, self._layout.piece_count))
        if self.torrent is not None and neighbour.peer is not None:
            self.torrent.swarm.forget_has(bits, neighbour.peer)
        self.board.on_lost(bits, program_of(neighbour))
        self.owner.wake()

    def _on_record(self, neighbour: Neighbour, talk: Talk, record: PieceRecord) -> None:
        piece = record.piece
        if piece >= self._layout.piece_count:
            raise PeerError(f"a record of piece {piece}, of {self._layout.piece_count}")
        if not talk.has_greeted:
            self.holdings.on_kept(neighbour.member, piece)
        match self.authors.on_record(record, neighbour.member):
            case News.NEW:
                self.holdings.vouch(piece)
            case News.CONFLICT:
                self._dispute(piece)
            case News.LIE:
                self.ban(record.author, f"signed a false piece {piece}")
            case News.FORGED:
                raise PeerError(f"a record of piece {piece} with a wrong signature")

    def _dispute(self, piece: int) -> None:
        """Two members say different things of it: the origin decides, asked by ourselves."""
        self._backing.drop(1 << piece)
        self._forget(1 << piece, must_fetch=True)
        self.owner.wake()

    def on_has(self, neighbour: Neighbour, bits: int) -> None:
        unbacked = self._backing.lacking(bits)
        if unbacked:
            self._backing.drop(unbacked)
        self.board.on_have(program_of(neighbour), bits & ~unbacked, self._clock())
        self.owner.wake()

    def before_have(self, piece: int) -> None:
        """It is ours now, from wherever: whoever has not got it is told who answers for it."""
        self._on_here(piece)
        record = self.authors.record_of(piece)
        if record is None:
            return
        payload = encode_pool(Records((record,)))
        bit = 1 << piece
        for neighbour in self._neighbours:
            if neighbour.peer is not None and not neighbour.peer.has & bit:
                neighbour.say(self.name, payload)

    def _on_here(self, piece: int) -> None:
        if self.holdings.on_here(piece, giver_of(piece, self.torrent)):
            self.owner.wake()

    def on_parted(self, neighbour: Neighbour, reason: str) -> None:
        self._neighbours.pop(neighbour, None)
        is_over = self.torrent is None or self.torrent.is_over or self.board.is_helper
        if not is_over and self.board.is_counted_on(program_of(neighbour)):
            self.telling.gone(neighbour.member, reason)
        self.board.leave(program_of(neighbour), self._clock())
        self.company.on_parted(neighbour.member)
        self.owner.wake()

    def tick(self, now: float) -> None:
        """The owner's beat is more frequent."""

    def _say_all(self, message: PoolMessage) -> None:
        for neighbour in self._neighbours:
            neighbour.say(self.name, encode_pool(message))

    # ---- who lies

    def on_audited(self, audit: Audit, theirs: bytes | None) -> None:
        """What the origin has there; None: it did not say."""
        if theirs is None:
            self.audits.on_failed(audit, self._clock())
            return
        ours = memoryview(bytearray(audit.length))
        try:
            self.store.read_into(audit.piece * self._layout.piece_length + audit.begin, ours)
        except ShoalError as error:
            self.owner.on_failure(error)
            return
        if ours == theirs:
            self.audits.on_same(audit)
            return
        if self.audits.on_different(audit) is not None:
            for author in self.authors.vouchers_of(audit.piece) or (audit.author,):
                self._say_all(Accuse(author, audit.piece, audit.begin))
                self.ban(author, f"sent false bytes of piece {audit.piece}")

    def ban(self, author: bytes, reason: str) -> None:
        """Nothing of it is believed any more, and what was is fetched again."""
        if author == self._me.public or self.authors.is_banned(author):
            return  # the first: another program of this machine, with this machine's key
        disputed = self.authors.disputed
        lost = self.authors.ban(author)
        self.audits.on_banned(author)
        self._put_out(author, f"it {reason}{self.unless}")
        if self.torrent is not None:
            self.torrent.swarm.forget_has(lost)
        self.board.on_lost(lost)
        self._backing.drop(lost)
        self._forget(lost)
        for piece in iter_bits(lost | disputed & ~self.authors.disputed):
            self.holdings.vouch(piece)

    def _put_out(self, member: bytes, reason: str) -> None:
        """People are told, and no connection of it is let in any more."""
        if member == self._me.public:
            return
        self.telling.out(member, reason)
        if self.torrent is not None:
            self.torrent.ban_member(member, reason)

    def _forget(self, bits: int, *, must_fetch: bool = False) -> None:
        """These pieces are not here, whatever we believed; `must_fetch`: by ourselves, from the origin."""
        if self.is_frozen:
            return  # the file has its name, or is about to
        bits &= ~self.holdings.private_bits
        self.board.lose(bits, must_fetch=must_fetch)
        lost = self.holdings.forget(bits)
        if not lost:
            return
        for message in split_lost(tuple(runs_of(lost))):
            self._say_all(message)  # else others would not bring them
        if self.torrent is not None:
            self.torrent.lose(lost)
        self.owner.on_lost()
