"""The labs of URLs with real namespaces: small scenes, from the check of the links to the verdicts."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from lab.parts import namespaces, nginx_origin

ROOT = Path(__file__).resolve().parents[2]
LIMIT = 110.0  # seconds for anything
SMALL = ["--members", "3", "--rate", "40mbit", "--size", "4MiB", "--rounds", "1"]
WORTH_HELP = ["--rate", "20mbit", "--size", "16MiB"]  # what is over in a second or two is asked of nobody

pytestmark = [pytest.mark.namespaces, pytest.mark.usefixtures("networks")]


@pytest.fixture(scope="module")
def networks() -> None:
    """Skips where no network can be made, or a program is missing, and says why."""
    reason = namespaces.why_not()
    if reason is not None:
        pytest.skip(reason)
    missing = [name for name in ("curl", "aria2c") if shutil.which(name) is None]
    if nginx_origin.program() is None:
        missing.append("nginx")
    if missing:
        pytest.skip(f"absent: {', '.join(missing)}")


def run_lab(name: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", f"lab.{name}", *SMALL, *arguments],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT / "src")},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=LIMIT,
    )


def scenes_of(said: str) -> Sequence[str]:
    """Those in the table."""
    return [line.split()[1] for line in said.splitlines() if line.startswith("| ")][1:]


def test_the_links_carry_what_they_are_said_to_and_hosts_meet_on_the_lan_alone() -> None:
    done = run_lab("pool", "--check")
    assert done.returncode == 0, done.stderr
    assert "curl, an equal share on each link: " in done.stdout


def test_a_scene_of_another_program_needs_no_group() -> None:
    done = run_lab("pool", "--scene", "aria2")
    assert done.returncode == 0, done.stderr
    assert scenes_of(done.stdout) == ["aria2"]


def test_a_pool_brings_the_file_also_when_a_helper_is_killed_or_frozen_and_when_nobody_helps() -> None:
    done = run_lab("pool", *WORTH_HELP, "--scene", "equal", "changing", "killed", "frozen", "alone")
    assert done.returncode == 0, done.stdout + done.stderr
    assert scenes_of(done.stdout) == ["equal", "changing", "killed", "frozen", "alone"]
    equal = next(line for line in done.stdout.splitlines() if line.startswith("equal, round 1"))
    shares = [float(share) for share in equal.partition("fetched by each: ")[2].removesuffix(" %").split()]
    assert len(shares) == 3 and sum(share > 0 for share in shares) > 1  # who is late has little left to bring
    verdicts = [line.split(":")[0] for line in done.stdout.splitlines() if line[:3] in ("yes", "NO ")]
    assert [verdict.split()[1] for verdict in verdicts] == ["equal", "changing", "killed", "frozen"]


def test_a_crowd_has_the_file_also_when_one_of_it_is_killed() -> None:
    done = run_lab("crowd")
    assert done.returncode == 0, done.stdout + done.stderr
    assert scenes_of(done.stdout) == ["together", "killed"]
