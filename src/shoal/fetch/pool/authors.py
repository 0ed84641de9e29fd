"""Know what each piece of a pool must hash to, who says so, and who said what is not so.

Always true: a piece counts only if its bytes have the digest that its author signed. An author is named as a liar
only for a digest with its own right signature, which differs from what the origin sent to us; a relay is named for
nothing but a signature that is wrong. So nobody can be blamed for the lies of others, and a liar cannot blame them.

What a piece must be may be known beforehand, as a Metalink says it: then a record of another digest is a lie at once.

Two records that differ put their piece in dispute: it has no digest until the origin has settled it, or one side is
out. What is kept is bounded, however many authors are made up: `MAX_RECORDS` a piece, `MAX_AUTHORS` in all, and
`MAX_INTRODUCED` whom one member alone told of. The first record that contradicts the others is taken though, whoever's
it is, so that no number of liars can keep a true one away, nor have its bytes taken for corrupt ones.

Pure. `is_good` may be called in any thread, everything else in one.
"""

from __future__ import annotations

import enum
import hashlib
from collections import Counter
from collections.abc import Callable, Sequence

from shoal.formats.bitfield import iter_bits
from shoal.protocol.group.messages import PieceRecord

MAX_RECORDS = (
    4  # of one piece, and one that contradicts them; two are usual at the end, when claims are doubled
)
MAX_AUTHORS = 1_024  # of one pool, those that are out included; each needs a key, and a key costs nothing
MAX_INTRODUCED = 64  # authors we know by one member's word; a relay in a large group has heard of dozens

Verify = Callable[[bytes, int, bytes, bytes, bytes], bool]


class News(enum.Enum):
    """What a record is to us."""

    NEW = "the piece had no digest until now"
    KNOWN = "nothing changes"
    CONFLICT = "it differs from another: the piece is in dispute"
    LIE = "it differs from what the origin sent to us, or from what is known beforehand: its author is a liar"
    FORGED = "no such piece, or not signed by its author: whoever told it is at fault"
    BANNED_AUTHOR = "its author is out"
    FULL = "there is no room for it; nobody is at fault"


