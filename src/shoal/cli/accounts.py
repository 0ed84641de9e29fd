"""`shoal accounts`: what the members of a private tracker moved, by the sums it keeps."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import click

from shoal.cli import options
from shoal.cli.text import printable
from shoal.disk.accounts import Traffic, read_totals
from shoal.tracker.accounting import SUFFIX, accounts_path
from shoal.tracker.passkeys import PasskeyFile
from shoal.units import format_size


@click.command("accounts")
@click.argument("passkeys", metavar="FILE", type=options.PATH)
@options.json_option
def command(passkeys: Path, as_json: bool) -> None:
    """Show who uploaded and downloaded how much, as told to a tracker that runs with --passkeys FILE.

    The numbers are the peers' own word. They are some seconds old while the tracker runs.
    """
    totals = dict(read_totals(passkeys if passkeys.name.endswith(SUFFIX) else accounts_path(passkeys)))
    if not passkeys.name.endswith(SUFFIX):
        for owner in PasskeyFile(passkeys).keys.values():
            totals.setdefault(owner, Traffic())
    click.echo(encode(totals) if as_json else render(totals))


def encode(totals: Mapping[str, Traffic]) -> str:
    rows = [
        {"owner": owner, "uploaded": traffic.uploaded, "downloaded": traffic.downloaded}
        for owner, traffic in sorted(totals.items())
    ]
    return json.dumps(rows, indent=2, ensure_ascii=False)


def render(totals: Mapping[str, Traffic]) -> str:
    """A table, who gave most first."""
    if not totals:
        return "nobody has a key, and nothing was counted"
    rows = [("NAME", "UPLOADED", "DOWNLOADED")]
    for owner, traffic in sorted(totals.items(), key=lambda item: (-item[1].uploaded, item[0])):
        rows.append((printable(owner), format_size(traffic.uploaded), format_size(traffic.downloaded)))
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    return "\n".join(
        f"{name:<{widths[0]}}  {up:>{widths[1]}}  {down:>{widths[2]}}" for name, up, down in rows
    )
