"""The announcer with scripted trackers in place of HTTP, and against our own tracker over HTTP and UDP."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from urllib.parse import parse_qs, urlsplit

import pytest

from shoal.engine import announcer as announcer_module
from shoal.engine.announcer import Announcer, Totals
from shoal.errors import NetworkError
from shoal.formats.bencode import encode
from shoal.net.http import HttpResponse

A, B = "http://a.example/announce", "http://b.example"
HASH = bytes(range(236, 256))
PEERS = {"interval": 1800, "peers": bytes([10, 0, 0, 1, 0x1A, 0xE1])}

PASSKEY = "0123456789abcdef0123456789abcdef"

Answer = dict[str, object] | Exception | bytes | asyncio.Event  # the last: peers, when it is set


class Scene:
    """An announcer and its trackers: `answers` has what each host says next; its last word is repeated."""

    def __init__(self, tiers: list[list[str]], answers: dict[str, list[Answer]]) -> None:
        self.answers = answers
        self.asked: list[tuple[str, str]] = []  # host, event
        self.queries: list[dict[str, list[str]]] = []
        self.found: list[tuple[str, int]] = []
        self.messages: list[str] = []
        self.now = 0.0
        self._happened = asyncio.Event()
        self.announcer = Announcer(
            tiers,
            info_hash=HASH,
            peer_id=b"-XX0000-abcdefghijkl",
            port=6881,
            totals=lambda: Totals(uploaded=1, downloaded=2, left=3),
            on_peers=self.found.extend,
            on_message=self.messages.append,
            http_get=self.get,
            clock=lambda: self.now,
            rng=random.Random(1),
        )

    async def get(self, url: str, *, timeout: float, **how: object) -> HttpResponse:  # noqa: ASYNC109
        parts = urlsplit(url)
        query = parse_qs(parts.query, encoding="latin-1")
        self.asked.append((parts.netloc, query.get("event", [""])[0]))
        self.queries.append(query)
        self._happened.set()
        script = self.answers[parts.netloc]
        answer = script.pop(0) if len(script) > 1 else script[0]
        if isinstance(answer, Exception):
            raise answer
        if answer == b"never":
            await asyncio.Event().wait()
        if isinstance(answer, asyncio.Event):
            await answer.wait()
            answer = PEERS
        body = answer if isinstance(answer, bytes) else encode(answer)
        status = 404 if body.startswith(b"<html>") else 200
        return HttpResponse(status, {}, body, url)

    async def until(self, is_so: Callable[[], bool]) -> None:
        async with asyncio.timeout(60):
            while not is_so():  # noqa: ASYNC110 - only the loop can say
                await asyncio.sleep(0)


def play(scene_of: Callable[[], Scene], story: Callable[[Scene], object]) -> None:
    async def run() -> None:
        scene = scene_of()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(scene.announcer.run())
            await story(scene)  # type: ignore[misc]
            await scene.announcer.stop()

    asyncio.run(run())


def test_peers_are_found_and_goodbye_is_said() -> None:
    async def story(scene: Scene) -> None:
        await scene.until(lambda: bool(scene.found))
        assert scene.found == [("10.0.0.1", 6881)]
        await scene.announcer.stop()
        assert scene.asked == [("a.example", "started"), ("a.example", "stopped")]
        assert scene.queries[0]["info_hash"] == [HASH.decode("latin-1")]
        assert [scene.queries[0][name][0] for name in ("uploaded", "downloaded", "left")] == ["1", "2", "3"]
        assert scene.queries[1]["numwant"] == ["0"]
        assert scene.queries[0]["key"] == scene.queries[1]["key"]
        scene.asked.clear()

    play(lambda: Scene([[A]], {"a.example": [PEERS]}), story)


def test_a_dead_tracker_is_named_and_the_next_tier_is_asked() -> None:
    async def story(scene: Scene) -> None:
        await scene.until(lambda: bool(scene.found))
        assert scene.messages == ["tracker a.example: cannot connect"]
        assert scene.asked[:2] == [("a.example", "started"), ("b.example", "started")]

    dead = NetworkError("a.example: cannot connect")
    play(lambda: Scene([[A], [B]], {"a.example": [dead], "b.example": [PEERS]}), story)


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        ({"failure reason": "go away"}, "tracker a.example says: go away"),
        (b"<html>oh", "tracker a.example answered 404 Not Found for "),
        (b"what", "tracker a.example sent a bad answer: byte 0: "),
        ({"peers": b"123"}, "tracker a.example sent a bad answer: peers of 3 bytes"),
    ],
)
def test_a_refusal_is_shown_once_in_a_row(answer: Answer, message: str) -> None:
    async def story(scene: Scene) -> None:
        await scene.until(lambda: bool(scene.messages))
        for count in (2, 3):
            scene.now += 10_000
            scene.announcer.wanted()
            await scene.until(lambda count=count: len(scene.asked) >= count)  # type: ignore[misc]
        assert len(scene.messages) == 1
        assert scene.messages[0].startswith(message)

    play(lambda: Scene([[A]], {"a.example": [answer]}), story)


def test_a_warning_is_shown_and_its_peers_are_taken() -> None:
    async def story(scene: Scene) -> None:
        await scene.until(lambda: bool(scene.found))
        assert scene.messages == ["tracker a.example warns: slow down"]

    play(lambda: Scene([[A]], {"a.example": [{**PEERS, "warning message": "slow down"}]}), story)


def test_a_tracker_that_cannot_be_asked_is_named_and_skipped() -> None:
    async def story(scene: Scene) -> None:
        await scene.until(lambda: bool(scene.found))
        assert scene.messages == [
            "tracker wss://u.example:1: wss trackers are not supported; skipped",
            "tracker udp://u.example/…: tracker URL 'udp://u.example/…' lacks a port; skipped",
            "tracker http://x:port/: tracker URL 'http://x:port/': its port is no number up to 65535; skipped",
        ]

    tiers = [["wss://u.example:1"], [f"udp://u.example/{PASSKEY}"], ["http://x:port/"], [A]]
    play(lambda: Scene(tiers, {"a.example": [PEERS]}), story)


def test_completed_is_told_at_once() -> None:
    async def story(scene: Scene) -> None:
        await scene.until(lambda: bool(scene.found))
        scene.announcer.completed()
        await scene.until(lambda: len(scene.asked) == 2)
        assert scene.asked[1] == ("a.example", "completed")

    play(lambda: Scene([[A]], {"a.example": [PEERS]}), story)


def test_wanted_peers_are_asked_for_after_the_min_interval() -> None:
    async def story(scene: Scene) -> None:
        await scene.until(lambda: bool(scene.found))
        scene.announcer.wanted()
        scene.now = 61.0
        scene.announcer.wanted()
        await scene.until(lambda: len(scene.asked) == 2)
        assert scene.asked[1] == ("a.example", "")

    play(lambda: Scene([[A]], {"a.example": [PEERS]}), story)


def test_what_the_tracker_calls_itself_is_told_back_to_it() -> None:
    async def story(scene: Scene) -> None:
        await scene.until(lambda: bool(scene.found))
        scene.announcer.completed()
        await scene.until(lambda: len(scene.asked) == 2)
        assert "trackerid" not in scene.queries[0]
        assert scene.queries[1]["trackerid"] == ["me &"]

    play(lambda: Scene([[A]], {"a.example": [{**PEERS, "tracker id": b"me &"}]}), story)


def test_a_tracker_that_hangs_does_not_hold_up_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(announcer_module, "STOP_TIMEOUT", 0.05)

    async def story(scene: Scene) -> None:
        await scene.until(lambda: len(scene.asked) == 1)
        async with asyncio.timeout(60):
            await scene.announcer.stop()
        assert scene.asked == [("a.example", "started"), ("a.example", "stopped")]

    play(lambda: Scene([[A]], {"a.example": [b"never"]}), story)


def test_goodbye_is_said_after_what_is_under_way() -> None:
    """Or a tracker might hear it first, and keep us as a peer until it forgets us."""
    is_answered = asyncio.Event()

    async def story(scene: Scene) -> None:
        await scene.until(lambda: bool(scene.found))
        scene.announcer.completed()
        await scene.until(lambda: len(scene.asked) == 2)
        stopping = asyncio.ensure_future(scene.announcer.stop())
        for _ in range(100):
            await asyncio.sleep(0)
        assert [event for _, event in scene.asked] == ["started", "completed"]
        is_answered.set()
        await stopping
        assert [event for _, event in scene.asked] == ["started", "completed", "stopped"]
        scene.asked.clear()

    play(lambda: Scene([[A]], {"a.example": [PEERS, is_answered, PEERS]}), story)


def test_completed_is_told_before_goodbye_when_started_was_answered_late() -> None:
    is_answered = asyncio.Event()

    async def story(scene: Scene) -> None:
        await scene.until(lambda: len(scene.asked) == 1)
        scene.announcer.completed()
        stopping = asyncio.ensure_future(scene.announcer.stop())
        await asyncio.sleep(0)
        is_answered.set()
        await stopping
        assert [event for _, event in scene.asked] == ["started", "completed", "stopped"]
        scene.asked.clear()

    play(lambda: Scene([[A]], {"a.example": [is_answered, PEERS]}), story)
