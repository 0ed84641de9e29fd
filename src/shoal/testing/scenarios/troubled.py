"""Swarms with troubles: who leaves, is killed, is slow, gives nothing, has a part only, or is another client."""

from __future__ import annotations

from shoal.swarm.tactics import Tactics
from shoal.testing.scenarios.plain import equal
from shoal.testing.scenarios.story import Story
from shoal.testing.simulation import Host, Manners, kill_at_random

LOOK = 0.05  # seconds between two looks whether every piece is out
KILLED_A_MINUTE = 0.3
REPLACED_FOR = 60.0  # seconds; who is killed later has no successor, or there would be no end
SLOW = 100  # times slower
HELD = 0.5  # the chance that a partial holder has a piece


def seed_leaves(story: Story) -> None:
    """The only seed leaves once every piece is out."""
    equal(story)
    seed, leechers = story.members[0].host, [member.host for member in story.members[1:]]

    def look() -> None:
        together = 0
        for leecher in leechers:
            together |= leecher.swarm.pieces.have
        if together == story.all_pieces:
            seed.leave("left: every piece is out")
            story.note_leaving(seed)
        else:
            story.net.clock.call_later(LOOK, look)

    look()


def churn(story: Story) -> None:
    """Leechers are killed at random, three of ten a minute, and others come in their place with nothing."""
    seed = story.add_seed()
    names = (f"leecher {number}" for number in range(1, 1_000_000))
    first = [story.add(next(names)) for _ in range(story.size.leechers)]

    def replace(killed: Host) -> None:
        story.note_leaving(killed)
        if story.seconds < REPLACED_FOR:
            newcomer = story.add(next(names))
            story.net.join(newcomer)
            kill_at_random(story.net, [newcomer], share_a_minute=KILLED_A_MINUTE, then=replace)

    kill_at_random(story.net, first, share_a_minute=KILLED_A_MINUTE, then=replace)
    story.net.meet([seed, *first])


def slow_peer(story: Story) -> None:
    """One more leecher, at a hundredth of the speed; the others are waited for."""
    rate = story.size.link / SLOW
    _equal_and(story, story.add("slow one", group="slow", up=rate, down=rate, is_awaited=False))


def slow_seed(story: Story) -> None:
    """Few leechers, a seed at full speed, and one at a hundredth of it, from which blocks come late."""
    slow = story.add("slow seed", group="seeds", have=story.all_pieces, up=story.size.link / SLOW)
    _equal_and(story, slow)


def free_rider(story: Story) -> None:
    """One more leecher, who gives nothing; the others are waited for."""
    manners = Manners(is_free_rider=True)
    _equal_and(story, story.add("free rider", group="free rider", manners=manners, is_awaited=False))


def _equal_and(story: Story, stranger: Host) -> None:
    story.net.meet([story.add_seed(), *story.add_leechers(), stranger])


def partial_holders(story: Story) -> None:
    """No seed: each has half of the pieces, at random, and together they have all."""
    rng = story.net.rng
    held = [0] * story.size.leechers
    for piece in range(story.size.pieces):
        lucky = rng.randrange(len(held))  # at least one has it
        for number in range(len(held)):
            if number == lucky or rng.random() < HELD:
                held[number] |= 1 << piece
    story.net.meet([story.add(f"holder {number}", have=have) for number, have in enumerate(held, 1)])


def half_standard(story: Story) -> None:
    """Every other leecher does as the standard client does; the seed is ours."""
    seed = story.add_seed()
    leechers = []
    for number in range(1, story.size.leechers + 1):
        kind, tactics = ("ours", None) if number % 2 else ("standard", Tactics.standard())
        leechers.append(story.add(f"{kind} {number}", group=kind, tactics=tactics))
    story.net.meet([seed, *leechers])
