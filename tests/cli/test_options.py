"""What people type as an address, and what becomes of it."""

from __future__ import annotations

from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from shoal.cli import options
from shoal.errors import UsageError


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        ("10.0.0.7:6881", "10.0.0.7", 6881),
        ("host.lan:1", "host.lan", 1),
        ("[::1]:65535", "::1", 65535),
        ("[fe80::1%eth0]:80", "fe80::1%eth0", 80),
    ],
)
def test_an_address_is_read(text: str, host: str, port: int) -> None:
    assert options.parse_host_port(text) == (host, port)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("host", "is not HOST:PORT"),
        (":6881", "is not HOST:PORT"),
        ("host:", "is not HOST:PORT"),
        ("host:x", "is not HOST:PORT"),
        ("host:-1", "is not HOST:PORT"),
        ("host:²", "is not HOST:PORT"),
        ("host:0", "port 0 is not in 1..65535"),
        ("host:65536", "port 65536 is not in 1..65535"),
        ("fe80::1:6881", "is ambiguous"),
    ],
)
def test_an_address_that_is_none_is_refused_with_the_reason(text: str, reason: str) -> None:
    with pytest.raises(UsageError, match=reason):
        options.parse_host_port(text)


def test_the_shared_options_reach_a_command_checked() -> None:
    got: dict[str, object] = {}

    @click.command()
    @options.bind_option
    @options.port_option
    @options.name_option
    @options.log_option
    @options.peer_option
    @options.json_option
    @options.quiet_option
    def command(**values: object) -> None:
        got.update(values)

    words = "--bind ::1 --port 0 --name pc --log x.log --peer a:1 --peer [::1]:2 --json -q"
    result = CliRunner().invoke(command, words.split())
    assert result.exit_code == 0
    assert got["peers"] == (("a", 1), ("::1", 2))
    assert (got["bind"], got["port"], got["name"], str(got["log"])) == ("::1", 0, "pc", "x.log")
    assert got["as_json"] is True
    assert got["quiet"] is True


def test_a_port_that_is_none_is_refused() -> None:
    command = click.command()(options.port_option(lambda port: None))
    assert CliRunner().invoke(command, ["--port", "70000"]).exit_code == 2


def test_an_empty_path_is_not_the_current_folder() -> None:
    with pytest.raises(UsageError, match="an empty path names nothing"):
        options.PATH("")
    assert options.PATH("a b") == Path("a b")


@pytest.mark.parametrize(
    ("text", "rate"),
    [
        ("262144", 262_144),
        ("1000", 1000),
        ("500k", 500_000),
        ("500KB", 500_000),
        ("2M", 2_000_000),
        ("2MB/s", 2_000_000),
        ("1.5MiB", 1_572_864),
        ("2MiB/s", 2_097_152),
        ("20 KiB/s", 20_480),
        ("1g", 1_000_000_000),
        (" 64ki ", 65_536),
    ],
)
def test_a_rate_is_read_with_any_suffix(text: str, rate: int) -> None:
    assert options.RATE(text) == rate


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "'' is not a rate"),
        ("fast", "'fast' is not a rate"),
        ("-1M", "'-1M' is not a rate"),
        ("2Mbit/s", "'2Mbit/s' is not a rate"),
        ("2M/h", "'2M/h' is not a rate"),
        ("1e6", "'1e6' is not a rate"),
        ("inf", "'inf' is not a rate"),
        ("9" * 400, "is not a rate"),
        ("0", "'0': 0 bytes a second is less than 1000"),
        ("0.9k", "'0.9k': 900 bytes a second is less than 1000"),
        ("500", "'500': 500 bytes a second is less than 1000"),
    ],
)
def test_a_rate_that_is_none_or_next_to_none_is_refused_with_the_reason(text: str, reason: str) -> None:
    with pytest.raises(UsageError, match=reason):
        options.RATE(text)
