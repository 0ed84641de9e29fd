"""All tables, for those who tell of the whole file."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from shoal.cli.settings.get import GET
from shoal.cli.settings.group import GROUP
from shoal.cli.settings.helper import HELPER, helper_options
from shoal.cli.settings.table import Section, Values
from shoal.cli.settings.tracker import TRACKER, tracker_settings

COMMANDS: tuple[Section, ...] = (TRACKER, GET, HELPER)
EVERY: tuple[Section, ...] = (*COMMANDS, GROUP)


def check_tracker(values: Values) -> None:
    tracker_settings(values)


def check_helper(values: Values) -> None:
    """A file need not say which group: the command line may."""
    if values["group"]:
        helper_options(values)


# What is wrong with values that are fine one by one: each raises `ShoalError`.
CHECKS: dict[str, Callable[[Values], Any]] = {TRACKER.name: check_tracker, HELPER.name: check_helper}
