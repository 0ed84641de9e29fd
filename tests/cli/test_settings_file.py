"""The configuration file: where it is, and which line a complaint is about."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shoal.cli.settings import file as settings_file
from shoal.cli.settings.file import ConfigFile, line_of, read_config
from shoal.errors import FileError, NotFoundError, ShoalError, UsageError


@pytest.fixture
def usual(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the file is if nobody says otherwise."""
    monkeypatch.setattr("platformdirs.user_config_path", lambda name: tmp_path / "usual" / name)
    (tmp_path / "usual" / "shoal").mkdir(parents=True)
    return tmp_path / "usual" / "shoal" / "config.toml"


def read(path: Path, content: str | bytes) -> ConfigFile | None:
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return read_config(str(path), {})


def test_the_file_in_its_usual_place_is_read(usual: Path) -> None:
    usual.write_text("[tracker]\nport = 1")
    found = read_config(None, {})
    assert found is not None
    assert (found.path, found.section("tracker")) == (usual, {"port": 1})


def test_none_in_its_usual_place_is_fine(usual: Path) -> None:
    assert read_config(None, {}) is None
    usual.parent.rmdir()
    assert read_config(None, {"SHOAL_CONFIG": ""}) is None


def test_an_option_beats_the_variable_and_the_variable_the_usual_place(usual: Path, tmp_path: Path) -> None:
    for number, path in enumerate((usual, tmp_path / "variable", tmp_path / "option")):
        path.write_text(f"[tracker]\nport = {number}")
    environ = {"SHOAL_CONFIG": str(tmp_path / "variable")}
    for named, variables, port in [
        (None, {}, 0),
        (None, environ, 1),
        (str(tmp_path / "option"), environ, 2),
    ]:
        found = read_config(named, variables)
        assert found is not None and found.section("tracker") == {"port": port}


def test_a_file_that_is_named_must_be_there(tmp_path: Path) -> None:
    path = str(tmp_path / "absent")
    with pytest.raises(NotFoundError, match=f"^--config: {path}: no such file$"):
        read_config(path, {})
    with pytest.raises(NotFoundError, match=f"^SHOAL_CONFIG: {path}: no such file$"):
        read_config(None, {"SHOAL_CONFIG": path})


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(FileError, match="reading failed: Is a directory"):
        read_config(str(tmp_path), {})


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("[tracker]\nport = \n", "2: invalid value (column 8)"),
        ("[tracker]\nport 1", "2: expected '=' after a key in a key/value pair (column 6)"),
        ("a = 1\n\na = 2", "3: cannot overwrite a value (end of document)"),
        ('[tracker]\nname = """x', "2: unterminated string (end of document)"),
        (b"[tracker]\n\nname = '\xff'", "3: not text in UTF-8"),
        ("[trakcer]\nport = 1", "1: there is no section [trakcer]"),
        ("# x\nport = 1", "2: there is no section [port]"),
        ("tracker = 1", "1: 'tracker' is a section"),
        ("\n[[tracker]]\nport = 1", "2: 'tracker' is a section"),
    ],
)
def test_what_is_wrong_in_it_is_told_with_its_line(
    tmp_path: Path, content: str | bytes, message: str
) -> None:
    path = tmp_path / "c.toml"
    with pytest.raises(UsageError) as caught:
        found = read(path, content)
        assert found is not None
        found.section("tracker")
    assert caught.value.message == f"{path}:{message}"


def test_a_long_file_is_not_one_of_ours(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="not a configuration file"):
        read(tmp_path / "c", b"#" * (settings_file.MAX_LENGTH + 1))


def test_a_mark_at_the_beginning_and_line_ends_of_windows_are_fine(tmp_path: Path) -> None:
    found = read(tmp_path / "c", b"\xef\xbb\xbf[tracker]\r\nport = 1\r\nudp = true\r\n")
    assert found is not None
    assert found.section("tracker") == {"port": 1, "udp": True}
    assert found.origin("tracker", "udp") == f"{tmp_path / 'c'}:3: tracker.udp"


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("[tracker]\nport = 1", 2),
        ("[tracker]\n# port = 2\nname = 'port = 3'\n\nport = 1", 5),
        ("[get]\nport = 1\n[tracker]\nport = 2", 4),
        ("[tracker]\nname = '''\nport = 1\n'''\nport = 2", 5),
        ("[tracker]\nonly = [\n  'port = 1',\n  # port\n]\nport = 2", 6),
        ("[tracker]\nport = [\n  1,\n]\nother = 'port'", 2),
        ("tracker.port = 1", 1),
        ("name = 1\ntracker = { udp = true, port = 1 }", 2),
        ('[tracker]\n"port" = 1', 2),
        ("[ 'tracker' ]\nsupport = 1\nport = 1", 3),
        ("[tracker]\nport.x = 1\nport.y = 2", 2),
        ("[tracker]\n[tracker.port]\nx = 1", 2),
        ('[tracker]\n"\\u0070ort" = 1', None),
        ("[tracker]\nname = 1", None),
    ],
)
def test_the_line_of_a_key_is_found_however_it_is_written(text: str, line: int | None) -> None:
    assert line_of(text, ("tracker", "port")) == line


@given(st.text("[]tracker.port=1'\"\n #{},x", max_size=60) | st.binary(max_size=60))
def test_any_file_is_read_or_refused(tmp_path_factory: pytest.TempPathFactory, content: str | bytes) -> None:
    try:
        found = read(tmp_path_factory.getbasetemp() / "any.toml", content)
        assert found is not None
        found.unknown_keys(("tracker",), ["port"])
    except ShoalError as error:
        assert str(error).startswith(str(tmp_path_factory.getbasetemp() / "any.toml"))
