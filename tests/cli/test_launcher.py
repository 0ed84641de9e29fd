"""./shoal, the script: what it runs, and what it says when it cannot."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A checkout, as far as the script looks at one, in a folder with a space in its name."""
    root = tmp_path / "my checkout"
    (root / "tools").mkdir(parents=True)
    shutil.copy(ROOT / "shoal", root)
    shutil.copy(ROOT / "tools" / "environment.py", root / "tools")
    (root / "pyproject.toml").write_text('[project]\nname = "x"\n')
    return root


def make_program(path: Path, body: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)
    return path


def make_environment(venv: Path, root: Path) -> None:
    """An environment that is ready, whose Python tells how it was called."""
    make_program(venv / "bin" / "python", """for word; do printf '<%s>' "$word"; done""")
    (venv / "shoal-stamp").write_text(f"{root}\n")
    later = (root / "pyproject.toml").stat().st_mtime + 1
    os.utime(venv / "shoal-stamp", (later, later))


def launch(
    script: Path | str, *arguments: str, cwd: Path | None = None, **environment: str
) -> subprocess.CompletedProcess[str]:
    """Run the script where no program is on PATH, unless one is named."""
    return subprocess.run(
        ["/bin/sh", script, *arguments],
        cwd=cwd,
        env={"PATH": "/nowhere", **environment},
        capture_output=True,
        text=True,
        timeout=110,  # an environment may be made meanwhile
    )


def test_a_ready_environment_is_run_with_no_other_program(checkout: Path) -> None:
    make_environment(checkout / ".venv", checkout)
    result = launch(checkout / "shoal", "get", "a b", "")
    assert result.stdout == f"<-P><{checkout}/src/shoal/__main__.py><get><a b><>"
    assert result.stderr == ""


def test_it_runs_from_within_the_checkout(checkout: Path) -> None:
    make_environment(checkout / ".venv", checkout)
    assert launch("./shoal", "x", cwd=checkout).stdout == "<-P><./src/shoal/__main__.py><x>"
    assert launch("shoal", "x", cwd=checkout).stdout == "<-P><./src/shoal/__main__.py><x>"


def test_a_link_to_a_link_leads_to_the_checkout(checkout: Path, tmp_path: Path) -> None:
    make_environment(checkout / ".venv", checkout)
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "absolute").symlink_to(checkout / "shoal")
    (tmp_path / "relative").symlink_to("bin/absolute")
    result = launch(tmp_path / "relative", "x", PATH=os.defpath)
    assert result.stdout == f"<-P><{checkout}/src/shoal/__main__.py><x>"


def test_the_environment_may_be_elsewhere(checkout: Path, tmp_path: Path) -> None:
    make_environment(tmp_path / "else where", checkout)
    result = launch(checkout / "shoal", SHOAL_VENV=str(tmp_path / "else where"))
    assert result.stdout.startswith("<-P>")


@pytest.mark.parametrize("change", ["edited", "moved", "no stamp", "python gone"])
def test_an_environment_that_is_not_ready_is_not_run(checkout: Path, change: str) -> None:
    venv = checkout / ".venv"
    make_environment(venv, checkout)
    if change == "edited":
        later = (venv / "shoal-stamp").stat().st_mtime + 1
        os.utime(checkout / "pyproject.toml", (later, later))
    elif change == "moved":
        checkout = checkout.rename(checkout.with_name("moved"))
    elif change == "no stamp":
        (venv / "shoal-stamp").unlink()
    else:
        (venv / "bin" / "python").unlink()
    result = launch(checkout / "shoal")
    assert result.stdout == ""
    assert "needs Python 3.11" in result.stderr  # it went to look for one


@pytest.mark.parametrize("answer", ["echo Python 3.8.1", "echo False", "exit 1"])
def test_a_python_that_is_too_old_is_told_of_in_one_line(checkout: Path, tmp_path: Path, answer: str) -> None:
    for name in ("python3", "python3.12", "python"):
        make_program(tmp_path / "old" / name, answer)
    result = launch(checkout / "shoal", PATH=str(tmp_path / "old"))
    assert result.returncode == 1
    assert result.stderr == (
        "shoal: needs Python 3.11 or newer; install it (Debian, Ubuntu: apt install python3 python3-venv)\n"
    )
    assert {path.name for path in checkout.iterdir()} == {"shoal", "tools", "pyproject.toml"}


def test_the_python_that_was_named_is_the_one_that_counts(checkout: Path, tmp_path: Path) -> None:
    old = make_program(tmp_path / "old", "echo False")
    result = launch(checkout / "shoal", PYTHON=str(old), PATH=str(Path(sys.executable).parent))
    assert result.returncode == 1
    assert result.stderr == (
        f"shoal: PYTHON={old} is not a Python 3.11 or newer; set it to one, or unset it\n"
    )


def test_a_first_use_without_network_says_so_and_leaves_nothing(checkout: Path, tmp_path: Path) -> None:
    with (checkout / "pyproject.toml").open("a") as file:
        file.write('[build-system]\nrequires = ["no-such-thing-at-all"]\n')
    (tmp_path / "tmp").mkdir()
    result = launch(
        checkout / "shoal",
        PYTHON=sys.executable,
        PIP_NO_INDEX="1",
        TMPDIR=str(tmp_path / "tmp"),
        PATH=os.defpath,
    )
    assert result.returncode == 1
    started, failed = result.stderr.splitlines()
    assert started == f"shoal: first use: making {checkout}/.venv, a moment ..."
    assert "the package index was not reached" in failed
    assert "no-such-thing-at-all" in failed
    assert {path.name for path in checkout.iterdir()} == {"shoal", "tools", "pyproject.toml"}


def test_an_edit_that_pip_would_not_notice_needs_no_pip(checkout: Path) -> None:
    venv = checkout / ".venv"
    make_environment(venv, checkout)
    stamp = subprocess.run(
        [sys.executable, "-c", "import environment, pathlib, sys\n"
         "print(environment.stamp_of(pathlib.Path(sys.argv[1])), end='')", str(checkout)],
        cwd=ROOT / "tools", capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    (venv / "shoal-stamp").write_text(stamp)
    with (checkout / "pyproject.toml").open("a") as file:
        file.write("[tool.ruff]\nline-length = 10\n")
    later = (venv / "shoal-stamp").stat().st_mtime + 3600  # and the clock that wrote it was wrong
    os.utime(checkout / "pyproject.toml", (later, later))
    result = launch(checkout / "shoal", "x", PYTHON=sys.executable)
    assert (result.stdout[:4], result.stderr) == ("<-P>", "")
    assert launch(checkout / "shoal", "x").stdout == result.stdout  # from now on without a look


def test_a_folder_that_is_somebody_elses_is_not_touched(checkout: Path, tmp_path: Path) -> None:
    precious = tmp_path / "home" / "precious"
    precious.parent.mkdir()
    precious.touch()
    result = launch(
        checkout / "shoal", PYTHON=sys.executable, SHOAL_VENV=str(precious.parent), PATH=os.defpath
    )
    assert result.returncode == 1
    assert "was not made by ./shoal" in result.stderr
    assert list(precious.parent.iterdir()) == [precious]
    assert not precious.parent.with_name("home.lock").exists()
