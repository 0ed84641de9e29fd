"""What all labs share as commands: where they can run, how they end, and how a rate is written."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

from lab.parts.namespaces import LabError, own_folder, why_not
from lab.parts.stopping import Stopped, stopped_by_signals
from shoal.units import parse_size

CANNOT_RUN = 77  # what test programs exit with where they cannot run
FAILED = 1


def run_lab(run: Callable[[Path], int]) -> int:
    """`run(folder)` where networks can be made, in a folder in memory; the exit code, whatever happens."""
    try:
        with stopped_by_signals():
            reason = why_not()
            if reason is not None:
                say(reason)
                return CANNOT_RUN
            with own_folder() as folder:
                return run(folder)
    except Stopped as stopped:
        say(str(stopped))
        return stopped.exit_code
    except LabError as error:
        say(str(error))
        return FAILED


def say(text: str) -> None:
    print(f"lab: {text}", file=sys.stderr, flush=True)


def parse_rate(text: str) -> int:
    """`"40mbit"` -> bits a second."""
    return parse_size(text.lower().removesuffix("bit"))
