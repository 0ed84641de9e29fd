"""docs/json.md says which events there are and what is in them: real commands say no others."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from shoal.cli.voice import TOLD_AS_JSON
from shoal.testing.hostile_origin import HostileOrigin, Page
from shoal.units import KIB, MIB

from .machines import LOGGED, room
from .running import LOCAL, ROOT

SLOW = 256 * KIB  # bytes a second that the server gives until what a test waits for has happened
PAGE = (ROOT / "docs" / "json.md").read_text()
ROW = re.compile(r"^\| `([a-z ]+)` \| ((?:`[a-z_]+`(?:, )?)+) \|", re.MULTILINE)
EVENTS = {event: set(re.findall(r"`([a-z_]+)`", fields)) for event, fields in ROW.findall(PAGE)}
ENDS = {"status", "path", "bytes", "seconds", "sources", "verified"}
OF_A_LOG = {"time", "name"}
MAY_LACK = {"progress": {"members"}}


def strangers(records: Iterable[dict[str, Any]], more: Iterable[str] = ()) -> list[dict[str, Any]]:
    """Those of which the page does not know, or not all."""
    found = []
    for record in records:
        event = record.get("event")
        fields = EVENTS.get(event, set()) if event else ENDS
        said = record.keys() - {"event", *more}
        if said | MAY_LACK.get(event or "", set()) != fields | MAY_LACK.get(event or "", set()):
            found.append(record)
    return found


def test_every_event_that_is_printed_is_on_the_page() -> None:
    assert set(TOLD_AS_JSON) | {"progress", "failed", "listening", "complete"} <= EVENTS.keys()


def test_the_events_of_a_download_together_are_those_of_the_page(tmp_path: Path) -> None:
    with HostileOrigin() as origin, room(tmp_path) as lab:
        origin.pages["/file.bin"], origin.rate = Page(bytes(6 * MIB)), SLOW
        mine, theirs = lab.machine(), lab.machine()
        helper = lab.helper(*LOGGED, on=theirs)
        narrow = lab.helper("--allow-host", "other.example", "--json", "--log", "narrow.jsonl", on=theirs)
        how = (*LOCAL, *LOGGED, "--group", "lab", "--json", "--connections", "1")
        get = lab.start(mine, "get", origin.url("/file.bin"), *how)
        get.wait_line('"event": "progress"')
        narrow.wait_line('"event": "refused"')
        mine.wait_brought(helper)
        origin.rate = None
        assert get.wait() == 0, get.err
        assert helper.running.stop() == 0 and narrow.running.stop() == 0
        printed = [json.loads(line) for line in (*get.out, *narrow.running.out)]
        assert strangers(printed) == []
        assert {"progress", "got", "ready", "refused", None} <= {record.get("event") for record in printed}
        logs = (mine.log, theirs.log, theirs.folder / "narrow.jsonl")
        logged = [json.loads(line) for log in logs for line in log.read_text().splitlines()]
        assert strangers([one for one in logged if one["event"] in EVENTS], OF_A_LOG) == []
        assert {"brought", "helping", "helped"} <= {record["event"] for record in logged}


def test_what_is_here_of_an_unfinished_file_is_told_with_where_it_came_from(tmp_path: Path) -> None:
    with HostileOrigin() as origin, room(tmp_path) as lab:
        origin.pages["/file.bin"], origin.rate = Page(bytes(6 * MIB)), SLOW
        mine = lab.machine(joins=False)
        get = lab.start(mine, "get", origin.url("/file.bin"), "--connections", "1", "--json")
        get.wait_line('"event": "progress".*"bytes": [1-9]')
        get.stop()
        last = get.json()[-1]
        assert last["status"] == "unfinished" and last["bytes"] > 0
        (source,) = last["sources"]
        assert (source["kind"], source["address"]) == ("origin", f"{origin.host}:{origin.port}")
        assert source["bytes"] >= last["bytes"]
