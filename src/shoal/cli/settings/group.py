"""The table of a group, `[group.NAME]` of the file: how its members are found. Its key is kept elsewhere.

Always true: what the command line or a variable says counts for every group; then what the file says of this one; then
what the file says of the command.
"""

from __future__ import annotations

from dataclasses import dataclass

from shoal.cli.settings.file import ConfigFile
from shoal.cli.settings.kinds import PEER, TRACKER_URL, parse_group
from shoal.cli.settings.table import Section, Setting, Values, resolve
from shoal.errors import NotFoundError, UsageError

GROUP = Section(
    "group",
    (
        Setting(
            "tracker",
            TRACKER_URL,
            "Where to look for this group's members, beside the local network.",
            is_multiple=True,
            examples=("http://tracker.example:6969/announce",),
        ),
        Setting(
            "peer",
            PEER,
            "A member that is always at this address; IPv6: [ADDR]:PORT.",
            is_multiple=True,
            examples=("192.0.2.7:6881",),
        ),
    ),
    is_command=False,
)


@dataclass(frozen=True, slots=True)
class Places:
    """Where the members of a group are looked for."""

    trackers: tuple[str, ...]
    peers: tuple[tuple[str, int], ...]


def section_of(name: str) -> Section:
    return GROUP.at(GROUP.name, name)


def places_of(name: str, values: Values) -> Places:
    """`values` are those of the command that uses the group. Raises `UsageError`."""
    own = resolve(section_of(name), {}, {}, values.config)
    trackers: tuple[str, ...] = values["tracker"]
    if own["tracker"] and "tracker" not in values.for_now:
        trackers = own["tracker"]
    return Places(trackers, own["peer"])


def named_groups(config: ConfigFile) -> tuple[list[str], list[UsageError]]:
    """The groups that the file has a section of, and what is wrong with the names of the others."""
    names, faults = [], []
    for name in config.section(GROUP.name):
        try:
            names.append(parse_group(name))
        except UsageError as error:
            faults.append(config.fault(error.message, GROUP.name, name, hint=error.hint))
    return names, faults


def refuse_unjoined(values: Values, group: str, way_out: str = "") -> None:
    """Raises `NotFoundError` for a group without a key, and says who named it: a line, a variable, an option.

    `way_out` is behind the hint unless the command line named it: that is to be corrected.
    """
    from shoal.fetch.group.keyring import Keyring

    origin = values.origins["group"]
    try:
        Keyring().load(group)
    except NotFoundError as error:
        hint = error.hint if origin == "--group" else error.hint + way_out
        raise NotFoundError(f"{origin}: {error.message}", hint=hint) from None
