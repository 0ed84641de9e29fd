"""The pages that are made of what the commands say of themselves: docs/commands.md and docs/settings.md.

`python -m shoal.cli.reference FILE...` writes them (`./dev docs`); a test compares.
"""

from __future__ import annotations

import sys
from pathlib import Path

import click

from shoal.cli.app import VERBS, shoal
from shoal.cli.settings import page as settings_page
from shoal.errors import ExitCode

INTRODUCTION = """\
# Commands

Made by `./dev docs` from the commands themselves. Sizes are bytes, or like `256KiB`, `1MiB`, `4G`. Results go
to stdout; progress, warnings and errors go to stderr.
"""

EXIT_CODES = {
    ExitCode.OK: "done",
    ExitCode.FAILED: "something else went wrong, said on stderr; or nobody reads the output any more, "
    "which ends no `shoal get` without `--json`",
    ExitCode.USAGE: "the command line cannot be carried out as written",
    ExitCode.NOT_FOUND: "a file, URL or host is not there",
    ExitCode.NETWORK: "no connection where one was needed",
    ExitCode.UNFINISHED: "ended before everything was there, by Ctrl-C mostly; the same command goes on",
    ExitCode.DISK_FULL: "the disk is full; the same command goes on when there is room",
    ExitCode.EXISTS: "a file is in the way and was left as it is",
    ExitCode.FILE_IO: "reading or writing a file failed",
    ExitCode.DENIED: "a server wants a password or does not give the file to us, or our own rules forbid to go there",
    ExitCode.BAD_DATA: "a torrent, magnet link or answer does not parse",
    ExitCode.CHECKSUM: "data does not match its hashes",
}


def render() -> str:
    """The whole page of commands."""
    context = shoal.make_context("shoal", [], resilient_parsing=True)
    commands = [(verb, shoal.get_command(context, verb)) for verb in shoal.list_commands(context)]
    sections = [render_command(context, verb, command) for verb, command in commands if command is not None]
    return "\n".join([INTRODUCTION, *sections, render_exit_codes()])


def render_command(parent: click.Context, verb: str, command: click.Command, depth: int = 2) -> str:
    """One command: its line, what it does, its options; and the same of each command below it."""
    context = command.make_context(verb, [], parent=parent, resilient_parsing=True)
    usage = " ".join([context.command_path, *command.collect_usage_pieces(context)])
    text = "\n\n".join(" ".join(block.split()) for block in (command.help or VERBS[verb]).split("\n\n"))
    records = (p.get_help_record(context) for p in command.params if isinstance(p, click.Option))
    rows = [table_row(*record) for record in records if record is not None]
    table = ["| option | |", "|---|---|", *rows, ""] if rows else []
    parts = [f"{'#' * depth} {context.command_path}", "", "```", usage, "```", "", text, "", *table]
    if isinstance(command, click.Group):
        below = [(name, command.get_command(context, name)) for name in command.list_commands(context)]
        parts += [render_command(context, name, one, depth + 1) for name, one in below if one is not None]
    return "\n".join(parts)


def table_row(option: str, explanation: str) -> str:
    option, explanation = (text.replace("|", "\\|") for text in (option, explanation))
    return f"| `{option}` | {explanation} |"


def render_exit_codes() -> str:
    rows = [f"| {int(code)} | {EXIT_CODES[code]} |" for code in ExitCode]
    return "\n".join(["## Exit codes", "", "| code | |", "|---|---|", *rows, ""])


PAGES = {"commands.md": render, "settings.md": settings_page.render}

if __name__ == "__main__":
    for path in map(Path, sys.argv[1:]):
        path.write_text(PAGES[path.name]())
