"""The kill campaign, in the few rounds that every run of the tests has time for."""

from __future__ import annotations

from pathlib import Path

import pytest

from .kill import KINDS, InvariantError, Round


@pytest.mark.parametrize("seed", range(len(KINDS)), ids=[kind.name for kind in KINDS])
def test_a_get_that_is_killed_again_and_again_comes_out_right(tmp_path: Path, seed: int) -> None:
    killed = Round(seed, tmp_path, most_kills=3)
    assert killed.play().endswith("right")
    assert killed.kills > 0
    is_put_to_the_test = killed.believed or killed.metainfo.layout.piece_count < 4
    assert is_put_to_the_test, "nothing was on record"


def test_the_campaign_sees_a_state_that_believes_what_is_not_there(tmp_path: Path) -> None:
    killed = Round(0, tmp_path, most_kills=1)
    killed.play()
    with (tmp_path / "get/payload").open("r+b") as file:
        file.write(b"X")
    with pytest.raises(InvariantError, match="wrong on the disk"):
        killed._check_after_kill()
