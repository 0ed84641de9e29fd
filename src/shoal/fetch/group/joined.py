"""A group that this machine is in."""

from __future__ import annotations

from dataclasses import dataclass

from shoal.fetch.group.key import GroupKey
from shoal.fetch.group.signing import MemberKey


@dataclass(frozen=True, slots=True)
class JoinedGroup:
    """And who it is there."""

    key: GroupKey
    member: MemberKey

    @property
    def name(self) -> str:
        return self.key.name
