"""The meetings that this machine is in, one a group, on one engine: its port, its voice on the LAN, its trackers.

Both a requester and a helper have one of these. Nothing is decided here about downloads.

Always true: what is said of us (pools, origins) is said in the meeting of the group it belongs to, and nowhere else.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from functools import partial
from types import TracebackType
from typing import Any, Self

from shoal.engine.engine import Engine
from shoal.engine.resolving import resolve
from shoal.engine.torrent import Torrent
from shoal.fetch.group.joined import JoinedGroup
from shoal.fetch.group.membership import Membership
from shoal.fetch.pool.content import MeetingContent, NoStore
from shoal.fetch.pool.hearing import program_of
from shoal.fetch.pool.meeting import Attendant, Meeting
from shoal.fetch.pool.pool import Pool
from shoal.fetch.pool.wish import Contacts
from shoal.net.local_discovery import LocalDiscovery
from shoal.net.sockets import Address, format_address
from shoal.protocol.group.messages import Pause, Presence
from shoal.swarm.known_peers import Source
from shoal.swarm.tactics import Tactics

# Who wants nothing is of use all the same: it tells what it fetches.
AMONG_MEMBERS = Tactics(super_seeds=False, parts_when_pointless=False)


SECOND_DIAL = 1.0  # seconds after which whoever was to be dialled dials, for it may be behind a router


@dataclass(frozen=True, slots=True)
class Events:
    """What its owner is told."""

    on_change: Callable[[JoinedGroup, Attendant], None]  # a member came, or its presence changed
    on_message: Callable[[JoinedGroup, Attendant, Any], None]
    on_gone: Callable[[JoinedGroup, Attendant], None]
    note: Callable[[str], None]


@dataclass(slots=True)
class _Attended:
    group: JoinedGroup
    meeting: Meeting
    torrent: Torrent | None = None
    pools: set[bytes] = field(default_factory=set)
    origins: dict[bytes, list[AtOrigin]] = field(default_factory=dict)  # tag -> downloads of ours from there


class Meetings:
    """Use as an async context manager: inside, the engine runs and members are met."""

    def __init__(
        self,
        groups: Sequence[JoinedGroup],
        contacts: Mapping[str, Contacts],
        events: Events,
        *,
        is_helper: bool = False,
        bind: str | None = None,
        port: int | None = None,
        max_upload_rate: int | None = None,
        max_download_rate: int | None = None,
    ) -> None:
        """`contacts` by the group's name; what the engine's `make_limit` is for counts as downloaded, too."""
        self.membership = Membership(groups)
        self.engine = Engine(
            bind=bind, port=port, max_upload_rate=max_upload_rate, max_download_rate=max_download_rate,
            security=self.membership,
        )  # fmt: skip
        self._contacts = contacts
        self._events = events
        self._is_helper = is_helper
        self._stack = AsyncExitStack()
        self._noted: set[str] = set()
        self._groups = {group.name: _Attended(group, self._meeting(group)) for group in groups}

    def _meeting(self, group: JoinedGroup) -> Meeting:
        return Meeting(
            Presence(is_helper=self._is_helper),
            on_change=lambda attendant: self._on_change(group, attendant),
            on_message=lambda attendant, message: self._events.on_message(group, attendant, message),
            on_gone=lambda attendant: self._events.on_gone(group, attendant),
            on_fault=lambda attendant, reason: self._on_fault(group, attendant, reason),
            clock=self.engine.now,
        )

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(self.engine)
            discovery = LocalDiscovery(self.engine.bind, self.engine.port, self._on_found, self._events.note)
            await stack.enter_async_context(discovery)
            self._discovery = discovery
            for attended in self._groups.values():
                await self._attend(attended)
                discovery.join(attended.group.key.meeting_hash)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.__aexit__(kind, error, trace)

    async def _attend(self, attended: _Attended) -> None:
        group = attended.group
        contacts = self._contacts.get(group.name, Contacts())
        addresses = await self._resolved(contacts.peers)
        named = {format_address(address) for address in addresses}
        attended.torrent = await self.engine.run(
            MeetingContent(f"group {group.name}", group.key.meeting_hash),
            NoStore(),
            wanted=0,
            extensions=(attended.meeting,),
            is_secured=True,
            tactics=AMONG_MEMBERS,
            trackers=tuple((url,) for url in contacts.trackers),
            peers=addresses,
            report=partial(self._report, named),
        )

    async def leave(self, group: str) -> None:
        """We are no member any more; our pools in it are closed already."""
        attended = self._groups.pop(group)
        meeting_hash = attended.group.key.meeting_hash
        self.membership.dismiss(meeting_hash)
        self._discovery.leave(meeting_hash)
        if attended.torrent is not None:
            await self.engine.remove(attended.torrent)

    async def _resolved(self, peers: Sequence[tuple[str, int]]) -> list[Address]:
        """Where these are; a host that is nowhere is said, for it may be a typing error."""
        found = await asyncio.gather(*(resolve(host, port, self.engine.bind) for host, port in peers))
        for (host, _), addresses in zip(peers, found, strict=True):
            if not addresses:
                self._note(
                    f"member {host} is not met: there is no such host, or none that can be reached from here"
                )
        return [(address[0], address[1]) for addresses in found for address in addresses]

    def _report(self, named: set[str], event: str, **fields: Any) -> None:
        """Of what happens in a meeting, people are told what they may have mistyped."""
        if event == "tracker":
            self._note(fields["message"])
        elif event == "unreachable" and fields["peer"] in named:
            self._note(f"member {fields['peer']} is not met: {fields['reason']}")

    def _note(self, text: str) -> None:
        if text not in self._noted:
            self._noted.add(text)
            self._events.note(text)

    # ---- members

    def is_helper(self, group: str, program: bytes) -> bool:
        """Whether that program of a member is one, as far as it told."""
        for attendant in self.attendants(group):
            if program_of(attendant.neighbour) == program:
                return attendant.presence.is_helper
        return False

    def attendants(self, group: str) -> list[Attendant]:
        return self._groups[group].meeting.attendants

    def is_meeting(self, group: str) -> bool:
        """Whether a member is there of whom nothing is known yet."""
        attended = self._groups[group]
        is_reaching = attended.torrent is not None and attended.torrent.dialling.is_reaching
        return is_reaching or any(not attendant.is_known for attendant in attended.meeting.attendants)

    def _on_found(self, info_hash: bytes, address: Address) -> None:
        """A voice on the LAN."""
        torrent = self.engine.torrent_of(info_hash)
        if torrent is not None:
            torrent.dialling.learn([address], Source.TRACKER)

    def _on_change(self, group: JoinedGroup, attendant: Attendant) -> None:
        """Whoever is in a pool of ours is dialled for it."""
        for info_hash in self._groups[group.name].pools.intersection(attendant.presence.pools):
            self.introduce(info_hash, attendant)
        self._events.on_change(group, attendant)

    def _on_fault(self, group: JoinedGroup, attendant: Attendant, reason: str) -> None:
        """It talks nonsense, or without end: it is out, until this program ends."""
        torrent = self._groups[group.name].torrent
        if torrent is not None and attendant.member != group.member.public:
            self._events.note(f"{attendant.shown} is out of group {group.name}: {reason}")
            torrent.ban_member(attendant.member, reason)

    def introduce(self, info_hash: bytes, attendant: Attendant) -> None:
        """This member is in that pool of ours. One of the two dials; the other does if nothing came of it."""
        wait = 0.0 if self.engine.peer_id < attendant.neighbour.peer_id else SECOND_DIAL
        self.engine.loop.call_later(wait, self._dial, info_hash, attendant)

    def _dial(self, info_hash: bytes, attendant: Attendant) -> None:
        torrent = self.engine.torrent_of(info_hash)
        if torrent is None:
            return
        connected = {program_of(neighbour) for neighbour in torrent.neighbours.values()}
        if program_of(attendant.neighbour) not in connected:
            torrent.dialling.learn([attendant.address], Source.TRACKER)

    # ---- pools and origins

    async def open_pool(self, group: str, pool: Pool, wanted: int) -> Torrent:
        """Its torrent runs, and the group is told of it."""
        attended = self._groups[group]
        self.membership.admit(pool.info_hash, attended.group)
        torrent = await self.engine.run(
            pool.content,
            pool.store,
            have=pool.holdings.told_bits,
            wanted=wanted,
            extensions=(pool,),
            is_secured=True,
            tactics=AMONG_MEMBERS,
            report=pool.telling.on_report,
        )
        pool.attach(torrent)
        attended.pools.add(pool.info_hash)
        self._tell(attended)
        for attendant in attended.meeting.attendants:
            if pool.info_hash in attendant.presence.pools:
                self.introduce(pool.info_hash, attendant)
        return torrent

    async def close_pool(self, group: str, pool: Pool) -> None:
        attended = self._groups[group]
        attended.pools.discard(pool.info_hash)
        self._tell(attended)
        if pool.torrent is not None:
            await self.engine.remove(pool.torrent)
            self.membership.dismiss(pool.info_hash)

    def share_of(self, group: str, at_origin: AtOrigin, most: int) -> int:
        """Of `most` connections, all members' together, those of this download of ours; at least one.

        Each has as many as any other; what is left over goes to the first in an order that is the same for all.
        """
        attended = self._groups[group]
        me = attended.group.member.public + self.engine.peer_id
        ours = attended.origins.get(at_origin.tag, [])
        before, users = (
            (ours.index(at_origin), len(ours)) if at_origin in ours else (len(ours), len(ours) + 1)
        )
        for attendant in attended.meeting.attendants:
            theirs = attendant.presence.origins.get(at_origin.tag, 0)
            users += theirs
            before += theirs if program_of(attendant.neighbour) < me else 0
        return max(1, most // users + (before < most % users))

    def helpers_at(self, group: str, tag: bytes) -> set[bytes]:
        attendants = self.attendants(group)
        return {one.member for one in attendants if one.presence.is_helper and tag in one.presence.origins}

    def use_origin(self, group: str, at_origin: AtOrigin, *, is_used: bool) -> None:
        """Whether one download of ours goes there now."""
        attended = self._groups[group]
        users = attended.origins.setdefault(at_origin.tag, [])
        if is_used and at_origin not in users:
            users.append(at_origin)
        elif not is_used and at_origin in users:
            users.remove(at_origin)
        if not users:
            del attended.origins[at_origin.tag]
        self._tell(attended)

    def pause(self, group: str, tag: bytes, seconds: float) -> None:
        """The origin asked us to wait: so does everybody."""
        self._groups[group].meeting.tell_all(Pause(tag, max(1, round(seconds))))

    def _tell(self, attended: _Attended) -> None:
        attended.meeting.tell(
            Presence(
                self._is_helper,
                tuple(sorted(attended.pools)),
                {tag: len(users) for tag, users in attended.origins.items()},
            )
        )


class AtOrigin:
    """One download of ours from an origin, whose connections the members of a group share."""

    def __init__(self, meetings: Meetings, group: str, tag: bytes) -> None:
        self.tag = tag
        self._meetings = meetings
        self._group = group

    def use(self, is_used: bool) -> None:
        """Whether it goes there now."""
        self._meetings.use_origin(self._group, self, is_used=is_used)

    def share_of(self, most: int) -> int:
        """How many of `most` connections, the group's altogether, are this download's."""
        return self._meetings.share_of(self._group, self, most)

    def helpers(self) -> set[bytes]:
        """The members that help somebody with a file from there, now."""
        return self._meetings.helpers_at(self._group, self.tag)

    def pause(self, seconds: float) -> None:
        """It asked us to wait: everybody is told."""
        self._meetings.pause(self._group, self.tag, seconds)
