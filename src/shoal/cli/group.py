"""`shoal group`: the groups that this machine is in.

A key is shown once, by `new`, and never again; no message quotes one, nor what may be one in the wrong place. Always
true: a group that `new` leaves behind is one whose key was written where it was to go.
"""

from __future__ import annotations

import errno
import getpass
import json
import os
import sys
from typing import TYPE_CHECKING, TextIO

import click

from shoal.cli import options
from shoal.cli.app import stop_writing
from shoal.errors import DiskFullError, FileError, UsageError

if TYPE_CHECKING:
    from shoal.fetch.group.joined import JoinedGroup
    from shoal.fetch.group.keyring import Keyring

KEY_LINE_LENGTH = 4096  # bytes; a key has a hundred, and what else is there is not a key
UNSEEN_HINT = "no group was made: a key is shown once, and nobody would have this one"
JOINED = """\
joined group {name}
get a URL together: shoal get URL --group {name}
help the others with this machine's line: shoal helper --group {name}"""
FULL_ERRORS = (errno.ENOSPC, errno.EDQUOT)


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

    ring, key = keyring(), new_key(name)
    if leads_nowhere(sys.stdout):
        raise UsageError("stdout is closed, or leads to nowhere", hint=UNSEEN_HINT)
    ring.join(key)
    try:
        write_out(
            f"{key.text}\n\njoined group {name}. On each other machine: shoal group join -\n"
            "and give it the line above on stdin. Who has it is a member: keep it as you keep a password.\n"
        )
    except OSError as error:
        ring.leave(name)
        stop_writing()
        is_full = error.errno in FULL_ERRORS
        raise (DiskFullError if is_full else FileError)(
            f"the key of group {name} could not be written to stdout: {error.strerror}",
            hint=UNSEEN_HINT,
        ) from None
    except BaseException:
        ring.leave(name)
        raise


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
        said = JOINED if is_new else "this machine is in group {name} already"
        click.echo(said.format(name=key.name))


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


def write_out(text: str) -> None:
    """All of it at once, out of our hands when this returns: who reads the first line alone is no fault. `OSError`."""
    sys.stdout.write(text)
    sys.stdout.flush()


def leads_nowhere(stream: TextIO) -> bool:
    """Whether it is the null device, as also one that was closed before we began (`shoal/__main__.py`)."""
    try:
        return os.path.samestat(os.fstat(stream.fileno()), os.stat(os.devnull))  # noqa: PTH116
    except OSError:  # it is no file at all
        return False


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
    from shoal.fetch.group.signing import short_name

    rows = [("GROUP", "THIS MACHINE IN IT")]
    rows += [(group.name, short_name(group.member.public)) for group in groups]
    width = max(len(name) for name, _ in rows)
    return "\n".join(f"{name:<{width}}  {member}" for name, member in rows)