class Authors:
    """The records of one pool.

    `verify(info_hash, piece, author, digest, signature)` says whether the signature is right. It is the one slow
    thing here (0.1 ms), so it is asked only about what would change something.
    """

    def __init__(self, info_hash: bytes, me: bytes, piece_count: int, verify: Verify) -> None:
        self.disputed = 0  # pieces, as bits
        self._info_hash = info_hash
        self._me = me
        self._piece_count = piece_count
        self._verify = verify
        self._records: dict[int, list[PieceRecord]] = {}  # the one to pass on comes first
        self._digests: dict[int, bytes] = {}  # what the first record says, or the origin sent; never both
        self._expected: tuple[bytes, ...] = ()  # of all pieces beforehand, or of none
        self._settled = 0  # pieces of which we know what the origin sends, as bits
        self._pieces_of: dict[bytes, int] = {}  # author -> bits
        self._introduced: Counter[bytes] = Counter()
        self._banned: set[bytes] = set()

    # ---- what is known

    @property
    def knows_all(self) -> bool:
        """Nothing has to be believed of anybody."""
        return bool(self._expected)

    def is_contradicted(self, piece: int, digest: bytes) -> bool:
        """Whether it is known beforehand to be another."""
        return self.knows_all and self._expected[piece] != digest

    def digest_of(self, piece: int) -> bytes | None:
        """What the piece must hash to; None without a record, and in a dispute."""
        return None if self.disputed >> piece & 1 else self._digests.get(piece)

    def record_of(self, piece: int) -> PieceRecord | None:
        """The record to pass on."""
        records = self._records.get(piece)
        return None if records is None or self.disputed >> piece & 1 else records[0]

    def author_of(self, piece: int) -> bytes | None:
        record = self.record_of(piece)
        return None if record is None else record.author

    def vouchers_of(self, piece: int) -> tuple[bytes, ...]:
        """All who signed the digest that counts: they are liars if the piece turns out to be false."""
        digest = self.digest_of(piece)
        return tuple(one.author for one in self._records.get(piece, ()) if one.digest == digest)

    def is_good(self, piece: int, data: memoryview | bytes) -> bool:
        """Whether these bytes have the digest on record; without one, nothing is good."""
        digest = self.digest_of(piece)
        return digest is not None and hashlib.sha256(data).digest() == digest

    def is_banned(self, author: bytes) -> bool:
        return author in self._banned

    # ---- what is told

    def on_record(self, record: PieceRecord, told_by: bytes) -> News:
        """Somebody tells a record, its own or another's. One of ours (`told_by` is us) is believed and stands first."""
        if record.author == self._me == told_by:
            return self._take_own(record)
        if not 0 <= record.piece < self._piece_count:
            return News.FORGED
        if record.author in self._banned:
            return News.BANNED_AUTHOR
        held = self._records.get(record.piece, [])
        is_settled = bool(self._settled >> record.piece & 1)
        is_contradicted = self.is_contradicted(record.piece, record.digest)
        is_same = is_settled and record.digest == self._digests[record.piece]
        if not is_contradicted and (is_same or _is_among(record, held)):
            return News.KNOWN
        if not is_contradicted and not self._has_room(record, held, told_by):
            return News.FULL
        if not self._verify(self._info_hash, record.piece, record.author, record.digest, record.signature):
            return News.FORGED
        if is_settled or is_contradicted:
            return News.KNOWN if record.author == self._me else News.LIE
        if record.author not in self._pieces_of and told_by != record.author:
            self._introduced[told_by] += 1
        return self._take(record, len(held))

    def know(self, digests: Sequence[bytes]) -> tuple[bytes, ...]:
        """The SHA-256 of every piece is this, whoever says what. -> the authors that said otherwise.

        What we said ourselves is taken back here, for the origin may have misled us; the others are to be banned.
        """
        if len(digests) != self._piece_count:
            raise ValueError(f"{len(digests)} digests of {self._piece_count} pieces")
        self._expected = tuple(digests)
        told = (one for held in self._records.values() for one in held)
        wrong = [one for one in told if self.is_contradicted(one.piece, one.digest)]
        for piece in [piece for piece, said in self._digests.items() if self.is_contradicted(piece, said)]:
            self._settled &= ~(1 << piece)
            if piece not in self._records:
                del self._digests[piece]
        for one in wrong:
            if one.author == self._me:
                self._pieces_of[self._me] &= ~(1 << one.piece)
                self._withdraw(one.piece, self._me)
        return tuple(dict.fromkeys(one.author for one in wrong))

    def settle(self, piece: int, digest: bytes) -> tuple[bytes, ...]:
        """We fetched the piece from the origin ourselves, and this is its SHA-256. -> the authors that lied of it."""
        if not 0 <= piece < self._piece_count:
            raise ValueError(f"piece {piece} of {self._piece_count}")
        held = self._records.pop(piece, [])
        if right := [one for one in held if one.digest == digest]:
            self._records[piece] = right
        self._digests[piece] = digest
        self._settled |= 1 << piece
        self.disputed &= ~(1 << piece)
        return tuple({one.author: None for one in held if one.digest != digest and one.author != self._me})

    def ban(self, author: bytes) -> int:
        """This author is out: its word counts for nothing. -> the pieces that nobody else vouched for, as bits.

        Whatever of them is here is to be lost and fetched again.
        """
        if author == self._me:
            raise ValueError("a member cannot be out for itself")
        self._banned.add(author)
        alone = 0
        for piece in iter_bits(self._pieces_of.pop(author, 0)):
            if not self._withdraw(piece, author):
                alone |= 1 << piece
        return alone

    # ---- records

    def _has_room(self, record: PieceRecord, held: list[PieceRecord], told_by: bytes) -> bool:
        known = self._digests.get(record.piece)
        if known is not None and known != record.digest and not self.disputed >> record.piece & 1:
            return True
        if record.author not in self._pieces_of:
            if len(self._pieces_of) + len(self._banned) >= MAX_AUTHORS:
                return False
            if told_by != record.author and self._introduced[told_by] >= MAX_INTRODUCED:
                return False
        return len(held) < MAX_RECORDS

    def _take_own(self, record: PieceRecord) -> News:
        if _is_among(record, self._records.get(record.piece, [])):
            return News.KNOWN
        return self._take(record, 0)

    def _take(self, record: PieceRecord, position: int) -> News:
        piece = record.piece
        self._records.setdefault(piece, []).insert(position, record)
        self._pieces_of[record.author] = self._pieces_of.get(record.author, 0) | 1 << piece
        digest = self._digests.setdefault(piece, record.digest)
        if digest != record.digest:
            self.disputed |= 1 << piece
            return News.CONFLICT
        return News.NEW if len(self._records[piece]) == 1 else News.KNOWN

    def _withdraw(self, piece: int, author: bytes) -> bool:
        """The piece is left without this author's records. -> whether the digest that counted has other vouchers."""
        left = [one for one in self._records.pop(piece, []) if one.author != author]
        if left:
            self._records[piece] = left
        if self._settled >> piece & 1:
            return True
        digests = {one.digest for one in left}
        if len(digests) < 2:
            self.disputed &= ~(1 << piece)
        if self._digests.get(piece) in digests:
            return True
        if left:
            self._digests[piece] = left[0].digest
        else:
            self._digests.pop(piece, None)
        return False


def _is_among(record: PieceRecord, held: list[PieceRecord]) -> bool:
    return any(one.author == record.author and one.digest == record.digest for one in held)
