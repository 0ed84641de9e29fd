"""One table a command, from which its options, its section of the file, its variables and its docs come.

Always true: an option beats a variable, a variable the file, the file the default; a list is taken from one of them
whole. Values leave here read, and whoever wrote a wrong one is told where: `SHOAL_TRACKER_PORT: ...`,
`/path/config.toml:12: tracker.port: ...`. Nothing secret is quoted.
"""

from __future__ import annotations

import functools
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeAlias

import click

from shoal.cli.settings.file import FILE_VARIABLE, ConfigFile, read_config
from shoal.cli.settings.kinds import FLAG, Kind, parse_flag
from shoal.errors import UsageError

TYPE_NAMES = {
    str: "a string",
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    list: "a list",
    dict: "a table",
}
CONFIG_HELP = (
    f"Take settings from this file. Without it: ${FILE_VARIABLE}, or config.toml in its usual place."
)

Toml: TypeAlias = str | int | float | bool


@dataclass(frozen=True, slots=True)
class Setting:
    """One line of a table. `default` is as it would stand in the file; None: there is none."""

    name: str  # in snake_case, as in the file
    kind: Kind
    help: str
    default: Toml | None = None
    is_multiple: bool = False
    is_once: bool = False  # a second on one command line is no correction of the first, but a mistake
    is_secret: bool = False  # its value is never shown
    short: str = ""  # an option of one letter, such as "-v"
    metavar: str = ""  # where that of the kind says too little
    examples: tuple[Toml, ...] = ()  # where there is no default, for the docs

    @property
    def is_flag(self) -> bool:
        return self.kind is FLAG

    @property
    def option(self) -> str:
        return f"--{self.name.replace('_', '-')}"

    @property
    def default_text(self) -> str:
        """The default as it is typed; "" if there is none."""
        if self.default is None or self.default is False:
            return ""
        return ("on" if self.default else "") if self.is_flag else str(self.default)


@dataclass(frozen=True, slots=True)
class Section:
    """The settings of one command, or (`is_command` false) of a thing that only the file has settings of.

    `path` is where they are in the file; without it, in the section of that name.
    """

    name: str
    settings: tuple[Setting, ...]
    path: tuple[str, ...] = ()
    is_command: bool = True

    @property
    def keys(self) -> tuple[str, ...]:
        return self.path or (self.name,)

    def at(self, *path: str) -> Section:
        """The same settings elsewhere in the file."""
        return replace(self, path=path)

    def variable(self, setting: Setting) -> str:
        return f"SHOAL_{self.name}_{setting.name}".upper()


@dataclass(frozen=True, slots=True)
class Written:
    """What somebody wrote for a setting, not read yet, and where. `folder` is where relative paths begin.

    `is_for_now`: an option or a variable says so, not something that lasts.
    """

    texts: tuple[str, ...]
    origin: str
    folder: Path | None = None
    is_for_now: bool = False


@dataclass(frozen=True, slots=True)
class Values:
    """The value of each setting by name, where it came from ("" for a default), and the file that was read.

    `for_now` are the names of those that an option or a variable says.
    """

    values: Mapping[str, Any]
    origins: Mapping[str, str]
    for_now: frozenset[str] = frozenset()
    config: ConfigFile | None = field(default=None, repr=False)

    def __getitem__(self, name: str) -> Any:
        return self.values[name]

    def fault(self, name: str, what: str, hint: str = "") -> UsageError:
        """What is wrong with a value that is fine by itself."""
        origin = self.origins[name]
        return UsageError(f"{origin}: {what}" if origin else what, hint=hint)


# -- options of a command --------------------------------------------------------------------------------


def options(section: Section) -> Callable[[Callable[..., int]], Callable[..., int]]:
    """Give a command the options of a table; its function gets their `Values` as its first argument."""

    def decorate(function: Callable[..., int]) -> Callable[..., int]:
        @functools.wraps(function)
        def with_values(**arguments: Any) -> int:
            config = read_config(arguments.pop("config_path"), os.environ)
            given = {setting.name: arguments.pop(setting.name) for setting in section.settings}
            return function(resolve(section, given, os.environ, config), **arguments)

        config_option = click.option("--config", "config_path", metavar="FILE", help=CONFIG_HELP)
        command: Callable[..., int] = config_option(with_values)
        for setting in reversed(section.settings):
            command = click_option(setting)(command)
        return command

    return decorate


