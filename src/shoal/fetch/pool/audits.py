"""Choose which blocks of what others brought are compared with the origin's.

Always true: what up to ten requesters of a pool compare stays below 1 % of the file, apart from four blocks of each
author and one of each accusation. Own pieces are never compared. An author is named for a block of a piece that is here
by its word at the moment of naming; a piece that was lost meanwhile proves nothing.

The first pieces of an author are compared for sure, later ones at random, piece by piece as they come, so that
nobody can know which. The members of a large group divide the work: what one of them finds it tells the others, who
compare that very block themselves, for an accusation proves nothing. A member whose accusations turn out groundless is
no longer heard.

Pure: `rng` and the time are arguments.
"""

from __future__ import annotations

import random
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from shoal.formats.bitfield import without
from shoal.formats.layout import BLOCK_LENGTH, Layout

SHARE = 0.003  # of the file, drawn at random; the first pieces of authors may take as much again
SHARE_WITH_DIGEST = 0.001  # where the digest of the whole is known, and audits only find the culprit sooner
FIRST_AUDITS = (
    4  # of each author, for the group together: one that lies in half of its pieces is found at 15:1
)
MOST_AUDITORS = 10  # requesters who divide the audits; more may be one liar under many names
MOST_WAITING = 64  # drawn and not begun; where the origin is slow, what is drawn more takes another's place
LAST_AUDITS = 4  # of those, when all pieces are here: the download waits for them, so they are few
MOST_GROUNDLESS = 4  # accusations of one member; a liar may have told it alone another thing, so not one
MOST_TRIES = 3  # of one audit, if the origin does not answer
PATIENCE = 30.0  # seconds after which an audit that was given out is given out again


_Brought = tuple[bytes, int]  # an author, and a piece of it


class Audit(NamedTuple):
    """One block to compare with the origin's, and who answers for it."""

    piece: int
    begin: int
    length: int
    author: bytes


@dataclass(slots=True, eq=False)
class _State:
    """What becomes of one audit."""

    is_urgent: bool  # the end is worth waiting for it
    tries: int = 0
    again_at: float = 0.0  # when it may be given out again


