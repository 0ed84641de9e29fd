"""The way in and the way out of every command.

In: a verb's module is imported when that verb is used and not before, so that `shoal --help` and a mistyped
verb cost nothing. The verb `x` is the click command `shoal.cli.x.command`; it returns an exit code or None.
Out: what went wrong is one line on stderr, a `hint:` where there is one, and an exit code of `ExitCode`;
a traceback is never shown for what was expected, and is kept in a file for what was not.
"""

from __future__ import annotations

import difflib
import errno
import importlib
import os
import sys
import time
import traceback
from collections.abc import Sequence
from pathlib import Path

import click

from shoal import __version__
from shoal.cli.text import printable
from shoal.errors import ExitCode, ShoalError, UsageError

VERBS = {
    "share": "Share files: make the torrent, serve it, print the command for the other machine.",
    "get": "Get the files of a torrent from everybody who has them, or the file of any URL.",
    "seed": "Serve files that are here already.",
    "list": "List what is published at a tracker.",
    "unpublish": "Take away what was published at a tracker.",
    "create": "Make a torrent of a file or a folder.",
    "inspect": "Show what is in a torrent or a magnet link.",
    "verify": "Check files against their torrent.",
    "tracker": "Run a tracker, where peers find each other.",
    "group": "Make, join and leave groups of machines that fetch URLs together.",
    "helper": "Help the members of a group to get URLs, with this machine's line.",
    "accounts": "Show what the members of a private tracker moved.",
    "config": "Show settings, say where their file is, and check it.",
    "demo": "Watch a whole swarm at work on this machine, or a group that gets a URL.",
}

WELCOME = f"""\
Shoal {__version__}: every machine that wants a file helps to spread it.

  shoal share FILE      share a file; prints the command for the other machine
  shoal get SOURCE      get it there; or get any URL
  shoal group new NAME  let several machines pool their lines for a URL
  shoal demo            watch a whole swarm at work on this machine

shoal --help lists all commands."""


class Verbs(click.Group):
    """All verbs, known by name and help line, loaded one at a time."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in VERBS:
            return None
        command = importlib.import_module(f"shoal.cli.{cmd_name}").command
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(VERBS.items()))

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args[0].startswith("-"):
            return super().resolve_command(ctx, args)
        verb, *rest = args
        command = self.get_command(ctx, verb)
        if command is None:
            near = difflib.get_close_matches(verb, VERBS, n=1, cutoff=0.5)
            hint = f"did you mean: shoal {near[0]}" if near else "shoal --help lists all commands"
            raise UsageError(f"there is no command '{printable(verb)}'", hint=hint)
        return verb, command, rest


@click.group(
    cls=Verbs,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(__version__, message="shoal %(version)s")
@click.pass_context
def shoal(context: click.Context) -> None:
    """Move big files between many machines: every machine that wants a file helps to spread it."""
    if context.invoked_subcommand is None:
        click.echo(WELCOME)


def run(arguments: Sequence[str]) -> int:
    """Carry out one command line; the exit code. Raises nothing."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")  # names of strangers on any terminal
    try:
        result = shoal.main(args=list(arguments), prog_name="shoal", standalone_mode=False)
        sys.stdout.flush()
    except ShoalError as error:
        return complain(error.message, error.hint, error.exit_code)
    except click.NoSuchOption as error:
        near = f"did you mean: {error.possibilities[0]}" if error.possibilities else usage_hint(error)
        return complain(f"there is no option '{error.option_name}'", near, ExitCode.USAGE)
    except click.ClickException as error:
        return complain(error.format_message(), usage_hint(error), ExitCode.USAGE)
    except (KeyboardInterrupt, click.Abort):
        return ExitCode.UNFINISHED
    except BrokenPipeError:
        return stop_writing()
    except OSError as error:
        if error.errno == errno.EIO and error.filename is None and is_without_terminal():
            stop_writing()
            return ExitCode.UNFINISHED
        return complain_of_output(error) if is_of_output(error) else report_bug(error)
    except Exception as error:  # noqa: BLE001 (the last door: whatever it is, it must be told)
        return report_bug(error)
    return result if isinstance(result, int) else ExitCode.OK


def complain(message: str, hint: str, exit_code: int) -> int:
    """One line, whatever is in the message, and the hint below it."""
    lines = [f"shoal: {printable(message)}"]
    if hint:
        lines.append(f"hint: {printable(hint)}")
    try:
        print("\n".join(lines), file=sys.stderr, flush=True)
    except OSError:
        stop_writing()
    return exit_code


def usage_hint(error: click.ClickException) -> str:
    context = getattr(error, "ctx", None)
    if context is None:
        return ""
    return f"{context.command_path} --help"


def is_of_output(error: OSError) -> bool:
    """Whether what we printed to found its disk full: whatever else meets one says which file it is about."""
    return error.errno in (errno.ENOSPC, errno.EDQUOT) and error.filename is None


def is_without_terminal() -> bool:
    from shoal.cli.signals import has_lost_terminal  # it loads asyncio

    return has_lost_terminal()


def complain_of_output(error: OSError) -> int:
    stop_writing()
    return complain(f"disk full: writing the output: {error.strerror}", "", ExitCode.DISK_FULL)


def stop_writing() -> int:
    """Whoever read our output is gone: say nothing, and let nothing be flushed at exit either."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            os.dup2(nowhere, stream.fileno())
    return ExitCode.FAILED


def report_bug(error: Exception) -> int:
    """Our own mistake: keep the traceback for whoever will mend it, show one line."""
    if os.environ.get("SHOAL_DEBUG") == "1":
        traceback.print_exception(error)
        return ExitCode.FAILED
    what = f"internal error: {type(error).__name__}: {error}"
    try:
        hint = f"please report it with {save_traceback(error)}"
    except OSError:
        hint = "SHOAL_DEBUG=1 shows where it happened"
    return complain(what, hint, ExitCode.FAILED)


def save_traceback(error: Exception) -> Path:
    from shoal.disk.state import state_dir

    folder = state_dir() / "crashes"
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{time.strftime('%Y%m%d-%H%M%S')}-{os.getpid()}.txt"
    verb = next((word for word in sys.argv[1:] if word in VERBS), "")  # the rest may hold keys and passwords
    text = "".join(traceback.format_exception(error))
    path.write_text(f"shoal {__version__}, Python {sys.version}\nshoal {verb}\n\n{text}", errors="replace")
    return path
