"""`shoal group`: the groups that this machine is in.

A key is shown once, by `new`, and never again; no message quotes one, nor what may be one in the wrong place.
"""

from __future__ import annotations

import getpass
import json
import sys
from typing import TYPE_CHECKING

import click

from shoal.cli import options
from shoal.errors import UsageError

if TYPE_CHECKING:
    from shoal.fetch.group.keyring import Keyring
    from shoal.fetch.group.membership import JoinedGroup

KEY_LINE_LENGTH = 4096  # bytes; a key has a hundred, and what else is there is not a key
SHOWN_DIGITS = 16  # of a member's name, as people compare them; --json has all 64


class GroupVerbs(click.Group):
    """In the order in which they are needed. Unknown words are not quoted."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.commands)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args[0] not in self.commands and not args[0].startswith("-"):
            raise UsageError("shoal group has no such command", hint=f"there are {', '.join(self.commands)}")
        return super().resolve_command(ctx, args)


@click.group("group", cls=GroupVerbs, no_args_is_help=False)
def command() -> None:
    """A group is machines that share a key and fetch URLs together. Who has the key is a member.

    To shut a machine out again, make a new group with the machines that stay.
    """


@command.command("new", short_help="Make a group, join it, and print its key.")
@click.argument("name", metavar="NAME")
def new(name: str) -> None:
    """Make a group, join it, and print its key: alone on the first line, now and never again.

    NAME is 1 to 32 of a-z, 0-9 and '-'.
    """
    from shoal.fetch.group.key import new_key  # here and below: it loads OpenSSL

    key = new_key(name)
    keyring().join(key)
    click.echo(key.text)
    click.echo(f"\njoined group {name}. On each other machine: shoal group join -")
    click.echo("and give it the line above on stdin. Who has it is a member: keep it as you keep a password.")


@command.command("join", short_help="Join a group with its key.")
@click.argument("words", metavar="KEY|-", nargs=-1, required=True)
@options.quiet_option
def join(words: tuple[str, ...], quiet: bool) -> None:
    """Join a group with its key; - reads it from stdin: its first line, or what is typed, which is not shown.

    A key on the command line is seen by others on this machine, and stays in the shell's history.
    """
    from shoal.fetch.group.key import parse_key

    if len(words) != 1:
        raise UsageError("a group key is one word", hint="shoal group join - reads it from stdin")
    key = parse_key(read_key() if words[0] == "-" else words[0])
    is_new = keyring().join(key)
    if not quiet:
        click.echo(f"joined group {key.name}" if is_new else f"this machine is in group {key.name} already")


@command.command("list", short_help="List the groups that this machine is in.")
@options.json_option
def list_groups(as_json: bool) -> None:
    """List the groups that this machine is in, and by which name (a public key) their members know it."""
    ring = keyring()
    groups = [ring.load(name) for name in ring.names()]
    click.echo(encode(groups) if as_json else render(groups))


@command.command("leave")
@click.argument("name", metavar="NAME")
@options.quiet_option
def leave(name: str, quiet: bool) -> None:
    """Leave a group: remove its key from this machine. Joining again needs the key."""
    keyring().leave(name)
    if not quiet:
        click.echo(f"left group {name}")


def keyring() -> Keyring:
    from shoal.fetch.group.keyring import Keyring

    return Keyring()


def read_key() -> str:
    """The first line of stdin, so that what `new` prints can be passed on as it is."""
    if sys.stdin.isatty():
        try:
            return getpass.getpass("group key: ")
        except EOFError:
            raise click.Abort from None
    return sys.stdin.buffer.readline(KEY_LINE_LENGTH).decode("ascii", "replace")


def encode(groups: list[JoinedGroup]) -> str:
    rows = [{"name": group.name, "member": group.member.public.hex()} for group in groups]
    return json.dumps(rows, indent=2)


def render(groups: list[JoinedGroup]) -> str:
    if not groups:
        return "this machine is in no group\nmake one with: shoal group new NAME"
    rows = [("GROUP", "THIS MACHINE IN IT")]
    rows += [(group.name, group.member.public.hex()[:SHOWN_DIGITS]) for group in groups]
    width = max(len(name) for name, _ in rows)
    return "\n".join(f"{name:<{width}}  {member}" for name, member in rows)
