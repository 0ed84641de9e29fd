"""The campaign against part files, in the few rounds that every run of the tests has time for."""

from __future__ import annotations

from pathlib import Path

import pytest

from .kill_part import PIECE, InvariantError, Round


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_part_file_killed_again_and_again_comes_out_right(tmp_path: Path, seed: int) -> None:
    killed = Round(seed, tmp_path, most_kills=5)
    assert killed.play().endswith("right")
    assert killed.kills > 0


def test_some_of_it_is_believed_in_between(tmp_path: Path) -> None:
    folders = [tmp_path / str(seed) for seed in range(4, 7)]
    for folder in folders:
        folder.mkdir()
    rounds = [Round(4 + number, folder, most_kills=4) for number, folder in enumerate(folders)]
    for one in rounds:
        one.play()
    assert sum(one.resumed for one in rounds) > 0


@pytest.mark.parametrize(
    ("told", "meddle", "message"),
    [(1 << 200, False, "remembered and are not on record"), (0, True, "wrong on the disk")],
)
def test_the_campaign_sees_what_is_wrong(tmp_path: Path, told: int, meddle: bool, message: str) -> None:
    killed = Round(8, tmp_path, most_kills=1)
    killed._rng.randrange = lambda *_: 12  # type: ignore[method-assign]  lines to wait for, so that there is a record
    assert not killed._run()
    killed._check_after_kill()
    assert killed._on_record
    killed._told |= told
    if meddle:
        (tmp_path / "file.part").write_bytes(b"X" * 97 * PIECE)
    with pytest.raises(InvariantError, match=message):
        killed._check_after_kill()
