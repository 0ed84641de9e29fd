"""The record of what happened."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from shoal.cli.log import EventLog
from shoal.errors import FileError


def test_an_event_is_a_line_that_is_there_at_once(tmp_path: Path) -> None:
    with EventLog(tmp_path / "log", name="pc 1", clock=lambda: 12.34567) as log:
        log.record("piece", piece=3, source="10.0.0.7:6881", good=True)
        line = (tmp_path / "log").read_text()
    assert line.endswith("\n")
    assert json.loads(line) == {
        "time": 12.346, "name": "pc 1", "event": "piece", "piece": 3, "source": "10.0.0.7:6881", "good": True,
    }  # fmt: skip


def test_two_logs_in_one_file_are_mixed_by_line(tmp_path: Path) -> None:
    with EventLog(tmp_path / "log", name="a") as one, EventLog(tmp_path / "log", name="b") as other:
        for number in range(20):
            one.record("x", number=number, padding="-" * 100)
            other.record("x", number=number)
    names = [json.loads(line)["name"] for line in (tmp_path / "log").read_text().splitlines()]
    assert names == ["a", "b"] * 20


def test_a_name_with_lines_and_odd_bytes_stays_one_line(tmp_path: Path) -> None:
    with EventLog(tmp_path / "log") as log:
        log.record("file", path="a\nb\u2028\ud800")
    lines = (tmp_path / "log").read_bytes().split(b"\n")
    assert len(lines) == 2
    assert json.loads(lines[0])["path"].startswith("a\nb")


def test_a_log_that_cannot_be_opened_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileError, match=r"cannot open the log .*absent/log: No such file"):
        EventLog(tmp_path / "absent" / "log")


def test_a_full_disk_is_told() -> None:
    with (
        EventLog(Path("/dev/full")) as log,
        pytest.raises(FileError, match="cannot write the log /dev/full: No space"),
    ):
        log.record("x")
