"""docs/settings.md, made of the tables: every setting under all its names, and a whole file to begin with."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Sequence

from shoal.cli.settings.every import COMMANDS, EVERY
from shoal.cli.settings.file import FILE_NAME, FILE_VARIABLE
from shoal.cli.settings.group import GROUP
from shoal.cli.settings.table import Section, Setting

INTRODUCTION = f"""\
# Settings

Made by `./dev docs` from the tables that the program itself reads. What an option sets for one run may be set for all
of them by a variable or in a file. An option beats a variable, a variable the file, and the file the default; a list is
taken whole from the first of them that has it. Whoever writes something wrong is told where:
`/etc/shoal.toml:12: tracker.port: '99999' is not a port`.

**The file** is `--config FILE`, or `${FILE_VARIABLE}`, or `{FILE_NAME}` in the usual folder of this system
(`~/.config/shoal` on Linux, `~/Library/Application Support/shoal` on macOS). It is [TOML](https://toml.io); there need
not be one, unless it is named. `{FILE_VARIABLE}=/dev/null` reads none. A relative path in it starts from the file's
folder, not from the current one, for the file means the same wherever a command is started (a service is started in
`/`): write `dir = "~/Downloads"` rather than `dir = "dl"`, which is `~/.config/shoal/dl`. `~` is your home. A key
that nobody knows is an error. `shoal config path` says where the file is, `shoal config check` whether it is right, and
`shoal config show` which settings are in force, where each comes from, and where paths lead.

**Variables**: a list is written with commas or spaces between its parts (a path that holds one belongs in the file); a
switch is `1`, `true`, `yes`, `on`, or `0`, `false`, `no`, `off`; an empty variable counts as one that is not set.

**Secrets** on a command line are seen by everybody who lists the processes of the machine. Set them by a variable, or
in a file that only you may read. They are never printed, logged or quoted in an error.

In Kubernetes a service of the name `shoal-tracker` sets `SHOAL_TRACKER_PORT` (to `tcp://...`) in every container, and
one of the name `shoal-helper` likewise: give it another name, or set `enableServiceLinks: false`.
"""

GROUPS = """\
## Groups

What is below `[group.NAME]` holds for the group NAME in whatever command uses it: `shoal get --group NAME`,
`shoal helper --group NAME`. An option or a variable of the command beats it; it beats what the file says of the
command. A group's key is not here, but in a place of its own that only its owner reads.

| in `[group.NAME]` | |
|---|---|"""
GROUP_EXAMPLE = "lab"  # a name


def render() -> str:
    """The whole page."""
    sections = [*map(render_section, COMMANDS), render_groups()]
    return "\n".join([INTRODUCTION, *sections, render_example(EVERY)])


def render_section(section: Section) -> str:
    rows = [render_row(section, setting) for setting in section.settings]
    head = f"| option | in `[{section.name}]` | variable | default | |\n|---|---|---|---|---|"
    return "\n".join([f"## shoal {section.name}", "", head, *rows, ""])


def render_groups() -> str:
    rows = [f"| `{setting.name}` | {setting.help} A list. |" for setting in GROUP.settings]
    return "\n".join([GROUPS, *rows, ""])


def render_row(section: Section, setting: Setting) -> str:
    default = f"`{toml_of(setting.default)}`" if setting.default is not None else ""
    cells = [
        f"`{option_with_value(setting)}`",
        f"`{setting.name}`",
        f"`{section.variable(setting)}`",
        default,
        setting.help,
    ]
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"


def option_with_value(setting: Setting) -> str:
    if setting.is_flag:
        return f"{setting.option}/--no-{setting.option[2:]}"
    return f"{setting.option} {setting.metavar or setting.kind.metavar}"


def render_example(sections: Sequence[Section]) -> str:
    """A file that sets nothing: every key is there behind a `#`, with its default or something like it."""
    lines = [
        "## A whole file",
        "",
        "Each key with its default; where there is none, with an example.",
        "",
        "```toml",
    ]
    for section in sections:
        lines.append(f"[{section.name}]" if section.is_command else f"[{section.name}.{GROUP_EXAMPLE}]")
        for setting in section.settings:
            lines += ["", *textwrap.wrap(setting.help, 100, initial_indent="# ", subsequent_indent="# ")]
            lines.append(f"#{setting.name} = {example_of(setting)}")
    return "\n".join([*lines, "```", ""])


def example_of(setting: Setting) -> str:
    if setting.default is not None:
        return toml_of(setting.default)
    return (
        f"[{', '.join(map(toml_of, setting.examples))}]"
        if setting.is_multiple
        else toml_of(setting.examples[0])
    )


def toml_of(value: str | int | float | bool) -> str:
    """TOML writes these as JSON does."""
    return json.dumps(value, ensure_ascii=False)
