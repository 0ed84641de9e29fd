"""One table, three sources: which of them wins, and what a wrong value is told as."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner

from shoal.cli.settings.file import ConfigFile, read_config
from shoal.cli.settings.kinds import COUNT, FILE, FLAG, PORT, SERVED, TEXT, TIME, TOKEN
from shoal.cli.settings.table import Section, Setting, Values, options, resolve
from shoal.errors import UsageError

DEMO = Section(
    "tracker",
    (
        Setting("port", PORT, "A port.", 6969),
        Setting("fast", FLAG, "Whether to hurry.", True, short="-f"),
        Setting("min_wait", TIME, "How long.", metavar="LONG"),
        Setting("word", TEXT, "Words.", is_multiple=True),
        Setting("keys", FILE, "A file."),
        Setting("only", SERVED, "Which.", is_multiple=True),
        Setting("secret", TOKEN, "Not to be seen.", is_secret=True),
        Setting("count", COUNT, "How many."),
    ),
)
DEFAULTS = {
    "port": 6969,
    "fast": True,
    "min_wait": None,
    "word": (),
    "keys": None,
    "only": (),
    "secret": None,
    "count": None,
}


def config(text: str, path: str = "/etc/shoal/config.toml") -> ConfigFile:
    import tomllib

    return ConfigFile(Path(path), text, tomllib.loads(text))


def resolved(given: dict[str, Any], environ: dict[str, str], text: str = "") -> dict[str, Any]:
    """What differs from the defaults."""
    values = resolve(DEMO, given, environ, config(f"[tracker]\n{text}")).values
    assert list(values) == list(DEFAULTS)
    return {name: value for name, value in values.items() if value != DEFAULTS[name]}


def refused(given: dict[str, Any], environ: dict[str, str], text: str = "") -> tuple[str, str]:
    with pytest.raises(UsageError) as caught:
        resolved(given, environ, text)
    return caught.value.message, caught.value.hint


def test_without_anything_there_are_the_defaults() -> None:
    values = resolve(DEMO, {}, {}, None)
    assert values.values == DEFAULTS
    assert set(values.origins.values()) == {""}


def test_an_option_beats_a_variable_and_a_variable_the_file_and_the_file_the_default() -> None:
    option, variable, file = {"port": "1"}, {"SHOAL_TRACKER_PORT": "2"}, "port = 3"
    assert resolved(option, variable, file) == {"port": 1}
    assert resolved({}, variable, file) == {"port": 2}
    assert resolved({}, {}, file) == {"port": 3}
    assert resolve(DEMO, option, variable, None).origins["port"] == "--port"
    assert resolve(DEMO, {}, variable, None).origins["port"] == "SHOAL_TRACKER_PORT"
    origin = resolve(DEMO, {}, {}, config("[tracker]\n\nport = 3")).origins["port"]
    assert origin == "/etc/shoal/config.toml:3: tracker.port"


def test_a_switch_may_be_turned_back_by_whoever_comes_before() -> None:
    assert resolved({"fast": False}, {}) == {"fast": False}
    assert resolved({"fast": True}, {"SHOAL_TRACKER_FAST": "no"}) == {}
    assert resolved({}, {"SHOAL_TRACKER_FAST": "on"}, "fast = false") == {}
    assert resolved({}, {}, "fast = false") == {"fast": False}


@pytest.mark.parametrize("text", ["1", "true", "Yes", "ON"])
def test_a_switch_in_a_variable_has_many_spellings(text: str) -> None:
    assert resolved({}, {"SHOAL_TRACKER_FAST": text}, "fast = false") == {}


@pytest.mark.parametrize("text", ["a b", "a,b", " a , b ", "a\nb,", ",a,,b"])
def test_a_list_in_a_variable_is_parted_by_commas_or_spaces(text: str) -> None:
    assert resolved({}, {"SHOAL_TRACKER_WORD": text}) == {"word": ("a", "b")}


def test_a_list_is_taken_whole_from_one_source() -> None:
    file = 'word = ["e, f", "g"]'
    assert resolved({}, {}, file) == {"word": ("e, f", "g")}
    assert resolved({}, {"SHOAL_TRACKER_WORD": "c d"}, file) == {"word": ("c", "d")}
    assert resolved({"word": ("a b",)}, {"SHOAL_TRACKER_WORD": "c d"}, file) == {"word": ("a b",)}
    assert resolved({"word": ()}, {}, file) == {"word": ("e, f", "g")}
    assert resolved({}, {}, "word = []") == {}


def test_an_empty_variable_is_one_that_is_not_set() -> None:
    assert resolved({}, {"SHOAL_TRACKER_PORT": "", "SHOAL_TRACKER_WORD": " "}, "port = 3") == {"port": 3}


def test_a_number_may_stand_as_one_or_with_its_unit() -> None:
    assert resolved({}, {}, "min_wait = 90") == {"min_wait": 90.0}
    assert resolved({}, {}, "min_wait = 1.5") == {"min_wait": 1.5}
    assert resolved({}, {}, 'min_wait = "1.5h"') == {"min_wait": 5400.0}


def test_a_relative_path_starts_where_it_is_written(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/nowhere/me")
    assert resolved({"keys": "k"}, {}) == {"keys": Path("k")}
    assert resolved({}, {}, 'keys = "k"') == {"keys": Path("/etc/shoal/k")}
    assert resolved({}, {}, 'keys = "/k"') == {"keys": Path("/k")}
    assert resolved({}, {}, 'keys = "~/k"') == {"keys": Path("/nowhere/me/k")}
    assert resolved({}, {}, f'only = ["a.torrent", "{"ab" * 20}"]') == {
        "only": (Path("/etc/shoal/a.torrent"), b"\xab" * 20)
    }


@pytest.mark.parametrize(
    ("given", "environ", "text", "message"),
    [
        ({"port": "99999"}, {}, "", "--port: '99999' is not a port"),
        ({}, {"SHOAL_TRACKER_PORT": "x"}, "", "SHOAL_TRACKER_PORT: 'x' is not a port"),
        ({}, {}, "\nport = 70000", "/etc/shoal/config.toml:3: tracker.port: '70000' is not a port"),
        ({"min_wait": "soon"}, {}, "", "--min-wait: 'soon' is not a length of time"),
        ({}, {"SHOAL_TRACKER_FAST": "2"}, "", "SHOAL_TRACKER_FAST: '2' is neither true nor false"),
        (
            {},
            {},
            "min_wait = inf",
            "/etc/shoal/config.toml:2: tracker.min_wait: 'inf' is not a length of time",
        ),
        (
            {},
            {},
            "count = 0",
            "/etc/shoal/config.toml:2: tracker.count: '0' is not between 1 and 1000000000000",
        ),
        ({}, {}, "count = -1", "/etc/shoal/config.toml:2: tracker.count: '-1' is not a whole number"),
        (
            {},
            {"SHOAL_TRACKER_KEYS": " "},
            'keys = ""',
            "/etc/shoal/config.toml:2: tracker.keys: an empty path names nothing",
        ),
    ],
)
def test_whoever_wrote_a_wrong_value_is_told_where(
    given: dict[str, Any], environ: dict[str, str], text: str, message: str
) -> None:
    assert refused(given, environ, text)[0] == message


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('port = "6969"', "a string, not a whole number"),
        ("port = true", "true or false, not a whole number"),
        ("port = 6969.0", "a number, not a whole number"),
        ("port = [1]", "a list, not a whole number"),
        ("fast = 1", "a whole number, not true or false"),
        ('fast = "true"', "a string, not true or false"),
        ("min_wait = true", "true or false, not a number or a string"),
        ("min_wait = 2020-01-01", "a date or time, not a number or a string"),
        ("keys = 7", "a whole number, not a string"),
        ("keys.a = 7", "a table, not a string"),
        ('word = "a"', "a string, not a list"),
        ('word = ["a", 1]', "a whole number, not a string"),
    ],
)
def test_a_value_of_the_wrong_type_in_the_file_is_told_with_its_line(text: str, message: str) -> None:
    name = text.split(" ")[0].removesuffix(".a")
    assert refused({}, {}, f"# first\n{text}")[0] == f"/etc/shoal/config.toml:3: tracker.{name}: {message}"


def test_a_key_that_nobody_knows_is_told_with_what_is_near() -> None:
    message, hint = refused({}, {}, "port = 1\nmin-wait = 3")
    assert message == "/etc/shoal/config.toml:3: there is no setting tracker.min-wait"
    assert hint == "did you mean min_wait?"
    assert refused({}, {}, "zzzzz = 1")[1].startswith("there are port, fast, ")


@pytest.mark.parametrize("secret", ["hunter2", "hunter2 hunter2", "hunter2\n123", "hünter2hünter2"])
def test_a_wrong_secret_is_not_quoted(secret: str) -> None:
    assert "nter2" not in "".join(refused({"secret": secret}, {}))
    assert "nter2" not in "".join(refused({}, {"SHOAL_TRACKER_SECRET": secret}))
    assert "nter2" not in "".join(refused({}, {}, f'secret = """{secret}"""'))
    assert "nter2" not in "".join(refused({}, {}, f'secret = ["""{secret}"""]'))


@click.command("demo")
@options(DEMO)
@click.argument("rest", nargs=-1)
def demo(values: Values, rest: tuple[str, ...]) -> int:
    click.echo(f"{sorted(values.values.items(), key=str)} {rest}")
    return 0


def test_the_options_of_a_table_reach_the_command_read() -> None:
    words = "--port 1 --no-fast --word a --word b,c --min-wait 2m --secret 12345678 last"
    result = CliRunner().invoke(demo, words.split(), catch_exceptions=False)
    expected = {
        **DEFAULTS,
        "port": 1,
        "fast": False,
        "word": ("a", "b,c"),
        "min_wait": 120.0,
        "secret": "12345678",
    }
    assert result.output == f"{sorted(expected.items(), key=str)} ('last',)\n"


def test_the_help_is_made_of_the_table() -> None:
    output = CliRunner().invoke(demo, ["--help"], terminal_width=120).output
    lines = [" ".join(line.split()) for line in output.splitlines()]
    assert "--port N A port. [default: 6969]" in lines
    assert "-f, --fast / --no-fast Whether to hurry. [default: on]" in lines
    assert "--min-wait LONG How long." in lines
    assert "--secret TOKEN Not to be seen." in lines


def test_the_command_reads_the_file_and_the_variables(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "my.toml"
    path.write_text('[tracker]\nport = 7\nkeys = "k"\n')
    monkeypatch.setenv("SHOAL_TRACKER_COUNT", "12")
    for how in ({"args": ["--config", str(path)]}, {"args": [], "env": {"SHOAL_CONFIG": str(path)}}):
        result = CliRunner().invoke(demo, **how, catch_exceptions=False)  # type: ignore[arg-type]
        assert "('port', 7)" in result.output
        assert "('count', 12)" in result.output
        assert repr(("keys", tmp_path / "k")) in result.output


def test_without_a_file_there_is_none() -> None:
    assert read_config(None, {"SHOAL_CONFIG": "/dev/null"}).content == {}  # type: ignore[union-attr]
