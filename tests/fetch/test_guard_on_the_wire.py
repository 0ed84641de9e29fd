"""What a guard keeps out of is truly there, and listens: it sees no connection, whatever URL, redirect or name says."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from typing import Any

import pytest

from ..peers.processes import ROOT

pytestmark = [pytest.mark.namespaces, pytest.mark.timeout(300)]  # a thousand transfers

Row = dict[str, Any]
NOT_FOR_TORRENTS = (
    "169.254",
    "2852039166",
    "0xa9fea9fe",
    "0251.",
    "169.16689662",
    "a9fe",
    "168.63",
    "fe80",
    "fd00:ec2",
    "metadata",
)


@pytest.fixture(scope="module")
def rows() -> dict[str, Row]:
    """By case, what transfers under each guard came to, and without one."""
    if os.geteuid() != 0 or not all(map(shutil.which, ("unshare", "ip"))):
        pytest.skip("a network of one's own needs root, unshare and ip")
    if subprocess.run(["unshare", "--net", "--mount", "true"], capture_output=True).returncode != 0:
        pytest.skip("no network namespace may be made here")
    proxies = {name: "" for name in os.environ if name.lower().endswith("_proxy")}
    done = subprocess.run(
        ["unshare", "--net", "--mount", sys.executable, "-m", "tests.fetch.inner_network"],
        cwd=ROOT,
        env={**os.environ, **proxies, "PYTHONPATH": f"{ROOT / 'src'}{os.pathsep}{ROOT}"},
        capture_output=True,
        text=True,
        timeout=280,
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, Row] = json.loads(done.stdout)
    return found


def names_of(rows: dict[str, Row], kind: str) -> list[str]:
    return [label for label in rows if label.startswith(kind)]


def test_without_a_guard_the_inner_listener_is_reached_by_nearly_all_of_the_spellings(
    rows: dict[str, Row],
) -> None:
    reached = [label for label in rows if label != "asked" and rows[label]["free seen"]]
    assert len([label for label in reached if label.startswith("direct")]) >= 90
    assert len([label for label in reached if label.startswith("redirect")]) >= 80
    assert {"two addresses", "rebinding by redirect", "connection that is open"} <= set(reached)


@pytest.mark.parametrize("kind", ["direct", "redirect"])
def test_a_helper_reaches_it_by_none(rows: dict[str, Row], kind: str) -> None:
    labels = names_of(rows, kind)
    assert len(labels) >= 90
    assert [label for label in labels if rows[label]["helper seen"] or rows[label]["helper"] == "ok"] == []


@pytest.mark.parametrize("kind", ["direct", "redirect"])
def test_the_look_at_the_address_alone_would_do(rows: dict[str, Row], kind: str) -> None:
    labels = names_of(rows, kind)
    assert [label for label in labels if rows[label]["at connecting seen"]] == []
    refused = [label for label in labels if "refused: " in rows[label]["at connecting"]]
    assert len(refused) >= 80  # the others are no URLs, or no names


def test_what_a_torrent_names_is_led_from_the_public_to_none_of_it(rows: dict[str, Row]) -> None:
    assert [label for label in names_of(rows, "redirect") if rows[label]["torrent seen"]] == []


def test_what_a_torrent_names_may_be_private_but_no_metadata_and_not_link_local(rows: dict[str, Row]) -> None:
    forbidden = [
        label for label in names_of(rows, "direct") if any(part in label for part in NOT_FOR_TORRENTS)
    ]
    assert len(forbidden) >= 14
    assert [
        label for label in forbidden if rows[label]["torrent seen"] or rows[label]["torrent"] == "ok"
    ] == []
    for label in ("direct 127.0.0.1", "direct inner.example", "direct [fd00::1]"):
        assert (rows[label]["torrent"], rows[label]["torrent seen"]) == ("ok", 1)


def test_the_public_host_is_reached_by_all(rows: dict[str, Row]) -> None:
    assert [rows["public"][kind] for kind in ("helper", "at connecting", "torrent", "free")] == ["ok"] * 4


@pytest.mark.parametrize("guard", ["helper", "at connecting", "torrent"])
def test_a_name_that_is_public_first_and_private_then_leads_to_the_public_one_only(
    rows: dict[str, Row], guard: str
) -> None:
    row = rows["rebinding by redirect"]
    assert "leads to a private address" in row[guard]
    assert row[f"{guard} seen"] == 0
    name = f"rebind-{guard.replace(' ', '-')}.example"
    assert rows["asked"].count(name) >= 2  # its second answer was the private one


def test_a_name_with_a_public_and_a_private_address_leads_a_helper_to_the_public_one_only(
    rows: dict[str, Row],
) -> None:
    assert rows["two addresses"]["helper seen"] == 0


def test_a_connection_that_is_open_already_is_not_used_for_what_a_public_host_leads_to(
    rows: dict[str, Row],
) -> None:
    row = rows["connection that is open"]
    assert row["torrent seen"] == 1  # the one that the torrent named itself
    assert row["free seen"] == 2
