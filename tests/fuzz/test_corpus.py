"""Every input that fuzzing ever found worth keeping, in the ordinary tests."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from .every_target import TARGETS

CORPUS = Path(__file__).resolve().parent / "corpus"
INPUTS = [
    pytest.param(target, path, id=f"{target}/{path.name}")
    for target in TARGETS
    for path in sorted((CORPUS / target).glob("*"))
]
MAX_SECONDS = 2  # thousands of times what any of them takes; a hang is a find


@pytest.mark.parametrize(("target", "path"), INPUTS)
def test_a_kept_input_gives_a_value_or_the_named_error(target: str, path: Path) -> None:
    started_at = time.process_time()
    TARGETS[target](path.read_bytes())
    assert time.process_time() - started_at < MAX_SECONDS


@pytest.mark.parametrize("target", TARGETS)
def test_every_target_has_inputs(target: str) -> None:
    assert any(path.is_file() for path in (CORPUS / target).glob("*"))


@pytest.mark.parametrize("target", TARGETS)
def test_every_target_takes_any_bytes(target: str) -> None:
    for data in (b"", b"\x00", b"\xff" * 100, bytes(range(256))):
        TARGETS[target](data)
