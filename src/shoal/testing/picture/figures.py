"""What a picture shows, as plain numbers: blocks counted into short spans of time.

A block counts for its sender in the span in which it arrived, which is a latency and the receiver's queue after it
left: a picture is wide, and that is less than a pixel or two of it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from shoal.testing.scenarios import Member, Story
from shoal.testing.trace import FIRST_COPY, IN_VAIN, Trace

MOST_LANES = 24  # more hosts than that are told apart by when they finish, not by name
SPANS = 240  # over the whole story: what an eye can tell apart
KINDS = ("first copies", "more of them from seeds", "passed on by leechers", "in vain")

Rows = list[list[float]]


@dataclass(frozen=True, slots=True)
class Lane:
    """One host's uplink."""

    member: Member
    joined_at: float
    left_at: float  # or the end of the story
    to: dict[int, list[float]]  # lane of the receiver -> share of the uplink, span by span
    completed_at: float | None
    progress: tuple[list[float], list[float]]  # times, and the share of the file it had from then on

    @property
    def name(self) -> str:
        return self.member.host.name

    @property
    def is_seed(self) -> bool:
        return self.member.group == "seeds"

    def use(self, spans: int) -> list[float]:
        """The share of the uplink that was in use, span by span."""
        return [sum(shares[span] for shares in self.to.values()) for span in range(spans)]


@dataclass(frozen=True, slots=True)
class Figures:
    seconds: float
    lanes: list[Lane]  # seeds first, then as they came; in a large swarm, as they came to have everything
    kinds: dict[str, list[float]]  # share of all uplinks, span by span
    capacity: list[float]  # of the uplinks that were there, over the most that ever were
    out: tuple[list[float], list[float]]  # times, and the share of the pieces that anybody but a seed had
    matrix: Rows  # sender, receiver: bytes over the file's size

    @property
    def is_large(self) -> bool:
        return len(self.lanes) > MOST_LANES

    @property
    def spans(self) -> int:
        return len(self.capacity)

    @property
    def span(self) -> float:
        """Seconds."""
        return self.seconds / self.spans

    @property
    def times(self) -> list[float]:
        """The edges of the spans."""
        return [number * self.span for number in range(self.spans + 1)]


def count(story: Story, trace: Trace) -> Figures:
    """Of a story that was heard by `trace` from its first event to its last."""
    seconds = max(story.seconds, 1e-6)
    order = sorted(story.members, key=lambda member: _rank(story, member))
    lane_of = {trace.numbers[member.host.name]: row for row, member in enumerate(order)}
    progress, out = _progress(story, trace, lane_of)
    lanes = [_lane(story, member, seconds, progress[row]) for row, member in enumerate(order)]
    capacity = [sum(rates) for rates in zip(*(_rates(lane, seconds) for lane in lanes), strict=True)]
    most = max(capacity)
    kinds = {kind: [0.0] * SPANS for kind in KINDS}
    matrix = [[0.0] * len(lanes) for _ in lanes]
    for span, sender, receiver, length, kind in _blocks(trace, lane_of, seconds):
        lane = lanes[sender]
        shares = lane.to.setdefault(receiver, [0.0] * SPANS)
        shares[span] += length / (lane.member.host.up * seconds / SPANS)
        kinds[_name_of(kind, lane)][span] += length / (most * seconds / SPANS)
        matrix[sender][receiver] += length / story.size.bytes
    return Figures(seconds, lanes, kinds, [rate / most for rate in capacity], out, matrix)


def _rank(story: Story, member: Member) -> tuple[bool, float]:
    if len(story.members) <= MOST_LANES:
        return member.group != "seeds", member.joined_at
    at = story.completed_at(member)
    return member.group != "seeds", float("inf") if at is None else at


def _lane(story: Story, member: Member, seconds: float, progress: tuple[list[float], list[float]]) -> Lane:
    left_at = seconds if member.left_at is None else member.left_at
    return Lane(member, member.joined_at, left_at, {}, story.completed_at(member), progress)


def _rates(lane: Lane, seconds: float) -> list[float]:
    """The uplink in bytes a second, in each span, as far as it was there."""
    span = seconds / SPANS
    there = (
        min(lane.left_at, (number + 1) * span) - max(lane.joined_at, number * span) for number in range(SPANS)
    )
    return [lane.member.host.up * max(0.0, part) / span for part in there]


def _blocks(
    trace: Trace, lane_of: dict[int, int], seconds: float
) -> Iterator[tuple[int, int, int, int, int]]:
    columns = (trace.block_times, trace.block_senders, trace.block_receivers, trace.block_lengths)
    for at, sender, receiver, length, kind in zip(*columns, trace.block_kinds, strict=True):
        span = min(SPANS - 1, int(at / seconds * SPANS))
        yield span, lane_of[int(sender)], lane_of[int(receiver)], int(length), kind


def _name_of(kind: int, lane: Lane) -> str:
    if kind == IN_VAIN:
        return "in vain"
    if kind == FIRST_COPY:
        return "first copies"
    return "more of them from seeds" if lane.is_seed else "passed on by leechers"


def _progress(
    story: Story, trace: Trace, lane_of: dict[int, int]
) -> tuple[dict[int, tuple[list[float], list[float]]], tuple[list[float], list[float]]]:
    """Of each lane, and of everybody but the seeds together."""
    by_number = {trace.numbers[member.host.name]: member for member in story.members}
    counts = {lane_of[number]: member.had.bit_count() for number, member in by_number.items()}
    curves = {
        lane_of[number]: ([member.joined_at], [counts[lane_of[number]] / story.size.pieces])
        for number, member in by_number.items()
    }
    together = 0
    for member in story.members:
        together |= 0 if member.group == "seeds" else member.had
    out = ([0.0], [together.bit_count() / story.size.pieces])
    for at, number, piece in zip(trace.piece_times, trace.piece_hosts, trace.pieces, strict=True):
        row = lane_of[int(number)]
        counts[row] += 1
        _step(curves[row], at, counts[row] / story.size.pieces)
        if not together >> piece & 1:
            together |= 1 << piece
            _step(out, at, together.bit_count() / story.size.pieces)
    return curves, out


def _step(curve: tuple[list[float], list[float]], at: float, share: float) -> None:
    curve[0].append(at)
    curve[1].append(share)
