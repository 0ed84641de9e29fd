"""`shoal helper`: fetches from servers for the members of its groups, and gives them what it fetched."""

from __future__ import annotations

import click

from shoal.cli import options
from shoal.cli.settings.helper import HELPER, helper_options
from shoal.cli.settings.table import Values
from shoal.cli.settings.table import options as table_options
from shoal.cli.signals import run_until_stopped
from shoal.cli.voice import NetworkOptions, Voice
from shoal.errors import ExitCode


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
    network = NetworkOptions(name=values["name"] or "", log_path=values["log"], quiet=quiet, as_json=as_json)
    from shoal.fetch.pool.helping import run_helper  # type: ignore[import-not-found, attr-defined, unused-ignore]

    with Voice(network) as voice:
        run_until_stopped(lambda stop: run_helper(asked, stop, voice.event))
    return ExitCode.OK
