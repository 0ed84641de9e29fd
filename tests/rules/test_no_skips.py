"""In CI a test that is skipped is a test that failed (the hook in tests/conftest.py)."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from .source import ROOT

TESTS = """
import pytest

def test_skipped_in_its_body():
    pytest.skip("no such program")

@pytest.mark.skip(reason="not today")
def test_skipped_by_its_mark(): ...

@pytest.fixture
def program():
    pytest.skip("no such program")

def test_skipped_by_its_fixture(program): ...

@pytest.mark.corpora
def test_without_its_data(corpora): ...

@pytest.mark.namespaces
def test_without_the_right_to():
    pytest.skip("not allowed")

@pytest.mark.system
def test_on_a_system_without_it():
    pytest.skip("no such feature")

def test_passes(): ...
"""


@pytest.mark.parametrize(
    ("no_skips", "tools", "outcome"),
    [
        ("1", ("ip", "tc"), {"1 failed", "2 errors", "1 passed", "3 skipped"}),
        ("1", ("ip",), {"2 failed", "2 errors", "1 passed", "2 skipped"}),
        ("", (), {"1 passed", "6 skipped"}),
    ],
)
def test_a_skip_is_a_failure_where_nothing_may_be_skipped(
    no_skips: str, tools: tuple[str, ...], outcome: set[str], tmp_path: Path
) -> None:
    programs = tmp_path / "programs"
    programs.mkdir()
    for name in tools:
        (programs / name).touch(mode=0o755)
    (tmp_path / "tests").mkdir()
    shutil.copy(ROOT / "tests" / "conftest.py", tmp_path / "tests")
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    (tmp_path / "tests" / "test_it.py").write_text(TESTS)
    result = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider"],
        cwd=tmp_path,
        env={
            **os.environ,
            "SHOAL_NO_SKIPS": no_skips,
            "SHOAL_CORPORA": str(tmp_path / "absent"),
            "PATH": str(programs),
        },
        capture_output=True,
        text=True,
    )
    closing_line = result.stdout.splitlines()[-1].split(" in ")[0]
    assert set(closing_line.split(", ")) == outcome
