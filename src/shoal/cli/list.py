"""`shoal list`: what a tracker's catalogue has."""

from __future__ import annotations

import asyncio
import shlex

import click
import msgspec

from shoal.cli import options
from shoal.cli.catalogues import Catalogue, Published, fetch_list, parse_catalogue
from shoal.cli.text import printable
from shoal.units import format_size


@click.command("list")
@click.argument("address", metavar="HOST[:PORT]")
@options.json_option
def command(address: str, as_json: bool) -> None:
    """List what is published at a tracker. Its address may be written shoal://HOST, or as its URL, as well."""
    catalogue, _ = parse_catalogue(address)
    published = asyncio.run(fetch_list(catalogue))
    if as_json:
        click.echo(msgspec.json.format(msgspec.json.encode(published), indent=2).decode())
    else:
        click.echo(render(published, catalogue))


def render(published: list[Published], catalogue: Catalogue) -> str:
    """A table, newest first, and the command that gets one of them."""
    if not published:
        return (
            f"nothing is published at {catalogue.host} yet\n"
            f"publish with: shoal share PATH --publish {catalogue.base_url}"
        )
    rows = [("NAME", "SIZE", "SEEDS", "LEECHERS")]
    rows += [
        (printable(one.name), format_size(one.size), _count(one.seeds), _count(one.leechers))
        for one in published
    ]
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    lines = [
        f"{name:<{widths[0]}}  {size:>{widths[1]}}  {seeds:>{widths[2]}}  {leechers:>{widths[3]}}"
        for name, size, seeds, leechers in rows
    ]
    example = shlex.quote(printable(catalogue.source(published[0].name)))
    return "\n".join([*lines, "", f"get one with: shoal get {example}"])


def _count(count: int | None) -> str:
    return "?" if count is None else f"{count:,}"
