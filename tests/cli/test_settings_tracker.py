"""The settings of `shoal tracker`: what each of them takes, and what becomes of them."""

from __future__ import annotations

import pickle
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest

from shoal.cli.settings.table import Values, resolve
from shoal.cli.settings.tracker import TRACKER, parse_store, served_hashes, tracker_settings
from shoal.errors import UsageError
from shoal.tracker.decision import DEFAULT_INTERVAL
from shoal.tracker.settings import TrackerSettings, build
from shoal.tracker.store import Presence, Trouble, Visit

HASH = "0123456789abcdef0123456789abcdef01234567"


def values(environ: dict[str, str] | None = None, **given: Any) -> Values:
    return resolve(TRACKER, given, environ or {}, None)


def settings(**given: Any) -> TrackerSettings:
    return tracker_settings(values(**given))


def test_without_a_word_they_are_the_trackers_own_defaults() -> None:
    secret = bytes(32)
    plain = TrackerSettings(secret=secret)
    told = settings()
    assert told == TrackerSettings(secret=told.secret)
    assert told.secret != secret
    assert plain.interval == DEFAULT_INTERVAL


def test_every_option_arrives(tmp_path: Path) -> None:
    told = settings(
        bind=("127.0.0.1", "::1"),
        port="7070",
        udp=False,
        workers="3",
        store="redis://:hunter2@example.org:6380/1",
        only=(HASH, HASH.upper() + "ab" * 12),
        interval="30m",
        min_interval="90s",
        max_peers="10",
        max_swarms="20",
        passkeys="keys",
        catalogue="folder",
        publish_token="hunter22",
        metrics=True,
        trusted_proxy=("10.0.0.0/8", "::1"),
    )
    assert told == TrackerSettings(
        binds=("127.0.0.1", "::1"),
        port=7070,
        has_udp=False,
        workers=3,
        store="redis://:hunter2@example.org:6380/1",
        only=frozenset({bytes.fromhex(HASH)}),
        interval=1800,
        min_interval=90,
        max_peers=10,
        max_swarms=20,
        passkeys=Path("keys"),
        catalogue=Path("folder"),
        publish_token="hunter22",
        has_metrics=True,
        trusted_proxies=(ip_network("10.0.0.0/8"), ip_network("::1")),
        secret=told.secret,
    )
    assert "hunter2" not in repr(told)
    assert repr(told.secret) not in repr(told)
    assert pickle.loads(pickle.dumps(told)) == told


@pytest.mark.parametrize(
    "url",
    [
        "memory",
        "redis://localhost",
        "redis://:password@10.0.0.7:6379/0",
        "rediss://user:password@[2001:db8::1]:6379",
        "unix:///run/redis.sock?db=1",
    ],
)
def test_a_store_is_memory_or_a_url(url: str) -> None:
    assert parse_store(url) == url


@pytest.mark.parametrize(
    "text",
    ["", "Memory", "redis", "redis://", "redis:///0", "http://hunter2@a", "redis://hunter2@a:x", "redis://[hunter2",
     "unix://", "redis://:hunter2@a:0"],
)  # fmt: skip
def test_what_is_no_store_is_refused_and_not_quoted(text: str) -> None:
    with pytest.raises(
        UsageError, match="neither 'memory' nor a URL of redis://, rediss://, unix://"
    ) as caught:
        parse_store(text)
    assert "hunter2" not in caught.value.message + caught.value.hint


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"bind": ("localhost",)}, "--bind: 'localhost' is not an address"),
        ({"port": "-1"}, "--port: '-1' is not a port"),
        ({"port": "65536"}, "--port: '65536' is not a port"),
        ({"port": "²"}, "--port: '²' is not a port"),
        ({"workers": "0"}, "--workers: '0' is not between 1 and 64"),
        ({"workers": "65"}, "--workers: '65' is not between 1 and 64"),
        ({"interval": "0"}, "--interval: '0' is not between 1 s and 168 h 00 min"),
        ({"interval": "8d"}, "--interval: '8d' is not between 1 s and 168 h 00 min"),
        ({"min_interval": "0.5"}, "--min-interval: '0.5' is not between 1 s and 168 h 00 min"),
        ({"min_interval": "601"}, "--min-interval: 601 s is longer than the interval, 600 s"),
        ({"max_peers": "many"}, "--max-peers: 'many' is not a whole number"),
        ({"max_swarms": "9" * 99}, f"--max-swarms: '{'9' * 99}' is not between 1 and 1000000000000"),
        ({"trusted_proxy": ("10.0.0.0/99",)}, "--trusted-proxy: '10.0.0.0/99' is not a network"),
        ({"only": ("",)}, "--only: an empty path names nothing"),
    ],
)
def test_what_cannot_be_is_refused(given: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError) as caught:
        settings(**given)
    assert caught.value.message == message


def test_a_file_may_have_a_name_as_long_as_a_hash() -> None:
    name = "x" * 40
    assert values(only=(name,))["only"] == (Path(name),)


def test_a_hash_needs_no_file() -> None:
    assert served_hashes([b"h" * 20]) == {b"h" * 20}


def visit(store: Any, number: int) -> Any:
    return store.visit(Visit(bytes([number]) * 20, bytes([10, 0, 0, number, 0, 1]), Presence.LEECHING), 0.0)


@pytest.mark.parametrize("limit", ["max_peers", "max_swarms"])
def test_the_limits_reach_the_store(limit: str) -> None:
    store = build(settings(**{limit: "2"})).tracker.store
    assert visit(store, 1) is not Trouble.FULL
    assert visit(store, 2) is not Trouble.FULL
    assert visit(store, 3) is Trouble.FULL


def test_what_is_built_is_what_was_told() -> None:
    told = settings(bind=("::1",), port="0", udp=False, interval="60", min_interval="7", only=(HASH,),
                    trusted_proxy=("10.0.0.0/8",))  # fmt: skip
    tracker, site, doors, _ = build(told)
    assert (tracker.policy.interval, tracker.policy.shortest_interval) == (60, 7)
    assert tracker.policy.only == {bytes.fromhex(HASH)}
    assert site.tracker is tracker
    assert (doors.binds, doors.port, doors.has_udp) == (("::1",), 0, False)
    assert doors.trusted_proxies == told.trusted_proxies
    assert (doors.shares_port, doors.secret) == (False, told.secret)
