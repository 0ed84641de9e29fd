"""`./dev sim`: the same seed gives the same trace, and what a person reads of it; and the picture is drawn."""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from shoal.testing import replay
from shoal.testing.picture.figures import KINDS, SPANS, count
from shoal.testing.scenarios import SCENARIOS, Member, prepare
from shoal.testing.trace import Trace

LINE = re.compile(r"^\d+\.\d{6} [\w ]+: .+$")


@pytest.fixture
def drawing() -> None:
    pytest.importorskip("matplotlib", reason="no matplotlib: ./dev install pictures")


def digest_of(scenario: str, seed: int) -> str:
    trace = Trace()
    prepare(scenario, seed, is_quick=True, recorder=trace).run()
    return trace.digest


@pytest.mark.parametrize("scenario", ["seed_8", "churn", "flash_crowd"])
def test_the_same_seed_gives_the_same_trace_and_another_seed_another(scenario: str) -> None:
    assert digest_of(scenario, 5) == digest_of(scenario, 5) != digest_of(scenario, 6)


def test_the_trace_is_the_same_in_another_process_whatever_its_hashes() -> None:
    said = {
        subprocess.run(
            [sys.executable, "-m", "shoal.testing.replay", "--quick", "--seed", "3", "churn"],
            env={**os.environ, "PYTHONHASHSEED": hashes, "PYTHONPATH": os.pathsep.join(sys.path)},
            capture_output=True,
            text=True,
            check=True,
        ).stdout.splitlines()[-1]
        for hashes in ("1", "2")
    }
    assert said == {said.copy().pop()}
    assert digest_of("churn", 3) in said.pop()


def test_listening_does_not_change_the_story() -> None:
    silent, heard = (prepare("unequal", 1, is_quick=True, recorder=recorder) for recorder in (None, Trace()))
    silent.run()
    heard.run()
    assert silent.outcome().last_ratio == heard.outcome().last_ratio
    assert silent.outcome().seed_upload == heard.outcome().seed_upload


def test_a_trace_has_a_line_an_event_and_its_digest_is_that_of_the_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "trace"
    assert replay.main(["--quick", "--seed", "2", "--trace", str(path), "seed_leaves"]) == 0
    lines = path.read_text().splitlines()
    assert all(LINE.match(line) for line in lines)
    assert sum("has everything" in line for line in lines) == SCENARIOS["seed_leaves"].quick.leechers
    assert any("seed: left: every piece is out" in line for line in lines)
    assert any("suggest" in line for line in lines)
    assert (
        f"{len(lines)} lines, sha256 {hashlib.sha256(path.read_bytes()).hexdigest()}"
        in capsys.readouterr().out
    )


def test_a_trace_on_stdout_comes_before_the_outcome(capsys: pytest.CaptureFixture[str]) -> None:
    assert replay.main(["--quick", "--trace", "-", "partial_holders"]) == 0
    said = capsys.readouterr().out.splitlines()
    assert said[0].startswith("0.000000 holder 1: joined")
    assert any(line.startswith("scenario ") and line.endswith("partial_holders, seed 0") for line in said)


def test_the_scenarios_are_listed_with_what_they_tell(capsys: pytest.CaptureFixture[str]) -> None:
    assert replay.main(["--list"]) == 0
    listed = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in listed] == list(SCENARIOS)
    assert all(scenario.title.endswith(".") for scenario in SCENARIOS.values())


def test_an_idea_that_is_left_out_changes_the_story(capsys: pytest.CaptureFixture[str]) -> None:
    said = []
    for ideas in ("", "suggests,tells-at-once"):
        assert replay.main(["--quick", "--tactics-off", ideas, "seed_8"]) == 0
        said.append(capsys.readouterr().out.splitlines()[-1])
    assert said[0] != said[1]


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["--tactics-off", "hopes", "seed_8"], "no idea 'hopes'"),
        (["--picture", "swarm.gif", "seed_8"], "neither with .png nor with .svg"),
        (["seed_9"], "seed_9"),
    ],
)
def test_a_wrong_option_is_told(
    arguments: list[str], reason: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        replay.main(arguments)
    assert ended.value.code == 2
    assert reason in capsys.readouterr().err


@pytest.mark.parametrize("scenario", ["seed_8", "churn", "partial_holders"])
def test_every_byte_is_counted_once_in_the_figures(scenario: str) -> None:
    trace = Trace()
    play = prepare(scenario, 0, is_quick=True, recorder=trace)
    play.run()
    story, figures = play.story, count(play.story, trace)
    received = sum(member.host.received_bytes for member in story.members)
    assert sum(map(sum, figures.matrix)) * story.size.bytes == pytest.approx(received)
    in_kinds = sum(sum(figures.kinds[kind]) for kind in KINDS)
    in_lanes = sum(sum(lane.use(SPANS)) * lane.member.host.up for lane in figures.lanes)
    most = max(
        sum(member.host.up for member in story.members if _is_there(member, at)) for at in figures.times
    )
    assert in_kinds * most == pytest.approx(in_lanes, rel=0.01)
    complete = [lane for lane in figures.lanes if lane.completed_at is not None]
    assert complete
    assert all(lane.progress[1][-1] == 1 for lane in complete)
    assert figures.out[1][-1] == 1


def _is_there(member: Member, at: float) -> bool:
    return member.joined_at <= at and (member.left_at is None or at < member.left_at)


@pytest.mark.parametrize(
    ("scenario", "ending"), [("half_standard", "png"), ("churn", "svg"), ("seed_64", "png")]
)
def test_a_picture_is_drawn_and_is_the_same_for_the_same_seed(
    scenario: str, ending: str, tmp_path: Path, drawing: None
) -> None:
    paths = [tmp_path / f"{name}.{ending}" for name in ("once", "again")]
    for path in paths:
        assert replay.main(["--quick", "--seed", "1", "--picture", str(path), scenario]) == 0
    drawn = paths[0].read_bytes()
    assert drawn.startswith(b"\x89PNG" if ending == "png" else b"<?xml")
    assert len(drawn) > 10_000
    if ending == "svg":
        words = drawn.decode()
        assert "bound" in words
        assert "leecher 1" in words
    assert drawn == paths[1].read_bytes()
