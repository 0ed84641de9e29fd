"""What fails with a seed says how to see it again."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def replayed(scenario: str, seed: int, *, is_quick: bool = True) -> Iterator[None]:
    """Whatever is raised in it gets a line with the command that replays the story, with a trace and a picture."""
    try:
        yield
    except BaseException as error:
        error.add_note(f"replay: ./dev sim --seed {seed}{' --quick' if is_quick else ''} {scenario}")
        raise
