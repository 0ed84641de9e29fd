"""The swarm of all members of one group: who is there, what they take part in, who helps whom.

Nothing is downloaded in it. Everybody tells everybody of the pools it is in (by info hash) and of the origins it asks
(by tag); a requester asks helpers for help here, and they say yes, or no and why.

Always true: what is believed of a member is its latest word, and it goes with its connection.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from shoal.errors import FormatError, PeerError
from shoal.fetch.group.signing import short_name
from shoal.fetch.pool.hearing import Talk, program_of
from shoal.net.sockets import Address, format_address
from shoal.protocol.group.meeting import encode_meeting, parse_meeting
from shoal.protocol.group.messages import (
    MEETING,
    AskHelp,
    Dismiss,
    Helping,
    Kept,
    MeetingMessage,
    Pause,
    Presence,
    Refused,
)

if TYPE_CHECKING:
    from shoal.engine.neighbour import Neighbour


@dataclass(slots=True, eq=False)
class Attendant:
    """A member that is here now."""

    neighbour: Neighbour
    talk: Talk
    presence: Presence = field(default_factory=Presence)
    is_known: bool = False  # it told its presence

    @property
    def member(self) -> bytes:
        return self.neighbour.member

    @property
    def program(self) -> bytes:
        """Which of the programs of that member."""
        return program_of(self.neighbour)

    @property
    def address(self) -> Address:
        """Where it can be dialled."""
        return self.neighbour.listens_at or self.neighbour.address

    @property
    def shown(self) -> str:
        """`"10.0.0.7:6881 (member 1a2b3c4d)"`"""
        return f"{format_address(self.address)} (member {short_name(self.member)})"

    def say(self, message: MeetingMessage) -> None:
        self.neighbour.say(Meeting.name, encode_meeting(message))


OnMessage = Callable[[Attendant, AskHelp | Kept | Helping | Dismiss | Refused | Pause], None]


class Meeting:
    """An extension of the meeting's torrent. `on_change(attendant)`: it came, or its presence changed."""

    name = MEETING

    def __init__(
        self,
        presence: Presence,
        *,
        on_change: Callable[[Attendant], None],
        on_message: OnMessage,
        on_gone: Callable[[Attendant], None],
        on_fault: Callable[[Attendant, str], None],
        clock: Callable[[], float],
    ) -> None:
        """`on_fault(attendant, reason)`: what it said is no honest member's."""
        self._presence = presence
        self._attendants: dict[Neighbour, Attendant] = {}
        self._on_change = on_change
        self._on_message = on_message
        self._on_gone = on_gone
        self._on_fault = on_fault
        self._clock = clock

    @property
    def attendants(self) -> list[Attendant]:
        return list(self._attendants.values())

    def tell(self, presence: Presence) -> None:
        """This is true of us from now on."""
        if presence != self._presence:
            self._presence = presence
            self.tell_all(presence)

    def tell_all(self, message: MeetingMessage) -> None:
        for attendant in self._attendants.values():
            attendant.say(message)

    # ---- the torrent calls

    def on_joining(self, neighbour: Neighbour) -> None:
        attendant = self._attendants[neighbour] = Attendant(neighbour, Talk(self._clock()))
        attendant.say(self._presence)

    def on_message(self, neighbour: Neighbour, payload: bytes) -> None:
        attendant = self._attendants.get(neighbour)
        if attendant is None:
            return
        try:
            attendant.talk.on_message(self._clock())
            message = parse_meeting(payload)
        except (PeerError, FormatError) as error:
            self._on_fault(attendant, error.message)
            raise
        if message is None:
            return
        if isinstance(message, Presence):
            attendant.presence = message
            attendant.is_known = True
            self._on_change(attendant)
        else:
            self._on_message(attendant, message)

    def on_has(self, neighbour: Neighbour, bits: int) -> None:
        """Nobody has anything here."""

    def before_have(self, piece: int) -> None:
        """Nothing ever comes."""

    def on_parted(self, neighbour: Neighbour, reason: str) -> None:
        attendant = self._attendants.pop(neighbour, None)
        if attendant is not None:
            self._on_gone(attendant)

    def tick(self, now: float) -> None:
        """Nothing here depends on time."""
