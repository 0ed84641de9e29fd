"""The lab's table, from swarms that were never run."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from lab.parts.clients import known_clients
from lab.parts.spreading import Arrival, Sample, Scene, Spread, Swarm, sum_if_all
from lab.parts.swarm_table import FRAME, FRAME_PAYLOAD, figures_of, rates, record, table, trace, verdicts

SIZE = 10_000_000  # at 8 Mbit/s the bound is 10 seconds


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    payload = tmp_path / "payload"
    payload.write_bytes(bytes(SIZE))
    return Scene(tmp_path, payload, tmp_path / "torrent", rate=8_000_000)


def spread_of(swarm: str, *arrivals: tuple[str, float], sent: float = 1.0, told: int | None = None) -> Spread:
    frames = round(sent * SIZE * FRAME / FRAME_PAYLOAD)
    return Spread(swarm, tuple(Arrival(*each) for each in arrivals), frames, told, ())


def cells(text: str, name: str) -> list[str]:
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in text.splitlines()]
    return next(row for row in rows if row[0] == name)


def test_times_are_told_over_the_bound_with_least_and_most_of_all_rounds(scene: Scene) -> None:
    rounds = [
        spread_of("shoal", ("shoal", 10.0), ("shoal", 11.0), ("shoal", 13.0), sent=1.2, told=SIZE),
        spread_of("shoal", ("shoal", 10.0), ("shoal", 12.0), ("shoal", 20.0), sent=1.2, told=SIZE),
    ]
    row = cells(table(figures_of(rounds, SIZE), scene), "shoal")
    assert row == ["shoal", "1.15 (1.10-1.20)", "1.65 (1.30-2.00)", "-", "1.20", "1.000"]


def test_the_two_groups_of_a_mixed_swarm_are_told_apart_and_compared_with_libtorrent_alone(
    scene: Scene,
) -> None:
    figures = figures_of(
        [
            spread_of("libtorrent", ("libtorrent", 18.0), ("libtorrent", 20.0)),
            spread_of("mixed-shoal", ("libtorrent", 22.0), ("shoal", 15.0)),
        ],
        SIZE,
    )
    text = table(figures, scene)
    assert cells(text, "libtorrent")[3] == "1.00"
    assert cells(text, "mixed-shoal: libtorrent")[3] == "1.10"
    assert cells(text, "mixed-shoal: shoal")[3] == "0.75"
    mixed = Swarm("mixed-shoal", "shoal", ("libtorrent", "shoal"))
    slower, faster = verdicts(figures, [mixed], scene)
    assert slower.startswith("NO ") and faster.startswith("yes")


@pytest.mark.parametrize(("seconds", "sent", "answers"), [(12.5, 1.1, "yes yes"), (12.6, 1.11, "NO NO")])
def test_ours_is_judged_by_its_last_leecher_and_by_what_its_seed_sent(
    scene: Scene, seconds: float, sent: float, answers: str
) -> None:
    figures = figures_of([spread_of("shoal", ("shoal", 1.0), ("shoal", seconds), sent=sent)], SIZE)
    assert " ".join(line.split()[0] for line in verdicts(figures, [], scene)) == answers


def test_a_payload_is_summed_only_if_everybody_tells() -> None:
    assert sum_if_all([1, 2, 3]) == 6
    assert sum_if_all([1, None, 3]) is None


def test_what_the_seed_sent_is_read_from_the_last_words_of_those_who_tell() -> None:
    clients = known_clients()
    last_line = json.dumps(
        {
            "status": "complete",
            "sources": [
                {"address": "10.77.0.2:6881", "bytes": 5},
                {"address": "10.77.0.22:6881", "bytes": 9},
            ],
        }
    )
    assert clients["shoal"].got_from(last_line, "10.77.0.2") == 5
    assert clients["shoal"].got_from('{"event": "connected"}', "10.77.0.2") is None
    assert clients["shoal"].sent("whatever") is None


def test_the_files_hold_every_leecher_and_every_second(scene: Scene) -> None:
    samples = tuple(Sample(at, host, 4e7, 1e6) for at in (1.0, 2.0) for host in ("host0", "host1"))
    one = Spread("shoal", (Arrival("shoal", 12.3456),), 7, None, samples)
    assert json.loads(record([one], scene))["spreads"][0]["seed_frames"] == 7
    assert trace([one]) == "shoal leecher-1 shoal 12.346\n"
    assert rates([one]).splitlines()[1:] == [
        "   1.0 s  40.0/ 1.0  40.0/ 1.0",
        "   2.0 s  40.0/ 1.0  40.0/ 1.0",
    ]
