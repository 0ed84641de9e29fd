"""What of a pool's file is here, and what of it may be passed on.

What a mirror gave is private until a member's signature says the same: the mirror may have another file, and whoever
signed that would be taken for a liar.

Always true: what may be passed on is here, and somebody answers for it. What is lost is at once nowhere any more: not
in the part file's record, not in the plan, not among what is to be audited.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from shoal.disk.part_file import PartFile
from shoal.fetch.pool.audits import Audits
from shoal.fetch.pool.authors import Authors, News
from shoal.fetch.pool.backing import Backing
from shoal.fetch.pool.board import Board
from shoal.fetch.pool.company import Company
from shoal.fetch.pool.content import PartStore
from shoal.fetch.pool.runs import PieceRun, bits_of, span_of
from shoal.formats.bitfield import all_bits, iter_bits
from shoal.formats.layout import Layout
from shoal.protocol.group.messages import Claims, PieceRecord, PoolMessage
from shoal.protocol.group.records import split_records

if TYPE_CHECKING:
    from shoal.fetch.plan import Plan


class Holdings:
    def __init__(
        self,
        part: PartFile,
        plan: Plan,
        store: PartStore,
        board: Board,
        authors: Authors,
        audits: Audits,
        company: Company,
        backing: Backing,
        *,
        me: bytes,
        clock: Callable[[], float],
    ) -> None:
        self.told_bits = 0  # pieces that are here and have a record: what others may have of us
        self.settled_bits = 0  # pieces that we fetched ourselves
        self.kept_bits = 0  # fetched in an earlier run, by whomever: of ours, or of a member that has it
        self.private_bits = 0  # pieces that are here, and of which nobody is told
        self._digests: dict[int, bytes] = {}  # of those
        self.unproved_bits = 0  # here, and not hashed yet: nobody is asked for them, nobody told of them
        self.earlier_bits = 0  # here since an earlier run
        self.has_met = False  # somebody was here who may want some of it
        self._part = part
        self._plan = plan
        self._layout = Layout(plan.piece_length, [plan.length])
        self._store = store
        self._board = board
        self._authors = authors
        self._audits = audits
        self._company = company
        self._backing = backing
        self._me = me
        self._clock = clock
        self._kept_of: dict[bytes, int] = {}  # by members

    @property
    def missing(self) -> int:
        """The pieces that are not on the disk, or of which it is not known yet."""
        return all_bits(self._layout.piece_count) & ~self._part.have_bits

    @property
    def brought_bits(self) -> int:
        """What others brought."""
        return self.told_bits & ~self.settled_bits

    @property
    def doubtful_bits(self) -> int:
        """Of that, what is believed to be right, and not known to be."""
        return 0 if self._authors.knows_all else self.brought_bits

    @property
    def is_unproved(self) -> bool:
        """Whether it is yet to be seen of something that counts as here whether it is right.

        What the URL itself gave is, unless it is known what it must be.
        """
        surely = 0 if self._authors.knows_all else self._part.first_hand_bits
        return bool(self.unproved_bits & ~surely)

    def records(self, bits: int = -1) -> list[PieceRecord]:
        """Of all of these that can be passed on."""
        records = (self._authors.record_of(piece) for piece in iter_bits(self.told_bits & bits))
        return [record for record in records if record is not None]

    def greeting(self, claims: Claims, *, is_old: bool) -> list[PoolMessage]:
        """For whom we have just met: records of what is here from another run (or all is), claims, the rest."""
        self.has_met = True
        old = self.told_bits if is_old else self.kept_bits
        return [*split_records(self.records(old)), claims, *split_records(self.records(~old))]

    def take_up(self, record: PieceRecord) -> bool:
        """A piece that is here since another time, and who answered for it then."""
        if record.piece >= self._layout.piece_count or not self._part.have_bits >> record.piece & 1:
            return False
        if self._authors.on_record(record, record.author) not in (News.NEW, News.KNOWN):
            return False
        self.told_bits |= 1 << record.piece
        self.kept_bits |= 1 << record.piece
        self._board.on_piece(record.piece, self._clock())
        self._backing.take(record.piece)
        return True

    def on_here(self, piece: int, giver: bytes | None = None) -> bool:
        """It is ours now, from this member or from elsewhere. -> whether that is new."""
        bit = 1 << piece
        if self.told_bits & bit:
            return False
        self.told_bits |= bit
        is_earlier = bool(self.unproved_bits & self.earlier_bits & bit)
        self.unproved_bits &= ~bit
        if is_earlier:
            self.kept_bits |= bit
        elif self.settled_bits & bit:
            self.kept_bits &= ~bit
        if not self._plan.have_bits & bit:
            self._plan.on_piece(piece)
        if not self._part.have_bits & bit:
            self._part.on_piece(piece)
        self._board.on_piece(piece, self._clock())
        author = self._authors.author_of(piece)
        if author is not None:
            if not is_earlier:
                self._note_who_brought(piece, author, giver)
            if author != self._me and not self._authors.knows_all:
                self._audits.on_piece(piece, author)
        self._look_whether_whole()
        return True

    def _look_whether_whole(self) -> None:
        if self._plan.is_complete and not self.is_unproved:
            self._audits.on_whole()

    def on_unhashed(self, pieces: Sequence[int]) -> None:
        """Our sources gave them, and nobody is here who could want them: hashed and told of when somebody is."""
        bits, now = bits_of(PieceRun(piece, 1) for piece in pieces), self._clock()
        self.unproved_bits |= bits
        self.earlier_bits &= ~bits
        self._backing.drop(bits)
        for piece in pieces:
            self._company.on_piece(piece, self._me, now)
            self._board.on_piece(piece, now)
        self._look_whether_whole()

    def on_kept(self, member: bytes, piece: int) -> None:
        """It told that it has it from another run."""
        self.kept_bits |= 1 << piece
        self._kept_of[member] = self._kept_of.get(member, 0) | 1 << piece

    def _note_who_brought(self, piece: int, author: bytes, giver: bytes | None) -> None:
        """Whoever fetched it in this run; of what was fetched before, whose record is old, whoever had kept it."""
        if self.settled_bits >> piece & 1:
            author, giver = self._me, None  # by ourselves, whoever else did before
        had = giver is not None and bool(self.kept_bits >> piece & 1)
        if giver is not None and had and giver in self._authors.vouchers_of(piece):
            had = bool(self._kept_of.get(giver, 0) >> piece & 1)  # else it fetched it anew
            author = giver
        self._company.on_piece(piece, giver if had and giver else author, self._clock(), had=had)

    def on_own(self, piece: int) -> None:
        """Our sources gave it, or it is here since an earlier run; and it may be passed on."""
        self.on_here(piece)
        if self._backing.torrent is not None:
            self._backing.torrent.on_piece_elsewhere(piece)
        self._backing.take(piece)  # now that it is not to be asked for

    def keep_private(self, piece: int, digest: bytes) -> None:
        """A mirror gave of it: nobody is told, unless a member signed the same."""
        if not self.unproved_bits >> piece & 1:
            self._company.on_piece(piece, self._me, self._clock())
        self.private_bits |= 1 << piece
        self._digests[piece] = digest
        self._board.on_piece(piece, self._clock())
        self._backing.drop(1 << piece)
        self.vouch(piece)

    def take_private(self) -> list[tuple[int, bytes]]:
        """What was private, each with its SHA-256, to be looked at again: it is private no longer."""
        found = list(self._digests.items())
        self.private_bits = 0
        self._digests.clear()
        return found

    def vouch(self, piece: int) -> None:
        """A member answers for it, perhaps: it may be asked for, or what we keep of it is private no longer."""
        bit, digest = 1 << piece, self._authors.digest_of(piece)
        if digest is None or self.unproved_bits & bit:
            return
        if not self.private_bits & bit:
            self._backing.take(piece)
        elif self._digests[piece] == digest:
            self.private_bits ^= bit
            del self._digests[piece]
            self.on_own(piece)

    def forget(self, bits: int) -> int:
        """These pieces are not here, whatever we believed. -> those that were."""
        lost = bits & (self.told_bits | self._store.reopen(bits))
        self._company.on_lost(lost)
        self._audits.on_lost(lost)
        self._drop(lost)
        return lost

    def disown(self, piece: int) -> None:
        """All of it came from our sources, and it is wrong: it may be asked for if a member answers for another."""
        self._store.disown(1 << piece)
        self._drop(1 << piece)
        self._backing.drop(1 << piece)
        self.vouch(piece)

    def _drop(self, bits: int) -> None:
        self.told_bits &= ~bits
        self.settled_bits &= ~bits
        self.unproved_bits &= ~bits
        self.private_bits &= ~bits
        for piece in iter_bits(bits):
            self._digests.pop(piece, None)
            begin, end = span_of(PieceRun(piece, 1), self._layout)
            self._plan.lose(begin, end)
            self._plan.withhold(begin, end)
            self._part.forget(begin, end)
