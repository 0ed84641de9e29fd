"""`shoal unpublish`: take away what this machine published at a tracker."""

from __future__ import annotations

import asyncio

import click

from shoal.cli import options
from shoal.cli.catalogues import parse_catalogue
from shoal.cli.publishing import checked_token, publish_token_option, unpublish
from shoal.cli.text import printable
from shoal.errors import UsageError


@click.command("unpublish")
@click.argument("source", metavar="shoal://HOST/NAME")
@publish_token_option
@options.quiet_option
def command(source: str, publish_token: str | None, quiet: bool) -> None:
    """Remove an entry from a tracker's catalogue. Only the machine that published it can; who has it keeps it."""
    catalogue, name = parse_catalogue(source)
    if not name:
        raise UsageError("there is no name in it", hint="write it like shoal://HOST/NAME")
    asyncio.run(unpublish(catalogue, name, checked_token(publish_token), None))
    if not quiet:
        click.echo(f"removed {printable(name)} from {catalogue.host}")
