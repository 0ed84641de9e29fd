"""With whom to download, as a person says it."""

from __future__ import annotations

from dataclasses import dataclass, field

from shoal.fetch.group.joined import JoinedGroup


@dataclass(frozen=True, slots=True)
class Contacts:
    """How members of one group are found, beside the LAN."""

    trackers: tuple[str, ...] = ()
    peers: tuple[tuple[str, int], ...] = ()  # hosts, by address or by name


@dataclass(frozen=True, slots=True)
class GroupWish:
    group: JoinedGroup
    contacts: Contacts = field(default_factory=Contacts)
    bind: str | None = None
    port: int | None = None
    max_upload_rate: int | None = None