def click_option(setting: Setting) -> Callable[[Callable[..., int]], Callable[..., int]]:
    """The option leaves its value as it was typed: all sources are read alike, behind it."""
    names = f"{setting.option}/--no-{setting.option[2:]}" if setting.is_flag else setting.option
    default = f"  [default: {setting.default_text}]" if setting.default_text else ""
    how: dict[str, Any] = {} if setting.is_flag else {"metavar": setting.metavar or setting.kind.metavar}
    if setting.is_once:
        how["callback"] = only_one
    return click.option(
        *filter(None, [setting.short, names, setting.name]),
        default=None,
        multiple=setting.is_multiple or setting.is_once,
        help=setting.help + default,
        **how,
    )


def only_one(context: click.Context, option: click.Parameter, texts: tuple[str, ...]) -> str | None:
    if len(texts) > 1:
        raise UsageError(f"{option.opts[0]} is given {len(texts)} times", hint="give it once")
    return texts[0] if texts else None


# -- joining the sources ---------------------------------------------------------------------------------


def resolve(
    section: Section, given: Mapping[str, Any], environ: Mapping[str, str], config: ConfigFile | None
) -> Values:
    """The value of every setting. `given` holds what the options got: texts, tuples of them, flags, or None."""
    if config is not None:
        for fault in config.unknown_keys(section.keys, [setting.name for setting in section.settings]):
            raise fault
    values, origins, for_now = {}, {}, set()
    for setting in section.settings:
        written = find(setting, section, given, environ, config)
        values[setting.name] = read(setting, written)
        origins[setting.name] = written.origin
        if written.is_for_now:
            for_now.add(setting.name)
    return Values(values, origins, frozenset(for_now), config)


def find(
    setting: Setting,
    section: Section,
    given: Mapping[str, Any],
    environ: Mapping[str, str],
    config: ConfigFile | None,
) -> Written:
    """What the first of the sources says that says anything."""
    said = from_option(setting, given.get(setting.name))
    if said is None and section.is_command:
        said = from_variable(setting, section.variable(setting), environ)
    return said or from_file(setting, section, config) or from_default(setting)


def from_option(setting: Setting, given: Any) -> Written | None:
    if given is None or given == ():
        return None
    texts = given if setting.is_multiple else (str(given),)
    return Written(tuple(texts), setting.option, is_for_now=True)


def from_variable(setting: Setting, variable: str, environ: Mapping[str, str]) -> Written | None:
    """An empty variable is one that is not set. Several values are parted by commas or spaces."""
    text = environ.get(variable, "").strip()
    if not text:
        return None
    texts = tuple(re.split(r"[,\s]+", text.strip(", "))) if setting.is_multiple else (text,)
    return Written(texts, variable, is_for_now=True)


def from_file(setting: Setting, section: Section, config: ConfigFile | None) -> Written | None:
    if config is None or setting.name not in (keys := config.section(*section.keys)):
        return None
    value = keys[setting.name]
    origin = config.origin(*section.keys, setting.name)
    if setting.is_multiple and not isinstance(value, list):
        raise UsageError(
            f"{origin}: {type_name(type(value))}, not a list", hint=f'write {setting.name} = ["...", "..."]'
        )
    texts = []
    for one in value if setting.is_multiple else [value]:
        if type(one) not in setting.kind.toml_types:
            raise UsageError(f"{origin}: {type_name(type(one))}, not {type_names(setting.kind.toml_types)}")
        texts.append(str(one))
    return Written(tuple(texts), origin, config.path.parent)


def from_default(setting: Setting) -> Written:
    return Written(() if setting.default is None else (str(setting.default),), "")


def read(setting: Setting, written: Written) -> Any:
    """The value; None or () where nothing was written."""
    values = []
    for text in written.texts:
        try:
            value = parse_flag(text) if setting.is_flag else setting.kind.parse(text)
        except UsageError as error:
            raise UsageError(f"{written.origin}: {error.message}", hint=error.hint) from None
        if isinstance(value, Path) and written.folder is not None:
            value = written.folder / value.expanduser()
        values.append(value)
    if setting.is_multiple:
        return tuple(values)
    return values[0] if values else None


def type_name(kind: type) -> str:
    return TYPE_NAMES.get(kind, "a date or time")


def type_names(kinds: tuple[type, ...]) -> str:
    """Any number is a number, whole or not."""
    return " or ".join(type_name(kind) for kind in kinds if kind is not int or float not in kinds)
