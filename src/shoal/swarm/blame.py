"""Find out who sent the bad block of a piece that failed its hash.

A failed piece with one sender names its liar at once. With several, one digest a block is kept for each
failed version, and the piece becomes *suspect*: from then on a single peer at a time is asked for all of it.
Once the piece is right, a sender is guilty if, and only if, a block it sent differs from the right one.

Always true: an honest sender is never named, since all its blocks equal the right ones. A peer's key must
outlive its connection (its address does), so that a liar that has left can still be banned. This module
knows nothing of sockets, hashes of pieces or bans; block sets are ints (bit i = block i).
"""

from __future__ import annotations

import hashlib
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)

MAX_KEPT_DIGESTS = 65_536  # the blocks of a GiB of failed pieces, in about 4 MiB of memory
DIGEST_LENGTH = 16  # to pass for honest, a liar would need a second preimage: 128 bits refuse that


def digest_blocks(data: memoryview, block_length: int) -> list[bytes]:
    """One digest for each block of a piece, as `Blame` compares them; the last block may be short."""
    return [
        hashlib.blake2b(data[start : start + block_length], digest_size=DIGEST_LENGTH).digest()
        for start in range(0, len(data), block_length)
    ]


@dataclass(frozen=True, slots=True)
class Verdict(Generic[K]):
    """Who is known to have lied, and who had been under suspicion and is not any more."""

    guilty: frozenset[K] = frozenset()
    cleared: frozenset[K] = frozenset()


@dataclass(frozen=True, slots=True)
class _FailedVersion(Generic[K]):
    """One failed version of a piece: which blocks each sender gave, and what those blocks were."""

    senders: Mapping[K, int]
    digests: Sequence[bytes]

    def judge(self, good_digests: Sequence[bytes]) -> Verdict[K]:
        pairs = enumerate(zip(self.digests, good_digests, strict=True))
        wrong = sum(1 << block for block, (kept, good) in pairs if kept != good)
        guilty = frozenset(sender for sender, blocks in self.senders.items() if blocks & wrong)
        return Verdict(guilty, frozenset(self.senders) - guilty)


@dataclass(slots=True, eq=False)
class _SuspectPiece(Generic[K]):
    """A piece with failed versions, and the one peer that may be asked for it now."""

    versions: list[_FailedVersion[K]] = field(default_factory=list)
    source: K | None = None
    turns: dict[K, int] = field(default_factory=dict)  # how often each peer has been the source

    def failed_block_count(self, peer: K) -> int:
        return sum(version.senders.get(peer, 0).bit_count() for version in self.versions)


class Blame(Generic[K]):
    """The evidence of one torrent's failed pieces."""

    def __init__(self, *, max_kept_digests: int = MAX_KEPT_DIGESTS) -> None:
        self._suspects: dict[int, _SuspectPiece[K]] = {}  # in the order of their first failure
        self._max_kept_digests = max_kept_digests
        self._kept_digest_count = 0
        self.suspect_pieces = 0  # the pieces that only `choose_source` may give out, as bits

    def is_suspect(self, piece: int) -> bool:
        return piece in self._suspects

    def on_bad_piece(self, piece: int, senders: Mapping[K, int], digests: Sequence[bytes]) -> Verdict[K]:
        """A piece failed its hash. `senders` says whose bytes its blocks hold: at most one sender a block."""
        _check_senders(piece, senders, len(digests))
        if (liar := _only_sender(senders, len(digests))) is not None:
            self._end_turn(piece)
            return Verdict(guilty=frozenset((liar,)))
        suspect = self._suspects.setdefault(piece, _SuspectPiece())
        suspect.versions.append(_FailedVersion(dict(senders), tuple(digests)))
        suspect.source = None
        self.suspect_pieces |= 1 << piece
        self._kept_digest_count += len(digests)
        self._drop_oldest_evidence()
        return Verdict()

    def on_good_piece(self, piece: int, digests: Sequence[bytes]) -> Verdict[K]:
        """A piece is right. Only a suspect one has a verdict, so others need no digests computed."""
        suspect = self._suspects.get(piece)
        if suspect is None:
            return Verdict()
        self._forget(piece)
        verdicts = [version.judge(digests) for version in suspect.versions]
        guilty = frozenset[K]().union(*(verdict.guilty for verdict in verdicts))
        cleared = frozenset[K]().union(*(verdict.cleared for verdict in verdicts))
        return Verdict(guilty, cleared - guilty)

    def choose_source(self, piece: int, candidates: Iterable[K]) -> K | None:
        """Return the one peer that may be asked for a suspect piece now; `None` if there is no candidate.

        The choice holds until the piece fails again or the peer is no candidate any more (it left, it choked
        us, it stalls). Earlier candidates win ties, so the caller's order is a preference.
        """
        suspect = self._suspects[piece]
        remaining = list(candidates)
        if suspect.source in remaining:
            return suspect.source
        if not remaining:
            suspect.source = None
            return None
        suspect.source = min(remaining, key=lambda peer: _source_rank(suspect, peer))
        suspect.turns[suspect.source] = suspect.turns.get(suspect.source, 0) + 1
        return suspect.source

    def _end_turn(self, piece: int) -> None:
        if (suspect := self._suspects.get(piece)) is not None:
            suspect.source = None

    def _drop_oldest_evidence(self) -> None:
        """Hold the bound; the version that came last stays whatever its size."""
        while self._kept_digest_count > self._max_kept_digests:
            oldest = next(iter(self._suspects))
            versions = self._suspects[oldest].versions
            if len(versions) > 1:
                self._kept_digest_count -= len(versions.pop(0).digests)
            elif len(self._suspects) > 1:
                self._forget(oldest)
            else:
                return

    def _forget(self, piece: int) -> None:
        suspect = self._suspects.pop(piece)
        self._kept_digest_count -= sum(len(version.digests) for version in suspect.versions)
        self.suspect_pieces &= ~(1 << piece)


def _source_rank(suspect: _SuspectPiece[K], peer: K) -> tuple[bool, int, int]:
    failed_blocks = suspect.failed_block_count(peer)
    return (
        failed_blocks > 0,  # one that had no part in the failure is the best witness
        suspect.turns.get(peer, 0),  # one that began and did not finish waits for the others
        failed_blocks,  # the less it sent, the less likely it was the liar
    )


def _only_sender(senders: Mapping[K, int], block_count: int) -> K | None:
    """The peer that sent the whole piece; blocks that came from nobody known leave a doubt."""
    every_block = (1 << block_count) - 1
    return next((sender for sender, blocks in senders.items() if blocks == every_block), None)


def _check_senders(piece: int, senders: Mapping[K, int], block_count: int) -> None:
    seen = 0
    for sender, blocks in senders.items():
        if blocks & seen or blocks >> block_count:
            raise ValueError(
                f"piece {piece}: blocks {blocks:#b} of {sender} overlap another's or pass {block_count}"
            )
        seen |= blocks