class Audits:
    """The audits of one requester. `requesters`, this one included, may be set anew when members come and go."""

    def __init__(
        self,
        length: int,
        piece_length: int,
        rng: random.Random,
        *,
        share: float = SHARE,
        requesters: int = 1,
    ) -> None:
        self.requesters = requesters
        self.checked_count = 0
        self.checked_bytes = 0
        self._layout = Layout(piece_length, [length])
        self._rng = rng
        self._share = share
        self._pieces: dict[bytes, int] = {}  # author -> its pieces that are here, as bits
        self._firsts_left: dict[bytes, int] = {}  # author -> first pieces that are still to be compared
        self._unseen = length  # bytes that have not come from others, or not yet
        self._first_count = 0  # blocks given to first pieces ...
        self._drawn_count = 0  # ... and drawn at random
        self._urgent: deque[Audit] = deque()
        self._drawn: list[Audit] = []
        self._under_way: dict[Audit, _State] = {}
        self._accusations: dict[_Brought, dict[int, bytes]] = {}  # begin -> accuser, of each piece accused
        self._groundless: Counter[bytes] = Counter()  # accusations of a member that were not confirmed
        self._out: set[bytes] = set()

    @property
    def _divisor(self) -> int:
        """Those who divide the work; that there are more is only said."""
        return min(max(1, self.requesters), MOST_AUDITORS)

    # ---- what happens

    def on_piece(self, piece: int, author: bytes) -> None:
        """A piece that another fetched from the origin is here, with the digest that this author signed."""
        size = self._layout.piece_size(piece)
        if author not in self._firsts_left:
            self._firsts_left[author] = self._firsts_of_one()
            self._first_count += self._firsts_left[author]
        self._pieces[author] = self._pieces.get(author, 0) | 1 << piece
        for begin in self._accusations.get((author, piece), ()):
            self._put_first(self._audit(piece, begin, author))
        expected = self._expected(size)
        self._unseen = max(0, self._unseen - size)
        if self._firsts_left[author]:
            self._firsts_left[author] -= 1
            self._urgent.append(self._audit(piece, self._any_begin(size), author))
            return
        for _ in range(int(expected + self._rng.random())):
            self._draw(self._audit(piece, self._any_begin(size), author))

    def on_lost(self, pieces: int) -> None:
        """These are not here any more (bits): what was to be compared of them is not, but others in their place."""
        for author, held in self._pieces.items():
            self._pieces[author] = without(held, pieces)
        for audit in self._drop(lambda audit: bool(pieces >> audit.piece & 1)):
            if audit.begin not in self._accusations.get((audit.author, audit.piece), ()):
                self._firsts_left[audit.author] += 1

    def on_banned(self, author: bytes) -> None:
        """This author is out, and its pieces are lost."""
        self._out.add(author)
        self._pieces.pop(author, None)
        self._drop(lambda audit: audit.author == author)
        for accused in [one for one in self._accusations if one[0] == author]:
            for accuser in self._accusations.pop(accused).values():
                self._groundless[accuser] -= 1

    def accuse(self, accuser: bytes, author: bytes, piece: int, begin: int) -> bool:
        """A member found this block false. -> whether it is heard: the block is compared next, or when it is here.

        Every accusation counts as groundless until its author is out.
        """
        if not 0 <= piece < self._layout.piece_count or begin not in range(
            0, self._layout.piece_size(piece), BLOCK_LENGTH
        ):
            return False
        if author in self._out or author == accuser or self._groundless[accuser] >= MOST_GROUNDLESS:
            return False
        accused = self._accusations.setdefault((author, piece), {})
        if begin in accused:
            return True
        accused[begin] = accuser
        self._groundless[accuser] += 1
        if self._pieces.get(author, 0) >> piece & 1:
            self._put_first(self._audit(piece, begin, author))
        return True

    def on_whole(self) -> None:
        """All pieces are here. Of what was drawn and not begun only a few remain, so that the end is not held up."""
        self._rng.shuffle(self._drawn)
        self._urgent.extend(self._drawn[:LAST_AUDITS])
        self._drawn.clear()

    # ---- audits

    def next(self, now: float) -> Audit | None:
        """What to compare next; it is then to be answered with `on_same`, `on_different` or `on_failed`."""
        late = next((one for one, state in self._under_way.items() if state.again_at <= now), None)
        if late is not None:
            state = self._under_way.pop(late)
            if state.tries < MOST_TRIES:
                return self._give(late, state, now)
        if self._urgent:
            return self._give(self._urgent.popleft(), _State(is_urgent=True), now)
        if self._drawn:
            chosen = self._drawn.pop(self._rng.randrange(len(self._drawn)))
            return self._give(chosen, _State(is_urgent=False), now)
        return None

    def on_same(self, audit: Audit) -> None:
        """The block is what the origin sends."""
        if self._under_way.pop(audit, None) is not None:
            self.checked_count += 1
            self.checked_bytes += audit.length

    def on_different(self, audit: Audit) -> bytes | None:
        """The origin sends another thing. -> the author that lied, or None if the piece was lost since."""
        if self._under_way.pop(audit, None) is None:
            return None
        self.checked_count += 1
        self.checked_bytes += audit.length
        return audit.author

    def on_failed(self, audit: Audit, now: float, wait: float = 1.0) -> None:
        """The origin did not answer. It is asked again after `wait` seconds, three times in all."""
        state = self._under_way.get(audit)
        if state is None:
            return
        if state.tries >= MOST_TRIES:
            del self._under_way[audit]
        else:
            state.again_at = now + wait

    @property
    def pending(self) -> int:
        """How many audits the end of the download is to wait for: not those drawn at random, until `on_whole`."""
        return len(self._urgent) + sum(state.is_urgent for state in self._under_way.values())

    # ---- choosing

    def _firsts_of_one(self) -> int:
        """How many first pieces of an author are ours to compare: all four if the share allows it.

        Whatever the share, the group compares four of them; who of many requesters does is left to chance.
        """
        if self._first_count + FIRST_AUDITS <= self._budget():
            return FIRST_AUDITS
        return int(FIRST_AUDITS / self._divisor + self._rng.random())

    def _budget(self) -> float:
        """Blocks that are ours to compare at random; and as many of first pieces."""
        return self._share * self._layout.total_size / BLOCK_LENGTH / self._divisor

    def _expected(self, size: int) -> float:
        """Blocks to draw of a piece: our share, or less where first pieces took more than theirs."""
        left = 2 * self._budget() - self._first_count - self._drawn_count
        usual = self._budget() / self._layout.total_size
        return max(0.0, min(usual, left / max(size, self._unseen))) * size

    def _draw(self, audit: Audit) -> None:
        if self._drawn_count + self._first_count + 1 > 2 * self._budget():
            return
        if len(self._drawn) < MOST_WAITING:
            self._drawn_count += 1
            self._drawn.append(audit)
        else:
            self._drawn[self._rng.randrange(len(self._drawn))] = audit

    def _any_begin(self, size: int) -> int:
        return self._rng.randrange(0, size, BLOCK_LENGTH)

    def _audit(self, piece: int, begin: int, author: bytes) -> Audit:
        length = min(BLOCK_LENGTH, self._layout.piece_size(piece) - begin)
        return Audit(piece, begin, length, author)

    # ---- queues

    def _put_first(self, audit: Audit) -> None:
        if audit not in self._under_way and audit not in self._urgent:
            self._urgent.appendleft(audit)

    def _give(self, audit: Audit, state: _State, now: float) -> Audit:
        state.tries += 1
        state.again_at = now + PATIENCE
        self._under_way[audit] = state
        return audit

    def _drop(self, is_dropped: Callable[[Audit], bool]) -> list[Audit]:
        """Forget audits. -> those that were urgent."""
        dropped = [audit for audit in self._urgent if is_dropped(audit)]
        self._urgent = deque(audit for audit in self._urgent if not is_dropped(audit))
        for audit in [audit for audit in self._under_way if is_dropped(audit)]:
            if self._under_way.pop(audit).is_urgent:
                dropped.append(audit)
        waiting = len(self._drawn)
        self._drawn = [audit for audit in self._drawn if not is_dropped(audit)]
        self._drawn_count -= waiting - len(self._drawn)
        return dropped
