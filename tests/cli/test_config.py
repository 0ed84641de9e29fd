"""`shoal config`: what is in force and why, where the file is, and everything that is wrong with it."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from shoal.cli.app import run
from shoal.cli.config import command
from shoal.cli.settings.every import COMMANDS
from shoal.errors import ExitCode

from ..conftest import Shoal

SECRET = "hunter22"
KEY = "0123456789abcdef0123456789abcdef01234567"


def written(folder: Path, text: str) -> Path:
    path = folder / "c.toml"
    path.write_text(text)
    return path


def shown(path: Path) -> dict[str, tuple[str, str]]:
    """Value and origin of each setting by name."""
    result = CliRunner().invoke(command, ["show", "--config", str(path)], catch_exceptions=False)
    rows = [line.split(maxsplit=1) for line in result.output.splitlines()]
    parts = {name: rest.rsplit("  ", 1) for name, rest in rows}
    return {name: (value.strip(), origin) for name, (value, origin) in parts.items()}


def test_every_setting_is_shown_once_with_its_value_and_where_it_is_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = written(
        tmp_path,
        '[get]\ndir = "/data"\nremote_time = true\n[helper]\ngroup = ["lab", "den"]\nport = 1\nquota = 7000\n'
        '[group.lab]\npeer = ["host:1"]\n',
    )
    monkeypatch.setenv("SHOAL_HELPER_PORT", "2")
    rows = shown(path)
    names = [f"{one.name}.{setting.name}" for one in COMMANDS for setting in one.settings]
    assert list(rows) == [*names, "group.lab.tracker", "group.lab.peer"]
    assert rows["get.dir"] == ('"/data"', f"{path}:2")
    assert rows["get.remote_time"] == ("true", f"{path}:3")
    assert rows["helper.group"] == ('["lab", "den"]', f"{path}:5")
    assert rows["helper.port"] == ("2", "SHOAL_HELPER_PORT")
    assert rows["helper.quota"] == ("7000", f"{path}:7")
    assert rows["helper.cache_size"] == ('"10GiB"', "default")
    assert rows["helper.bind"] == ("-", "not set")
    assert rows["tracker.store"] == ('"memory"', "default")
    assert rows["group.lab.peer"] == ('["host:1"]', f"{path}:9")


def test_nothing_secret_is_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = written(
        tmp_path,
        f'[tracker]\nstore = "redis://:{SECRET}@host"\npublish_token = "{SECRET}"\n'
        f'[get]\nproxy = "http://me:{SECRET}@host:1"\ntracker = ["http://host/{KEY}/announce"]\n',
    )
    monkeypatch.setenv("SHOAL_HELPER_TRACKER", f"http://me:{SECRET}@host/{KEY}/announce")
    rows = shown(path)
    assert SECRET not in str(rows)
    assert KEY not in str(rows)
    assert rows["get.proxy"][0] == rows["tracker.store"][0] == rows["tracker.publish_token"][0] == "(secret)"
    assert rows["get.tracker"][0] == '["http://host/…/announce"]'


def test_what_is_wrong_is_not_in_force(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = written(tmp_path, "[group.lab]\nx = 1\n")
    assert run(["config", "show", "--config", str(path)]) == ExitCode.USAGE
    assert capsys.readouterr().err.startswith(f"shoal: {path}:2: there is no setting group.lab.x\n")


def test_the_path_stands_alone_and_its_folder_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("platformdirs.user_config_path", lambda name: tmp_path / "usual" / name)
    monkeypatch.delenv("SHOAL_CONFIG")
    assert run(["config", "path"]) == ExitCode.OK
    path = Path(capsys.readouterr().out.removesuffix("\n"))
    assert path == tmp_path / "usual" / "shoal" / "config.toml"
    path.write_text("")  # as an editor would
    monkeypatch.setenv("SHOAL_CONFIG", "/v/c.toml")
    assert run(["config", "path"]) == ExitCode.OK
    assert run(["config", "path", "--config", "o.toml"]) == ExitCode.OK
    assert capsys.readouterr() == ("/v/c.toml\no.toml\n", "")


WRONG = """\
[tracker]
port = 99999
interval = 60
[get]
conections = 3
group = "Lab"
max_upload_rate = "fast"
[helper]
cache_size = "5GiB"
[groups]
[group.lab]
peer = ["1.2.3.4"]
[group.Bad]
[group]
den = 3
"""


def test_everything_that_is_wrong_is_said_in_the_order_of_the_lines(tmp_path: Path, shoal: Shoal) -> None:
    path = written(tmp_path, WRONG)
    result = shoal("config", "check", "--config", path)
    assert result.returncode == ExitCode.USAGE
    lines = [line for line in result.stderr.splitlines() if not line.startswith("hint: ")]
    assert lines == [
        f"shoal: {path}:2: tracker.port: '99999' is not a port",
        f"shoal: {path}:5: there is no setting get.conections",
        f"shoal: {path}:6: get.group: 'Lab' is not the name of a group",
        f"shoal: {path}:7: get.max_upload_rate: 'fast' is not a rate",
        f"shoal: {path}:10: there is no section [groups]",
        f"shoal: {path}:12: group.lab.peer: '1.2.3.4' is not HOST:PORT",
        f"shoal: {path}:13: 'Bad' is not the name of a group",
        f"shoal: {path}:15: 'group.den' is a section",
        f"shoal: 8 errors in {path}",
    ]
    assert "hint: did you mean connections?" in result.stderr
    assert result.stdout == ""


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ('[tracker]\ninterval = 60\nmin_interval = "2m"', "3: tracker.min_interval: 120 s is longer than"),
        (
            '[helper]\ngroup = ["lab"]\ncache_size = 5',
            "3: helper.cache_size: goes with a cache, and there is",
        ),
        ("helper = 1", "1: 'helper' is a section"),
        ("group = 1", "1: 'group' is a section"),
        ("[get]\nport 1", "2: expected '=' after a key in a key/value pair"),
        (f'[group."shoal1-{SECRET}"]', "1: that is a key, not the name of a group"),
        (f'[get]\ngroup = "shoal1-lab-{SECRET}"', "2: get.group: that is a key, not the name of a group"),
    ],
)
def test_what_does_not_go_together_or_parse_is_told_as_well(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, complaint: str
) -> None:
    path = written(tmp_path, text)
    assert run(["config", "check", "--config", str(path)]) == ExitCode.USAGE
    err = capsys.readouterr().err
    assert err.startswith(f"shoal: {path}:{complaint}")
    assert SECRET not in err


def test_a_right_file_and_none_at_all_are_fine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = written(tmp_path, '[helper]\ncache = "c"\ncache_size = "1GiB"\n[group.lab]\n')
    monkeypatch.setenv("SHOAL_TRACKER_PORT", "no port")  # a variable is no error of the file
    assert run(["config", "check", "--config", str(path)]) == ExitCode.OK
    assert capsys.readouterr() == (f"{path}: no errors\n", "")
    monkeypatch.setattr("platformdirs.user_config_path", lambda name: tmp_path / "none")
    monkeypatch.delenv("SHOAL_CONFIG")
    assert run(["config", "check"]) == ExitCode.OK
    assert "there need not be one" in capsys.readouterr().out


def test_a_file_that_is_named_must_be_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["config", "check", "--config", str(tmp_path / "x")]) == ExitCode.NOT_FOUND
    assert "no such file" in capsys.readouterr().err


def test_without_a_verb_it_says_that_one_is_missing(shoal: Shoal) -> None:
    for name in ("config", "group"):
        result = shoal(name)
        assert result.returncode == ExitCode.USAGE
        assert result.stderr == f"shoal: Missing command.\nhint: shoal {name} --help\n"


def test_a_relative_path_is_shown_as_it_leads_from_the_folder_of_the_file(tmp_path: Path) -> None:
    rows = shown(written(tmp_path, '[get]\ndir = "dl"\nlog = "../get.jsonl"\n[helper]\ncache = "~/kept"\n'))
    assert rows["get.dir"][0] == f'"{tmp_path}/dl"'
    assert rows["get.log"][0] == f'"{tmp_path}/../get.jsonl"'
    assert rows["helper.cache"][0] == f'"{Path.home()}/kept"'
    assert rows["get.name"][0] == "-"
