"""What does not stay in the source: notes to ourselves, and folders of one machine."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from .source import ROOT

UNWANTED = {
    "a note to ourselves": re.compile(rb"\b(TO" rb"DO|FIX" rb"ME|XX" rb"X)\b"),
    "a folder of one machine": re.compile(rb"(?<![\w.~-])/(home|work|Users|root)/\w"),
}


def tracked_files() -> list[str]:
    """What git keeps; without git, what lies in the folders of the source."""
    try:
        listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        folders = ("src", "tests", "bench", "lab", "tools", "docs")
        found = (path for folder in folders for path in (ROOT / folder).rglob("*") if path.is_file())
        return [path.relative_to(ROOT).as_posix() for path in found if "__pycache__" not in path.parts]
    return [name for name in listed.decode().split("\0") if name and (ROOT / name).is_file()]


@pytest.mark.parametrize("what", UNWANTED)
def test_the_source_is_free_of(what: str) -> None:
    pattern = UNWANTED[what]
    found = [
        f"{name}:{number}"
        for name in tracked_files()
        if Path(name).suffix in {".py", ".md", ".toml", ".sh", ""} and "corpus" not in Path(name).parts
        for number, line in enumerate((ROOT / name).read_bytes().splitlines(), 1)
        if pattern.search(line)
    ]
    assert found == []


def test_an_unwanted_word_is_found() -> None:
    assert UNWANTED["a note to ourselves"].search(b"x = 1  # TO" + b"DO: later")
    assert UNWANTED["a folder of one machine"].search(b'open("/ho' + b'me/me/file")')
