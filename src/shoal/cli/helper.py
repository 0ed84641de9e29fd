"""`shoal helper`: fetches from servers for the members of its groups, and gives them what it fetched."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import click

from shoal.cli import options
from shoal.cli.network_options import NetworkOptions
from shoal.cli.settings.group import refuse_unjoined
from shoal.cli.settings.helper import HELPER, helper_options
from shoal.cli.settings.table import Values
from shoal.cli.settings.table import options as table_options
from shoal.cli.signals import run_until_stopped
from shoal.cli.text import counted, printable
from shoal.cli.voice import Voice
from shoal.errors import ExitCode
from shoal.fetch.group.signing import SHOWN_DIGITS
from shoal.units import format_duration, format_size


@click.command("helper")
@table_options(HELPER)
@options.json_option
@options.quiet_option
def command(values: Values, as_json: bool, quiet: bool) -> int:
    """Help the members of a group until Ctrl-C: when one of them gets a URL, this machine's line is added to theirs.

    It fetches only from public addresses, and refuses what its owner does not allow; whoever asks is told why. Each
    option may be set in config.toml below [helper], and by a variable, as docs/settings.md tells.
    """
    asked = helper_options(values)
    for name in values["group"]:
        refuse_unjoined(values, name)
    network = NetworkOptions(name=values["name"] or "", log=values["log"], quiet=quiet, as_json=as_json)
    from shoal.fetch.pool.helping import run_helper  # it loads what other commands never need

    with Voice(network) as voice:

        def report(event: str, **fields: Any) -> None:
            voice.event(event, **fields)
            if event in LINES and not (quiet or as_json):
                click.echo(printable(LINES[event](fields)))

        run_until_stopped(lambda stop: run_helper(asked, stop, report))
    return ExitCode.OK


def ready_line(fields: Mapping[str, Any]) -> str:
    groups = ", ".join(fields["groups"])
    return f"helping {groups} on port {fields['port']}; Ctrl-C ends it"


def helping_line(fields: Mapping[str, Any]) -> str:
    return f"helps with {fields['url']} ({format_size(fields['bytes'])}) for {who(fields)}"


def helped_line(fields: Mapping[str, Any]) -> str:
    fetched, sent = format_size(fields["fetched"]), format_size(fields["sent"])
    whom = (
        "this machine" if fields["sent"] and not fields["members"] else counted(fields["members"], "member")
    )
    return (
        f"helped with {fields['url']}: fetched {fetched} and gave {sent} to {whom}"
        f" in {format_duration(fields['seconds'])}"
    )


def refused_line(fields: Mapping[str, Any]) -> str:
    hint = f"; {fields['hint']}" if fields["hint"] else ""
    return f"refused {who(fields)} {fields['url']}: {fields['reason']}{hint}"


def left_line(fields: Mapping[str, Any]) -> str:
    return f"this machine left group {fields['group']}, or joined another of that name: it is not helped any more"


def who(fields: Mapping[str, Any]) -> str:
    """A member, as people look it up."""
    return f"{fields['address']} (member {fields['member'][:SHOWN_DIGITS]})"


LINES: Mapping[str, Callable[[Mapping[str, Any]], str]] = {
    "ready": ready_line,
    "helping": helping_line,
    "helped": helped_line,
    "refused": refused_line,
    "left": left_line,
}
