"""`shoal config`: the settings in force, where their file is, and whether it is right.

Always true: nothing secret is shown; `path` prints the path alone, so that `$EDITOR "$(shoal config path)"` works.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import click

from shoal.cli.app import complain
from shoal.cli.settings.every import CHECKS, COMMANDS
from shoal.cli.settings.file import ConfigFile, chosen_path, parse_config, read_config
from shoal.cli.settings.group import named_groups, section_of
from shoal.cli.settings.kinds import parse_flag
from shoal.cli.settings.table import (
    CONFIG_HELP,
    Section,
    Setting,
    Written,
    find,
    from_default,
    from_file,
    read,
    resolve,
)
from shoal.cli.text import counted, printable
from shoal.errors import ExitCode, ShoalError, UsageError

HIDDEN = "(secret)"
UNSET = "-"

config_option = click.option("--config", "named", metavar="FILE", help=CONFIG_HELP)


@click.group("config", no_args_is_help=False)
def command() -> None:
    """Show the settings in force and where each comes from, say where their file is, check it."""


# -- show


@command.command("show")
@config_option
def show(named: str | None) -> int:
    """Print every setting in force, and where it comes from: a variable, a line of the file, or the default."""
    config = read_config(named, os.environ)
    rows = [row for section in sections_in(config) for row in rows_of(section, config)]
    widths = [max(len(row[column]) for row in rows) for column in range(2)]
    for name, value, origin in rows:
        click.echo(f"{name:<{widths[0]}}  {value:<{widths[1]}}  {origin}")
    return ExitCode.OK


def sections_in(config: ConfigFile | None) -> list[Section]:
    """Those of the commands, and one for each group that the file names. Raises `UsageError`."""
    if config is None:
        return list(COMMANDS)
    names, faults = named_groups(config)
    for fault in faults:
        raise fault
    return [*COMMANDS, *map(section_of, names)]


def rows_of(section: Section, config: ConfigFile | None) -> Iterator[tuple[str, str, str]]:
    """Name, value and origin of each setting of a section. Raises `UsageError`."""
    values = resolve(section, {}, os.environ, config)  # what is not right is not in force
    prefix = ".".join(section.keys)
    for setting in section.settings:
        written = find(setting, section, {}, os.environ, config)
        origin = written.origin.rpartition(": ")[0] or written.origin
        if not origin:
            origin = "default" if written.texts else "not set"
        yield (
            f"{prefix}.{setting.name}",
            printable(shown(setting, written, values[setting.name])),
            printable(origin),
        )


def shown(setting: Setting, written: Written, value: Any) -> str:
    """The value as it would stand in the file; a path as it leads from there."""
    if not written.texts:
        return "[]" if setting.is_multiple and written.origin else UNSET
    is_hidden = setting.is_secret and written.origin != ""  # everybody knows the defaults
    if isinstance(value, Path):
        return json.dumps(str(value), ensure_ascii=False)
    texts = [HIDDEN if is_hidden else text_of(setting, text) for text in written.texts]
    return f"[{', '.join(texts)}]" if setting.is_multiple else texts[0]


def text_of(setting: Setting, text: str) -> str:
    if setting.is_flag:
        return json.dumps(parse_flag(text))
    is_number = str not in setting.kind.toml_types or text.isdecimal()
    return text if is_number else json.dumps(setting.kind.shown(text), ensure_ascii=False)


# -- path


@command.command("path")
@config_option
def path(named: str | None) -> int:
    """Print where the file is, or would be; its folder is made. For an editor: $EDITOR "$(shoal config path)"."""
    place, source = chosen_path(named, os.environ)
    if not source:
        with contextlib.suppress(OSError):  # whoever writes the file is told why it cannot be
            place.parent.mkdir(parents=True, exist_ok=True)
    click.echo(str(place))
    return ExitCode.OK


# -- check


@command.command("check")
@config_option
def check(named: str | None) -> int:
    """Read the whole file and say everything that is wrong with it, each with its line."""
    place, source = chosen_path(named, os.environ)
    config = parse_config(place, source)
    if config is None:
        click.echo(f"{printable(str(place))}: there is no such file, and there need not be one")
        return ExitCode.OK
    faults = faults_of(config)
    for fault in faults:
        complain(fault.message, fault.hint, fault.exit_code)
    if faults:
        print(f"shoal: {counted(len(faults), 'error')} in {printable(str(place))}", file=sys.stderr)
        return ExitCode.USAGE
    click.echo(f"{printable(str(place))}: no errors")
    return ExitCode.OK


def faults_of(config: ConfigFile) -> list[ShoalError]:
    """Everything that is wrong, in the order of the lines."""
    faults: list[ShoalError] = list(config.unknown_sections())
    for section in COMMANDS:
        faults += faults_in(section, config)
    try:
        names, wrong = named_groups(config)
    except UsageError as error:  # there are no groups, but something else of that name
        names, wrong = [], [error]
    faults += wrong
    for name in names:
        faults += faults_in(section_of(name), config)
    return sorted(faults, key=lambda fault: line_in(config.path, fault))


def faults_in(section: Section, config: ConfigFile) -> list[ShoalError]:
    """If all its values are right one by one, also whether they go together."""
    known = [setting.name for setting in section.settings]
    try:
        faults: list[ShoalError] = list(config.unknown_keys(section.keys, known))
    except UsageError as error:  # it is no section
        return [error]
    for setting in section.settings:
        faults += fault_of(partial(read_from_file, setting, section, config))
    together = CHECKS.get(section.name)
    if not faults and together is not None:
        faults += fault_of(partial(together, resolve(section, {}, {}, config)))
    return faults


def read_from_file(setting: Setting, section: Section, config: ConfigFile) -> None:
    read(setting, from_file(setting, section, config) or from_default(setting))


def fault_of(look: Callable[[], object]) -> list[ShoalError]:
    try:
        look()
    except ShoalError as error:
        return [error]
    return []


def line_in(file: Path, fault: ShoalError) -> int:
    """The line that a fault names; what names none is last."""
    number = fault.message.removeprefix(f"{file}:").partition(":")[0]
    return int(number) if number.isdecimal() else sys.maxsize
