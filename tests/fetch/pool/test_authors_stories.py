"""Many members, some of them liars, all of them relays: no honest one is ever out, no false piece outlives a check.

The story is told as the pool will live it: pieces come with the digest on record, audits and our own fetching from the
origin hit some of them, who lied is banned, and what a ban costs is lost.
"""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from shoal.fetch.pool.authors import MAX_RECORDS, Authors, News
from shoal.formats.bitfield import iter_bits

from .signing import INFO_HASH, ME, digest, forged, key, signed, truth, verify

PIECES = 12
HONEST = [key(f"honest {number}") for number in range(4)]
LIARS = [key(f"liar {number}") for number in range(4)]

pieces = st.integers(0, PIECES - 1)
honest = st.sampled_from(HONEST)
liars = st.sampled_from(LIARS)
lies = st.sampled_from([digest("false"), digest("false too")])


class Story(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.authors = Authors(INFO_HASH, ME, PIECES, verify)
        self.here: dict[int, bytes] = {}  # piece -> the digest of what is here
        self.out: set[bytes] = set()  # authors
        self.faulty: set[bytes] = set()  # who told what is forged
        self.spoken: set[int] = set()  # pieces of which somebody told a record

    def hear(self, piece: int, author: bytes, said: bytes, told_by: bytes) -> None:
        self.spoken.add(piece)
        news = self.authors.on_record(signed(piece, author, said), told_by)
        assert (news is News.BANNED_AUTHOR) == (author in self.out)
        assert news is not News.FORGED, "a relay is not at fault for what others signed"
        if news is News.LIE:
            self.ban(author)
        elif news is News.CONFLICT:
            self.here.pop(piece, None)

    def ban(self, author: bytes) -> None:
        self.out.add(author)
        for piece in iter_bits(self.authors.ban(author)):
            self.here.pop(piece, None)

    @rule()
    def a_metalink_says_what_each_piece_is(self) -> None:
        for author in self.authors.know([truth(piece) for piece in range(PIECES)]):
            assert author in LIARS
            self.ban(author)

    @precondition(lambda self: not self.authors.knows_all)
    @rule(piece=pieces, lie=lies, author=honest, told_by=honest | liars)
    def the_origin_gave_a_bad_piece_before_the_metalink_came(
        self, piece: int, lie: bytes, author: bytes, told_by: bytes
    ) -> None:
        if piece in self.spoken:
            return  # whoever said the truth would be out: nothing else was known
        assert self.authors.settle(piece, lie) == ()
        self.authors.on_record(signed(piece, ME, lie), ME)
        named = self.authors.know([truth(piece) for piece in range(PIECES)])
        assert ME in named
        for liar in set(named) - {ME}:
            assert liar in LIARS
            self.ban(liar)
        self.hear(piece, author, truth(piece), told_by)

    @rule(piece=pieces, author=honest, told_by=honest | liars)
    def an_honest_record_is_told(self, piece: int, author: bytes, told_by: bytes) -> None:
        self.hear(piece, author, truth(piece), told_by)

    @rule(piece=pieces, author=liars, lie=lies | st.none(), told_by=honest | liars)
    def a_liars_record_is_told(self, piece: int, author: bytes, lie: bytes | None, told_by: bytes) -> None:
        self.hear(piece, author, lie or truth(piece), told_by)

    @rule(piece=pieces, author=honest | liars | st.just(ME), lie=lies, told_by=liars)
    def a_liar_forges(self, piece: int, author: bytes, lie: bytes, told_by: bytes) -> None:
        known = self.authors.vouchers_of(piece)
        news = self.authors.on_record(forged(piece, author, lie), told_by)
        if news is News.FORGED:
            self.faulty.add(told_by)
        assert news in (News.FORGED, News.BANNED_AUTHOR, News.KNOWN, News.FULL)
        assert self.authors.vouchers_of(piece) == known

    @rule(piece=pieces)
    def a_piece_arrives(self, piece: int) -> None:
        said = self.authors.digest_of(piece)
        if said is not None:
            self.here.setdefault(piece, said)

    @rule(piece=pieces)
    def we_fetch_it_ourselves(self, piece: int) -> None:
        false = {
            one for one in self.authors.vouchers_of(piece) if self.authors.digest_of(piece) != truth(piece)
        }
        self.spoken.add(piece)
        named = self.authors.settle(piece, truth(piece))
        assert false <= set(named)
        for author in named:
            self.ban(author)
        self.here[piece] = truth(piece)
        assert self.authors.on_record(signed(piece, ME, truth(piece)), ME) in (News.NEW, News.KNOWN)
        assert self.authors.author_of(piece) == ME

    @precondition(lambda self: self.here)
    @rule(data=st.data())
    def an_audit_hits(self, data: st.DataObject) -> None:
        piece = data.draw(st.sampled_from(sorted(self.here)))
        if self.here[piece] == truth(piece):
            return
        vouchers = self.authors.vouchers_of(piece)
        assert vouchers, "a false piece has an author that answers for it"
        for author in vouchers:
            self.ban(author)
        assert piece not in self.here
        assert self.authors.digest_of(piece) in (None, truth(piece), digest("false"), digest("false too"))

    @invariant()
    def only_liars_are_out(self) -> None:
        assert self.out <= set(LIARS)
        assert self.faulty <= set(LIARS)

    @invariant()
    def what_is_here_has_the_digest_that_counts(self) -> None:
        for piece, said in self.here.items():
            assert self.authors.digest_of(piece) == said
            assert not self.authors.disputed >> piece & 1

    @invariant()
    def nobody_who_is_out_vouches_for_anything(self) -> None:
        for piece in range(PIECES):
            assert not self.out & set(self.authors.vouchers_of(piece))
            record = self.authors.record_of(piece)
            assert record is None or record.digest == self.authors.digest_of(piece)
            assert len(self.authors.vouchers_of(piece)) <= MAX_RECORDS + 1


TestStory = Story.TestCase
TestStory.settings = settings(max_examples=150, stateful_step_count=40)
