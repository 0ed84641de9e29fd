"""The settings of `shoal helper`: what each takes, and what the helper is told."""

from __future__ import annotations

import sys
import tomllib
from ipaddress import ip_network
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from click.testing import CliRunner

from shoal.cli import helper
from shoal.cli.settings.file import ConfigFile
from shoal.cli.settings.helper import HELPER, helper_options
from shoal.cli.settings.table import resolve
from shoal.errors import UsageError
from shoal.fetch.group.key import new_key
from shoal.fetch.group.keyring import Keyring
from shoal.fetch.pool.helper_options import HelperOptions

ONE, OTHER = "http://one.example:6969/announce", "udp://other.example:6969"


def told(text: str = "", **given: Any) -> HelperOptions:
    config = ConfigFile(Path("/etc/c.toml"), text, tomllib.loads(text))
    return helper_options(resolve(HELPER, given, {}, config))


def test_a_group_is_enough() -> None:
    expected = HelperOptions(("lab",), trackers={"lab": ()}, peers={"lab": ()})
    assert told(group=("lab", "lab")) == expected


def test_every_option_arrives() -> None:
    assert told(
        group=("lab", "den"),
        port="0",
        bind="127.0.0.1",
        tracker=(ONE, OTHER),
        proxy="me:secret@host:3128",
        allow_host=("*.Example.org", "10.0.0.7"),
        allow_private=("10.0.0.0/8", "::1"),
        max_download_rate="1MB/s",
        max_upload_rate="2MB/s",
        quota="20GiB",
        cache="kept",
        cache_size="1MiB",
    ) == HelperOptions(
        groups=("lab", "den"),
        port=0,
        bind="127.0.0.1",
        trackers={"lab": (ONE, OTHER), "den": (ONE, OTHER)},
        peers={"lab": (), "den": ()},
        proxy="http://me:secret@host:3128",
        allow_hosts=("*.example.org", "10.0.0.7"),
        allow_private=(ip_network("10.0.0.0/8"), ip_network("::1")),
        max_download_rate=1_000_000,
        max_upload_rate=2_000_000,
        quota=20 << 30,
        cache=Path("kept"),
        cache_size=1 << 20,
    )


def test_each_group_has_places_of_its_own() -> None:
    options = told(
        f'[helper]\ngroup = ["lab", "den"]\ntracker = ["{OTHER}"]\n'
        f'[group.lab]\ntracker = ["{ONE}"]\npeer = ["host:1"]\n'
    )
    assert options.trackers == {"lab": (ONE,), "den": (OTHER,)}
    assert options.peers == {"lab": (("host", 1),), "den": ()}
    assert ONE not in repr(options)
    assert "secret" not in repr(told(group=("lab",), proxy="me:secret@host:3128"))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({}, "a helper needs a group whose members it helps"),
        ({"group": ("a b",)}, "--group: 'a b' is not the name of a group"),
        ({"group": ("lab",), "cache_size": "1G"}, "--cache-size: goes with a cache, and there is none"),
        ({"group": ("lab",), "quota": "0"}, "--quota: '0' is nothing"),
        ({"group": ("lab",), "allow_private": ("10.0.0.0/99",)}, "--allow-private: '10.0.0.0/99' is not a network"),
        ({"group": ("lab",), "allow_host": ("http://host/",)}, "--allow-host: 'http://host/' matches no host"),
        ({"group": ("lab",), "allow_host": ("",)}, "--allow-host: '' matches no host"),
        ({"group": ("lab",), "allow_host": ("127.0.0.1:80",)},
         "--allow-host: '127.0.0.1:80' has a port, and a host is named without one"),
        ({"group": ("lab",), "allow_host": ("[::1]:80",)},
         "--allow-host: '[::1]:80' has a port, and a host is named without one"),
        (
            {"group": ("lab",), "allow_private": ("169.254.169.254",)},
            "--allow-private: '169.254.169.254' is a machine's own metadata: those are refused whatever is allowed",
        ),
        (
            {"group": ("lab",), "allow_private": ("169.254.0.0/16",)},
            "--allow-private: '169.254.0.0/16' is a link-local address: those are refused whatever is allowed",
        ),
        ({"group": ("lab",), "cache": "c", "cache_size": "1"},
         "--cache-size: holds no piece of a file: 256 KiB is the least"),
        ({"group": ("lab",), "tracker": ("foo",)}, "--tracker: 'foo' is not a URL of http, https, udp"),
        ({"group": ("lab",), "proxy": "ftp://me:secret@host"}, "--proxy: that is not the URL of a proxy"),
        ({"group": ("lab",), "port": "70000"}, "--port: '70000' is not a port"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused(given: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError) as caught:
        told(**given)
    assert caught.value.message == message


def test_without_any_group_it_says_how_to_make_one() -> None:
    with pytest.raises(UsageError) as caught:
        CliRunner().invoke(helper.command, [], catch_exceptions=False, standalone_mode=False)
    assert caught.value.exit_code == 2
    assert "shoal group new NAME" in caught.value.hint


def test_the_command_runs_a_helper_with_what_it_was_told(monkeypatch: pytest.MonkeyPatch) -> None:
    runs: list[HelperOptions] = []

    async def run_helper(options: HelperOptions, stop: Any, report: Any) -> None:
        runs.append(options)

    helping = ModuleType("shoal.fetch.pool.helping")
    monkeypatch.setattr(helping, "run_helper", run_helper, raising=False)
    monkeypatch.setitem(sys.modules, "shoal.fetch.pool.helping", helping)
    Keyring().join(new_key("lab"))
    words = ["--group", "lab", "--port", "0", "--quota", "5GB", "--quiet"]
    result = CliRunner().invoke(helper.command, words, catch_exceptions=False)
    assert result.exit_code == 0
    assert [(one.groups, one.port, one.quota) for one in runs] == [(("lab",), 0, 5_000_000_000)]
