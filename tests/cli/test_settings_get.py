"""The settings of `shoal get` and of a group: what each takes, which of several counts, and what refuses what."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner

from shoal import api
from shoal.cli import get, url_options
from shoal.cli.get import Given, pooling_of
from shoal.cli.settings import page
from shoal.cli.settings.every import COMMANDS, EVERY
from shoal.cli.settings.file import SECTIONS, ConfigFile, read_config
from shoal.cli.settings.get import GET
from shoal.cli.settings.group import places_of, section_of
from shoal.cli.settings.table import Values, options, resolve
from shoal.cli.url_options import Pooling
from shoal.errors import ExitCode, UsageError
from shoal.fetch.group.key import new_key
from shoal.fetch.group.keyring import Keyring
from shoal.testing.build import make_payload
from shoal.testing.hostile_origin import HostileOrigin, Page

from ..conftest import Shoal
from .running import Offer, environment

ONE, OTHER = "http://one.example:6969/announce", "udp://other.example:6969"
GROUP_FILE = f'[group.lab]\ntracker = ["{ONE}"]\npeer = ["host:1", "[::1]:2"]\n'


def config(text: str) -> ConfigFile:
    return ConfigFile(Path("/etc/c.toml"), text, tomllib.loads(text))


def values(text: str = "", environ: dict[str, str] | None = None, **given: Any) -> Values:
    return resolve(GET, given, environ or {}, config(text))


def test_without_a_word_they_are_the_defaults() -> None:
    assert {name: value for name, value in values().values.items() if value} == {}


def test_every_setting_is_read_from_the_file() -> None:
    text = (
        '[get]\ndir = "d"\nconnections = 4\nproxy = "host:3128"\ncacert = "ca.pem"\nremote_time = true\ngroup = "lab"\n'
        f'tracker = ["{OTHER}"]\nmax_upload_rate = 5000\nmax_download_rate = "1MB/s"\nbind = "::1"\nport = 0\n'
        'name = "pc"\nlog = "l"\n'
    )
    assert values(text).values == {
        "dir": Path("/etc/d"),
        "connections": 4,
        "proxy": "http://host:3128",
        "cacert": Path("/etc/ca.pem"),
        "remote_time": True,
        "group": "lab",
        "tracker": (OTHER,),
        "max_upload_rate": 5000,
        "max_download_rate": 1_000_000,
        "bind": "::1",
        "port": 0,
        "name": "pc",
        "log": Path("/etc/l"),
    }


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"connections": "0"}, "--connections: '0' is not between 1 and 64"),
        ({"connections": "65"}, "--connections: '65' is not between 1 and 64"),
        ({"proxy": "gopher://me:hunter2@host"}, "--proxy: that is not the URL of a proxy"),
        ({"group": "Lab"}, "--group: 'Lab' is not the name of a group"),
        ({"group": "-lab"}, "--group: '-lab' is not the name of a group"),
        ({"group": 33 * "a"}, f"--group: '{33 * 'a'}' is not the name of a group"),
        ({"group": "shoal1-lab-hunter2"}, "--group: that is a key, not the name of a group"),
        (
            {"tracker": ("htp://me:hunter2@host/x",)},
            "--tracker: 'htp://host/x' is not a URL of http, https, udp",
        ),
        ({"max_download_rate": "999"}, "--max-download-rate: '999': 999 bytes a second is less than 1000"),
    ],
)
def test_what_cannot_be_is_refused(given: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError) as caught:
        values(**given)
    assert caught.value.message == message
    assert "hunter2" not in caught.value.message + caught.value.hint


# Groups


def test_a_group_has_its_own_trackers_unless_the_command_line_or_a_variable_says_others() -> None:
    text = f'{GROUP_FILE}[get]\ngroup = "lab"\ntracker = ["{OTHER}"]\n'
    peers = (("host", 1), ("::1", 2))
    assert pooling_of(values(text), ()) == Pooling("lab", (ONE,), peers)
    assert pooling_of(values(text, tracker=(OTHER,)), ()) == Pooling("lab", (OTHER,), peers)
    assert pooling_of(values(text, {"SHOAL_GET_TRACKER": OTHER}), ()) == Pooling("lab", (OTHER,), peers)
    assert pooling_of(values(text, group="den"), ()) == Pooling("den", (OTHER,), ())


def test_peers_of_the_command_line_come_first_and_once() -> None:
    pooling = pooling_of(values(GROUP_FILE, group="lab"), (("x", 3), ("host", 1)))
    assert pooling is not None
    assert pooling.peers == (("x", 3), ("host", 1), ("::1", 2))


def test_a_tracker_without_a_group_is_refused_where_it_was_asked_for_and_unused_where_it_was_not() -> None:
    assert pooling_of(values(f'[get]\ntracker = ["{ONE}"]'), ()) is None
    for now in ({"tracker": (ONE,)}, {"environ": {"SHOAL_GET_TRACKER": ONE}}):
        with pytest.raises(UsageError, match="goes with a group"):
            pooling_of(values("", **now), ())


def test_what_is_wrong_with_a_group_is_told_with_its_line() -> None:
    with pytest.raises(UsageError, match=r"^/etc/c.toml:2: there is no setting group.lab.key$"):
        places_of("lab", values('[group.lab]\nkey = "x"'))
    with pytest.raises(UsageError, match=r"^/etc/c.toml:2: group.lab.peer: 'x' is not HOST:PORT$"):
        places_of("lab", values('[group.lab]\npeer = ["x"]'))


def test_trackers_are_in_no_repr() -> None:
    assert ONE not in repr(pooling_of(values(GROUP_FILE, group="lab"), ()))


def how_of(words: str, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """With which keywords `shoal get URL` would download."""
    seen: list[dict[str, Any]] = []
    checked = url_options.checked

    def look(*arguments: Any) -> None:
        seen.append(dict(checked(*arguments).how))
        raise UsageError("that is all")

    with monkeypatch.context() as patched:
        patched.setattr(url_options, "checked", look)
        CliRunner().invoke(get.command, ["http://host/x", *words.split()])
    return seen[0]


def test_the_group_reaches_the_download_and_what_is_for_its_members_only_with_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    Keyring().join(new_key("lab"))
    words = f"--port 1 --max-upload-rate 1MB/s --peer host:1 --group lab --tracker {ONE}"
    expected = {
        "group": "lab", "trackers": (ONE,), "peers": (("host", 1),), "port": 1, "max_upload_rate": 1_000_000,
    }  # fmt: skip
    pooled = how_of(words, monkeypatch)
    assert {name: pooled[name] for name in expected} == expected
    assert expected.keys() & how_of("--port 1 --peer host:1", monkeypatch).keys() == set()
    assert pooled.keys() <= api.How.__annotations__.keys()


# What refuses what


def given_on(words: str, text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Given:
    """What `shoal get URL` takes for said by this command line, with such a file."""
    path = tmp_path / "c.toml"
    path.write_text(text)
    monkeypatch.setenv("SHOAL_CONFIG", str(path))
    seen: list[Given] = []

    def look(urls: Any, folder: Any, network: Any, values: Any, pooling: Pooling | None) -> None:
        is_pooled = pooling is not None
        seen.append(Given.on(click.get_current_context(), is_pooled=is_pooled))
        raise UsageError("that is all")

    Keyring().join(new_key("lab"))
    monkeypatch.setattr(get.url_options, "checked", look)
    CliRunner().invoke(get.command, ["http://host/x", *words.split()])
    return seen[0]


@pytest.mark.parametrize(
    ("words", "text", "expected"),
    [
        ("", "[get]\nport = 1\nconnections = 2\nremote_time = true\nproxy = 'h:1'", Given((), (), ())),
        ("--port 1 --peer h:1", "", Given(("--peer", "--port"), (), ())),
        ("--port 1 --peer h:1 --seed-time 1", "[get]\ngroup = 'lab'", Given(("--seed-time",), (), ())),
        (
            "--connections 2 --group lab",
            "",
            Given((), ("--connections", "--group"), ("--connections", "--group")),
        ),
        ("--proxy h:1", "", Given((), (), ("--proxy",))),
    ],
)
def test_only_the_command_line_is_a_reason_to_refuse(
    words: str, text: str, expected: Given, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert given_on(words, text, tmp_path, monkeypatch) == expected


def test_what_the_file_says_of_files_and_torrents_hinders_neither(
    tmp_path: Path, shoal: Shoal, monkeypatch: pytest.MonkeyPatch
) -> None:
    offer = Offer(tmp_path, make_payload(1000))
    (tmp_path / "c.toml").write_text(
        '[get]\ndir = "here"\nport = 0\nbind = "127.0.0.1"\nconnections = 2\nremote_time = true\n'
    )
    (tmp_path / "here").mkdir()
    (tmp_path / "here" / "payload").write_bytes(offer.data)
    monkeypatch.setenv("SHOAL_CONFIG", str(tmp_path / "c.toml"))
    result = shoal("get", "t.torrent")
    assert (result.returncode, result.stderr) == (ExitCode.OK, "")
    with HostileOrigin() as origin:
        origin.pages["/data.iso"] = Page(offer.data)
        result = shoal("get", origin.url("/data.iso"), "--quiet")
        assert (result.returncode, result.stderr) == (ExitCode.OK, "")
    assert (tmp_path / "here" / "data.iso").read_bytes() == offer.data


# The page


def test_the_file_knows_every_section() -> None:
    assert [one.name for one in EVERY] == list(SECTIONS)


def test_the_whole_file_of_the_docs_sets_nothing_and_is_right_when_it_sets_everything() -> None:
    text = page.render_example(EVERY).split("```toml\n")[1].split("```")[0]
    assert tomllib.loads(text) == {"tracker": {}, "get": {}, "helper": {}, "group": {"lab": {}}}
    setting = "\n".join(
        line[1:] if line.startswith("#") and not line.startswith("# ") else line for line in text.split("\n")
    )
    whole = config(setting)
    for section in (*COMMANDS, section_of("lab")):
        assert list(whole.section(*section.keys)) == [one.name for one in section.settings]
        resolve(section, {}, {}, whole)


def test_the_defaults_in_the_docs_are_those_of_the_program() -> None:
    for section in EVERY:
        for one in section.settings:
            assert (one.default is None) == bool(one.examples)


def test_a_file_with_groups_is_read(tmp_path: Path) -> None:
    (tmp_path / "c.toml").write_text(GROUP_FILE)
    found = read_config(str(tmp_path / "c.toml"), {})
    assert found is not None
    assert list(found.section("group")) == ["lab"]
    assert found.section("group", "den") == {}


def test_options_are_made_of_the_table() -> None:
    make: Callable[[Callable[..., int]], Callable[..., int]] = options(GET)
    command = click.command()(make(lambda values: 0))
    names = {name for one in command.params for name in one.opts}
    assert {"--dir", "--group", "--tracker", "--connections", "--config"} <= names


def test_a_download_does_not_load_what_a_tracker_or_a_swarm_is_made_of() -> None:
    code = "import sys, shoal.cli.get; print(*[name for name in sys.modules if name.startswith('shoal.')])"
    run = subprocess.run(
        [sys.executable, "-c", code], env=environment(), capture_output=True, text=True, check=True
    )
    loaded = set(run.stdout.split())
    assert "shoal.cli.get" in loaded
    assert loaded & {"shoal.tracker.settings", "shoal.tracker.tracker", "shoal.engine.engine"} == set()


# Alone


@pytest.mark.parametrize("way", ["file", "variable"])
def test_no_group_gets_alone_what_the_settings_say_to_get_together(
    way: str, tmp_path: Path, shoal: Shoal, monkeypatch: pytest.MonkeyPatch
) -> None:
    origin = f"{tmp_path / 'c.toml'}:2: get.group" if way == "file" else "SHOAL_GET_GROUP"
    if way == "file":
        (tmp_path / "c.toml").write_text('[get]\ngroup = "home"\n')
        monkeypatch.setenv("SHOAL_CONFIG", str(tmp_path / "c.toml"))
    else:
        monkeypatch.setenv("SHOAL_GET_GROUP", "home")
        monkeypatch.setenv("SHOAL_GET_TRACKER", ONE)
    with HostileOrigin() as server:
        server.pages["/data.iso"] = Page(b"data")
        refused = shoal("get", server.url("/data.iso"))
        assert refused.returncode == ExitCode.NOT_FOUND
        assert refused.stderr.splitlines()[0] == f"shoal: {origin}: this machine is not in a group 'home'"
        assert refused.stderr.splitlines()[1].endswith("; --no-group gets it alone")
        alone = shoal("get", server.url("/data.iso"), "--no-group")
    assert alone.returncode == 0, alone
    assert (tmp_path / "data.iso").read_bytes() == b"data"


def test_no_group_goes_with_no_group_and_no_tracker() -> None:
    assert pooling_of(values('[get]\ngroup = "lab"\n'), (), is_alone=True) is None
    with pytest.raises(UsageError, match="--group and --no-group are two answers"):
        pooling_of(values("", group="lab"), (), is_alone=True)
    with pytest.raises(UsageError, match="--tracker: goes with a group"):
        pooling_of(values("", tracker=(ONE,)), (), is_alone=True)


def test_a_second_group_is_refused() -> None:
    with pytest.raises(UsageError, match="--group is given 2 times"):
        CliRunner().invoke(
            get.command, ["http://host/x", "--group", "a", "--group", "b"],
            catch_exceptions=False, standalone_mode=False,
        )  # fmt: skip
